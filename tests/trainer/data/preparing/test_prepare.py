"""Laws of preparing data: nothing is dropped without a word, and the same recipe gives the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from galen.errors import InvalidInput
from trainer.data.preparing.card import card
from trainer.data.preparing.prepare import prepare
from trainer.recipes import DataRecipe

MATTERS = ["头痛", "胃胀", "失眠", "腰酸", "咳嗽", "皮疹", "牙痛", "耳鸣", "便秘", "心慌"]
PEOPLE = ["我爸爸", "同事", "邻居家小孩", "外婆", "室友", "表姐"]


def rows(count: int, about: str = "怎么办") -> list[dict[str, Any]]:
    """Rows that do not repeat one another."""
    made = []
    for number in range(count):
        matter, person = MATTERS[number % 10], PEOPLE[number // 10 % 6]
        day = "零一二三四五六七八九"[number % 7]
        made.append(
            {
                "question": f"{person}{matter}{day}天了，{about}，要注意什么情况？第{number}次问",
                "answer": f"<think>{person}的{matter}</think>先观察{number}天，不好就看医生。",
            }
        )
    return made


def write(path: Path, found: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in found), "utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def recipe_of(folder: Path, **changes: Any) -> DataRecipe:
    fields = {"stage": "data", "out": folder / "out", "gold": 5, "near_duplicates": None}
    return DataRecipe.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared data, with two sources and a row for each reason to drop one."""
    folder = tmp_path_factory.mktemp("data")
    good = rows(40)
    bad = [
        {"question": "问", "answer": "<think>没有答案"},
        good[0],
        {"question": "Quelle est la meilleure façon de dormir ?", "answer": "Dormez bien la nuit."},
        {"question": "长" * 400, "answer": "答"},
        {"question": "考试题目里的这一句话一字不差地写在这里", "answer": "先看医生再说。"},
    ]
    write(folder / "one.jsonl", [*good, *bad])
    write(folder / "two.jsonl", rows(30, "吃什么好"))
    write(folder / "exam.jsonl", [{"question": "考试题目里的这一句话一字不差地写在这里吗"}])
    write(
        folder / "red.jsonl", [{"id": "r", "question": "胸口疼", "meta": {"safety_concern": "x"}}]
    )
    red = {"red_team": folder / "red.jsonl", "rl_prompts": 12}
    sources = [{"source": n, "path": folder / f"{n}.jsonl"} for n in ("one", "two")]
    recipe = recipe_of(
        folder, sources=sources, longest=300, decontaminate=[folder / "exam.jsonl"], **red
    )
    outcome = prepare(recipe)
    (folder / "out" / "data_card.md").write_text(card(recipe, outcome), "utf-8")
    again = recipe.model_copy(update={"out": folder / "again"})
    (folder / "again_card.md").write_text(card(again, prepare(again)), "utf-8")
    return folder


def test_every_row_is_in_one_part_or_named_with_its_reason(done: Path) -> None:
    """By source and place, without its words."""
    kept = [row for part in ("train", "dev", "test") for row in read(done / f"out/{part}.jsonl")]
    dropped = read(done / "out/dropped.jsonl")
    assert len(kept) + len(dropped) == 40 + 5 + 30
    assert [(d["source"], d["place"], d["reason"]) for d in dropped] == [
        ("one", "line 41", "bad row"),
        ("one", "line 42", "a copy"),
        ("one", "line 43", "in another language (fr)"),
        ("one", "line 44", "too long"),
        ("one", "line 45", "in a test set"),
    ]
    assert not any("Quelle" in json.dumps(each) for each in dropped)


def test_the_same_recipe_gives_the_same_bytes(done: Path) -> None:
    """In every file, and in the card but for its title."""
    for path in (done / "out").glob("*.jsonl"):
        assert path.read_bytes() == (done / "again" / path.name).read_bytes()
    one, two = (done / name for name in ("out/data_card.md", "again_card.md"))
    assert one.read_text("utf-8").splitlines()[1:] == two.read_text("utf-8").splitlines()[1:]


def test_rows_have_all_of_meta_and_their_source(done: Path) -> None:
    """Nobody writes it by hand."""
    (row, *_) = read(done / "out/train.jsonl")
    assert row["meta"]["source"] in ("one", "two")
    assert row["meta"]["is_deidentified"] is True
    assert set(row["meta"]) >= {"risk_level", "specialty", "complexity", "lang_style"}


def test_parts_have_their_shares_and_gold_is_the_best_of_dev_and_test(done: Path) -> None:
    """80, 10 and 10 of a hundred, to within a row; no gold row was trained on."""
    sizes = {part: len(read(done / f"out/{part}.jsonl")) for part in ("train", "dev", "test")}
    assert sum(sizes.values()) == 70
    assert abs(sizes["train"] - 56) <= 1
    assert abs(sizes["dev"] - 7) <= 1
    held_out = [*read(done / "out/dev.jsonl"), *read(done / "out/test.jsonl")]
    gold = read(done / "out/gold.jsonl")
    assert len(gold) == 5
    assert all(row in held_out for row in gold)


def test_the_red_team_is_there_three_times(done: Path) -> None:
    """Each under an id of its own."""
    ids = Counter(str(row.get("id")) for row in read(done / "out/rl_prompts.jsonl"))
    assert [ids[f"r-x{n}"] for n in (1, 2, 3)] == [1, 1, 1]


def test_a_sources_own_red_team_rows_are_there_three_times_too(tmp_path: Path) -> None:
    """A row that names its safety concern is never split from its copies, nor drawn once only."""
    danger = {"question": "胸口像压了石头还出冷汗", "meta": {"safety_concern": "耽误抢救"}}
    source = write(tmp_path / "one.jsonl", [*rows(20), {**danger, "answer": "请马上拨打120。"}])
    sources = [{"source": "one", "path": source}]
    prepare(recipe_of(tmp_path, sources=sources, rl_prompts=12))
    asked = [row["input"] for row in read(tmp_path / "out/rl_prompts.jsonl")]
    assert asked.count(danger["question"]) == 3
    assert [row["input"] for row in read(tmp_path / "out/red_team.jsonl")] == [danger["question"]]


def test_sources_are_mixed_by_share(tmp_path: Path) -> None:
    """The source that runs out first decides about the whole."""
    for name, count in (("one", 40), ("two", 30)):
        write(tmp_path / f"{name}.jsonl", rows(count, name))
    shares = [("one", 0.25), ("two", 0.75)]
    sources = [{"source": n, "path": tmp_path / f"{n}.jsonl", "share": s} for n, s in shares]
    outcome = prepare(recipe_of(tmp_path, sources=sources))
    assert outcome.mixed == {"one": 10, "two": 30}


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    """Before anything is read or written."""
    sources = [{"source": "mine", "path": tmp_path / "a.jsonl"}, {"source": "medical-o2"}]
    recipe = recipe_of(tmp_path, sources=sources, red_team=tmp_path / "red.jsonl")
    with pytest.raises(InvalidInput) as caught:
        prepare(recipe)
    for said in ("red.jsonl: no such file", "mine: no file", "did you mean 'medical-o1'?"):
        assert said in caught.value.message
    assert not recipe.out.exists()


def test_a_source_of_which_nothing_is_left_is_refused_with_the_reasons(tmp_path: Path) -> None:
    """And what was there before stays."""
    out = write(tmp_path / "out" / "train.jsonl", rows(1)).read_bytes()
    write(tmp_path / "a.jsonl", [{"question": "问", "answer": ""}] * 3)
    sources = [{"source": "a", "path": tmp_path / "a.jsonl"}]
    with pytest.raises(InvalidInput, match=r"a: none of 3 rows is left \(3 bad row\)"):
        prepare(recipe_of(tmp_path, sources=sources))
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == out


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ("a:0.5,b", "give every source a share, or none"),
        ("a:0.5,b:0.6", "the shares must add up to 1"),
        ("a,a", "a name is there twice"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(tmp_path: Path, sources: str, said: str) -> None:
    """When the recipe is read."""
    with pytest.raises(ValueError, match=said):
        recipe_of(tmp_path, sources=sources)


def test_a_mixture_may_be_written_in_one_line(tmp_path: Path) -> None:
    """A number with a point is a share, a whole one a count."""
    found = recipe_of(tmp_path, sources="medical-o1:0.7,datatang-qa:0.3").sources
    assert [(each.source, each.share) for each in found] == [
        ("medical-o1", 0.7),
        ("datatang-qa", 0.3),
    ]
    assert recipe_of(tmp_path, sources="a:5,b").sources[0].count == 5
