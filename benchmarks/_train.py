"""One training in a process of its own: `python -m benchmarks._train RECIPE.json HOW`.

HOW is `recipe` (as `galen train` does it), `naive` (the same, but SFT holds all logits), `bare` or
`padded` (TRL's `SFTTrainer` alone with the recipe's numbers; `padded`: every row to `max_length`).
Prints one JSON object, the last line of its output.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from trainer import recipes
from trainer.model import add_lora, load_policy, load_tokenizer, prefers_bf16
from trainer.recipes import DemoModel, SftRecipe
from trainer.stages import dpo, sft, tuning
from trainer.stages.tuning import Parts


class Clock(TrainerCallback):
    """Seconds inside steps, and from the first step's start to the last one's end."""

    def __init__(self) -> None:
        self.inside, self.first, self.last, self._began = 0.0, 0.0, 0.0, 0.0
        self.peak = 0
        """Of the process in bytes, when the last step was over: writing the result is not in it."""

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()
        self.first = self.first or self._began

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.last = time.perf_counter()
        self.inside += self.last - self._began

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.last = time.perf_counter()
        self.peak = _peak()


def main(file: str, how: str) -> None:
    recipe = recipes.STAGES[json.loads(Path(file).read_text("utf-8"))["stage"]].model_validate_json(
        Path(file).read_text("utf-8")
    )
    clock, before = Clock(), psutil.Process().memory_info().rss
    if how in ("bare", "padded"):
        assert isinstance(recipe, SftRecipe)
        _bare(recipe, clock, padded=how == "padded")
    else:
        _recipe(recipe, clock, naive=how == "naive")
    whole = clock.last - clock.first
    found = {"seconds": whole, "outside": 1 - clock.inside / whole}
    print(json.dumps(found | {"peak": clock.peak - before, "saving": _peak() - before}))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _recipe(recipe: Any, clock: Clock, *, naive: bool) -> None:
    """The stage itself, with the clock among its callbacks.

    `naive` has it learn as a demo model does, by the model's own loss.
    """
    stage: tuning.Stage[Any] = sft.STAGE if recipe.stage == "sft" else dpo.STAGE
    make = stage.trainer

    def timed(recipe: Any, parts: Parts) -> Any:
        parts.callbacks.append(clock)
        changed = {"demo_model": DemoModel()} if naive else {}
        return make(recipe.model_copy(update=changed), parts)

    tuning.train(replace(stage, trainer=timed), recipe)


def _bare(recipe: SftRecipe, clock: Clock, *, padded: bool) -> None:
    """What a script of one's own would be, on the same rows."""
    assert recipe.model is not None and recipe.lora is not None
    tokenizer = load_tokenizer(recipe.model)
    model = add_lora(load_policy(recipe.model), recipe.lora)
    args = SFTConfig(
        output_dir=str(recipe.runs / "bare"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        max_length=recipe.max_length,
        pad_to_multiple_of=recipe.max_length if padded else None,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=prefers_bf16(model),
        seed=recipe.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = sft.dataset(recipe, tokenizer)
    SFTTrainer(
        model=model, args=args, train_dataset=rows, processing_class=tokenizer, callbacks=[clock]
    ).train()


if __name__ == "__main__":
    main(*sys.argv[1:])
