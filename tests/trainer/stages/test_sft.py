"""Laws of supervised fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from trl import SFTConfig

from galen import transcript
from galen.errors import DataError
from galen.records import Row
from tests.fakes.rollouts import META
from tests.fakes.rows import write_jsonl
from trainer import demo_model
from trainer.model import completion_ids, load_policy, load_tokenizer, prompt_ids
from trainer.recipes import DemoModel, SftRecipe
from trainer.runs import Run, is_finished
from trainer.stages import sft, tuning

OUTPUT = "<think>\n看有无危险信号。\n</think>\n\n建议尽快就医检查。"


def row_of(question: str, output: str = OUTPUT) -> Row:
    return Row(instruction="你是医生", input=question, output=output, meta=META)


def recipe_of(folder: Path, rows: list[Row], **changes: Any) -> SftRecipe:
    data = folder / "train.jsonl"
    write_jsonl(data, rows)
    fields = {"stage": "sft", "run": "sft", "runs": folder / "runs", "train": [data], **changes}
    return SftRecipe.model_validate(fields)


def test_only_the_completion_is_learnt(toy: Path, tmp_path: Path) -> None:
    """The mask is 0 on the prompt and 1 on what the assistant writes, its end token included."""
    tokenizer = load_tokenizer(toy)
    recipe = recipe_of(tmp_path, [row_of("头痛两天？")], model=toy)
    (example,) = sft.dataset(recipe, tokenizer)
    prompt = prompt_ids(tokenizer, "头痛两天？", "你是医生")
    completion = completion_ids(tokenizer, transcript.parse(OUTPUT))
    assert example["input_ids"] == prompt + completion
    assert example["completion_mask"] == [0] * len(prompt) + [1] * len(completion)
    assert completion[-1] == tokenizer.eos_token_id


def test_the_instruction_may_be_left_out(toy: Path, tmp_path: Path) -> None:
    """With `use_instruction: false` there is no system message."""
    tokenizer = load_tokenizer(toy)
    recipe = recipe_of(tmp_path, [row_of("头痛？")], model=toy, use_instruction=False)
    (example,) = sft.dataset(recipe, tokenizer)
    prompt = prompt_ids(tokenizer, "头痛？")
    assert example["input_ids"][: len(prompt)] == prompt
    assert example["completion_mask"].index(1) == len(prompt)


def test_a_row_that_is_too_long_is_named_and_never_cut(toy: Path, tmp_path: Path) -> None:
    """The error counts its tokens and names the recipe's limit; a row that fits is not named."""
    tokenizer = load_tokenizer(toy)
    rows = [row_of("头痛？"), row_of("头痛？" * 40)]
    length = len(sft.dataset(recipe_of(tmp_path, rows[:1], model=toy), tokenizer)[0]["input_ids"])
    recipe = recipe_of(tmp_path, rows, model=toy, max_length=length)
    with pytest.raises(DataError, match=rf"line 2: \d+ tokens, `max_length` is {length}") as caught:
        sft.dataset(recipe, tokenizer)
    assert len(caught.value.problems) == 1


def test_every_turn_of_a_conversation_is_learnt(toy: Path, tmp_path: Path) -> None:
    """Rows in ShareGPT's form, with a sequence for each turn that the template shows anew."""
    turns = [("human", "头痛？"), ("gpt", OUTPUT), ("human", "还有呢？"), ("gpt", OUTPUT)]
    data = tmp_path / "chats.json"
    said = [{"from": name, "value": text} for name, text in turns]
    data.write_text(json.dumps([{"conversations": said}]), "utf-8")
    recipe = recipe_of(tmp_path, [row_of("发热？")], model=toy, use_instruction=False)
    rows = sft.dataset(recipe.model_copy(update={"train": (data,)}), load_tokenizer(toy))
    answer = completion_ids(load_tokenizer(toy), transcript.parse(OUTPUT))
    assert [row["input_ids"][-len(answer) :] for row in rows] == [answer, answer]
    assert [sum(row["completion_mask"]) for row in rows] == [len(answer)] * 2


def test_a_bad_row_is_named_by_its_line(toy: Path, tmp_path: Path) -> None:
    """Line number and field, without the row's own words."""
    recipe = recipe_of(tmp_path, [row_of("头痛？"), row_of("发热？")], model=toy)
    first, second = recipe.train[0].read_text("utf-8").splitlines()
    bad = {**json.loads(second), "input": "  "}
    recipe.train[0].write_text(f"{first}\n\n{json.dumps(bad)}\nnot json\n", "utf-8")
    with pytest.raises(DataError, match=r"line 3: input.*\n.*line 4: not JSON"):
        sft.dataset(recipe, load_tokenizer(toy))


def test_the_plain_loss_is_trls(toy: Path, tmp_path: Path) -> None:
    """On rows of several lengths, and counted over the tokens of a whole step."""
    rows = [row_of("头痛？"), row_of("发热两天，还咳嗽，怎么办？", "<think>\n想\n</think>\n\n就医")]
    recipe, tokenizer = recipe_of(tmp_path, rows, model=toy, batch_size=2), load_tokenizer(toy)
    losses = []
    for kind in (sft.SFTTrainer, sft.PlainLossTrainer):
        trainer = kind(
            model=load_policy(toy),
            args=SFTConfig(**tuning.arguments(recipe, Run(recipe)), completion_only_loss=True),
            train_dataset=sft.dataset(recipe, tokenizer),
            processing_class=tokenizer,
        )
        (batch,) = trainer.get_train_dataloader()
        counted = (batch["labels"] != -100).sum() * 2
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=counted)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_demo_model_is_made_trained_and_saved_whole(tmp_path: Path) -> None:
    """The stage ends with a folder that loads by path alone and knows what it was taught."""
    recipe = recipe_of(
        tmp_path,
        [row_of(f"头痛第{i}天怎么办？") for i in range(8)],
        demo_model=DemoModel(vocabulary=400, hidden=64, layers=1),
        lora=None,
        epochs=4,
        batch_size=4,
        learning_rate=5e-3,
    )
    final = sft.train(recipe)
    assert is_finished(recipe)
    assert (Run(recipe).manifest() or {})["final"] == str(final)
    start, end = (_loss(folder, recipe) for folder in (recipe.folder / "start", final))
    assert end < 0.7 * start


@torch.no_grad()
def _loss(folder: Path, recipe: SftRecipe) -> float:
    """Mean nats of the first row's completion."""
    example = sft.dataset(recipe, load_tokenizer(folder))[0]
    ids_BT = torch.tensor([example["input_ids"]])
    labels_BT = ids_BT.masked_fill(torch.tensor([example["completion_mask"]]) == 0, -100)
    return float(load_policy(folder).eval()(input_ids=ids_BT, labels=labels_BT).loss)


def test_an_interrupted_run_goes_on_from_the_model_it_began_with(tmp_path: Path) -> None:
    """A demo model is made once for a run; a second start must not draw another."""
    shape = DemoModel(vocabulary=400, hidden=64, layers=1)
    recipe = recipe_of(tmp_path, [row_of("头痛？")], demo_model=shape, lora=None)
    Run(recipe).open()
    weights = demo_model.start(recipe, "conversation") / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert demo_model.start(recipe, "conversation") / "model.safetensors" == weights
    assert weights.stat().st_mtime_ns == written


def test_lora_trains_the_adapter_alone_and_merges_it(toy: Path, tmp_path: Path) -> None:
    """`adapter/` on the untouched base computes what the merged `final/` computes."""
    rows = [row_of("头痛两天？"), row_of("发热怎么办？")]
    recipe = recipe_of(
        tmp_path,
        rows,
        model=toy,
        lora={"r": 4, "alpha": 8, "dropout": 0.0},
        learning_rate=0.01,
        epochs=3,
    )
    final = sft.train(recipe)
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        before = load_policy(toy)(input_ids=ids).logits
        adapted = PeftModel.from_pretrained(load_policy(toy), recipe.folder / "adapter")
        expected = adapted(input_ids=ids).logits
        merged = load_policy(final)(input_ids=ids).logits
    assert torch.allclose(expected, merged, atol=1e-4)
    assert not torch.allclose(before, merged, atol=1e-3)
    assert Run(recipe).metrics.read_text("utf-8").count("loss") >= 1
