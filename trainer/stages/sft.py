"""Supervised fine-tuning with `trl.SFTTrainer`; the loss is over the completion's tokens only.

Rows become token ids by the same function as the prompts of rollouts, so training, rollouts and
serving use the same template.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoConfig, PreTrainedTokenizerBase, set_seed
from trl import SFTConfig, SFTTrainer

from galen import transcript
from galen.errors import DataError
from galen.records import Row, read_jsonl
from trainer import demo_model
from trainer.merge import merge
from trainer.model import add_lora, completion_ids, load_policy, load_tokenizer, prompt_ids
from trainer.recipes import SftRecipe
from trainer.runs import Run

log = logging.getLogger(__name__)


class PlainLossTrainer(SFTTrainer):
    """`SFTTrainer` with the model's own loss, the same figure.

    TRL's loss never holds the logits of all tokens, which a large vocabulary needs, and computes
    them twice instead. With a small one that is a third of a step on a CPU.
    """

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        return model(**inputs, use_cache=False, num_items_in_batch=num_items_in_batch).loss


def train(recipe: SftRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    run = Run(recipe)
    run.open()
    set_seed(recipe.seed)
    start = recipe.model or _demo_start(recipe, run)
    tokenizer = load_tokenizer(start)
    model = load_policy(start, train_all=recipe.lora is None)
    if recipe.lora:
        model = add_lora(model, recipe.lora)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.tensorboard)
    trainer = (PlainLossTrainer if recipe.demo_model else SFTTrainer)(
        model=model,
        args=_arguments(recipe, run),
        train_dataset=dataset(recipe, tokenizer),
        processing_class=tokenizer,
    )
    checkpoint = run.last_checkpoint()
    with run.logging():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        history = trainer.state.log_history
        run.metrics.write_text("".join(json.dumps(row) + "\n" for row in history), "utf-8")
        log.info("%d steps done: %s", trainer.state.global_step, json.dumps(history[-1]))
        _save_final(recipe, run, start, trainer.model, tokenizer)
        run.finish(steps=trainer.state.global_step, final=str(run.final))
    return run.final


def dataset(recipe: SftRecipe, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """All rows as token ids with a completion mask. Raises `DataError` for too long rows."""
    examples = []
    for path in recipe.train:
        problems = []
        for number, row in enumerate(read_jsonl(path, Row), start=1):
            prompt = prompt_ids(
                tokenizer, row.input, row.instruction if recipe.use_instruction else ""
            )
            completion = completion_ids(tokenizer, transcript.parse(row.output))
            length = len(prompt) + len(completion)
            if length > recipe.max_length:
                problems.append(
                    f"row {number}: {length} tokens, `max_length` is {recipe.max_length}"
                )
            mask = [0] * len(prompt) + [1] * len(completion)
            examples.append({"input_ids": prompt + completion, "completion_mask": mask})
        if problems:
            raise DataError(path, problems)
    return Dataset.from_list(examples)


def _demo_start(recipe: SftRecipe, run: Run) -> Path:
    """The new demo model; it is made once for a run, so that a resumed run starts from the same."""
    assert recipe.demo_model is not None
    folder = run.folder / "start"
    if not folder.is_dir():
        texts = [
            f"{row.input}\n{row.output}" for path in recipe.train for row in read_jsonl(path, Row)
        ]
        draft = run.folder / ".start.partial"
        shutil.rmtree(draft, ignore_errors=True)
        demo_model.build(recipe.demo_model, texts, draft, recipe.seed)
        draft.rename(folder)
    return folder


def _arguments(recipe: SftRecipe, run: Run) -> SFTConfig:
    gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(run.checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,
        lr_scheduler_type="cosine",
        max_length=recipe.max_length,
        completion_only_loss=True,
        save_steps=recipe.save_steps,
        save_total_limit=2,
        logging_steps=10,
        report_to=["tensorboard"],
        seed=recipe.seed,
        bf16=gpu,
        gradient_checkpointing=gpu,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
    )


def _save_final(
    recipe: SftRecipe,
    run: Run,
    start: Path,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    shutil.rmtree(run.final, ignore_errors=True)
    if isinstance(model, PeftModel):
        model.save_pretrained(run.folder / "adapter")
        if recipe.merge:
            merge(run.folder / "adapter", run.final, base=start)
            return
    draft = run.folder / ".final.partial"
    shutil.rmtree(draft, ignore_errors=True)
    model.to(AutoConfig.from_pretrained(start).dtype).save_pretrained(draft)  # type: ignore[operator]
    tokenizer.save_pretrained(draft)
    draft.rename(run.final)
