"""Laws of the split: shares, strata, order, and near-duplicates that stay together."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.example import Example, Message
from trainer.data.split import assign
from trainer.data.split.groups import RUN, Groups, normalised

LETTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


def row(question: str, answer: str = "多休息。", **meta: Any) -> Example:
    return Example((Message("user", question), Message("assistant", answer)), meta=meta)


def questions(count: int, seed: int = 0) -> list[str]:
    """Texts that have next to nothing in common."""
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS, k=40)) for _ in range(count)]


def jaccard(one: str, other: str) -> float:
    a, b = (
        {text[at : at + RUN] for at in range(len(text) - RUN + 1)}
        for text in map(normalised, (one, other))
    )
    return len(a & b) / len(a | b)


def test_each_stratum_is_shared_eight_to_one_to_one() -> None:
    """In every risk level and source the parts have 80, 10 and 10 % of the rows, to within two."""
    rows = [
        row(text, risk_level=("low", "high", "critical")[at % 3], source=("a", "b")[at % 2])
        for at, text in enumerate(questions(600))
    ]
    parts = assign(rows)
    whole = Counter(parts)
    assert (whole["train"], whole["dev"], whole["test"]) == (480, 60, 60)
    strata = Counter(
        (each.meta["risk_level"], each.meta["source"], part)
        for each, part in zip(rows, parts, strict=True)
    )
    for (*_, part), count in strata.items():
        assert abs(count - {"train": 80, "dev": 10, "test": 10}[part]) <= 2


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_rows_changes_nothing(draw: random.Random) -> None:
    """The same rows get the same parts in any order, equal and nearly equal ones among them."""
    texts = questions(40)
    rows = [row(text, risk_level="low", source=s) for text in texts for s in ("a", "b")]
    rows += [row(text[:-1], "别的回答", risk_level="high", source="c") for text in texts]
    expected = dict(zip(map(str, rows), assign(rows), strict=True))
    draw.shuffle(rows)
    assert dict(zip(map(str, rows), assign(rows), strict=True)) == expected


def test_no_near_duplicate_is_in_two_parts() -> None:
    """Of pairs that another library finds alike at 0.8, none is split, and chains stay whole."""
    draw = random.Random(1)
    texts = questions(150)
    for text in texts[:100]:
        changed = list(text)
        changed[draw.randrange(40)] = draw.choice(LETTERS)
        texts.append("".join(changed))
    parts = assign([row(text, str(at)) for at, text in enumerate(texts)])
    lsh = MinHashLSH(threshold=0.7, num_perm=128)
    together = 0
    for at, text in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([text[i : i + RUN].encode() for i in range(len(text) - RUN + 1)])
        for other in lsh.query(sketch):
            if jaccard(text, texts[other]) >= 0.8:
                together += 1
                assert parts[at] == parts[other]
        lsh.insert(at, sketch)
    assert together > 50


def test_the_same_question_with_another_answer_stays_in_its_part() -> None:
    """Two answers to one question are never in different parts, whatever is between them."""
    texts = questions(60)
    rows = [row(text, str(copy)) for copy in range(3) for text in texts]
    parts = assign(rows)
    assert parts[:60] == parts[60:120] == parts[120:]


def test_the_red_team_takes_its_near_duplicates_with_it() -> None:
    """A row with a safety concern is never trained on, nor is a copy of it without one."""
    danger = "胸口像压了块石头，疼了二十分钟还出冷汗，先睡一觉行吗？"
    rows = [row(danger, safety_concern="耽误抢救"), row(danger + "！"), *map(row, questions(50))]
    parts = assign(rows)
    assert parts[:2] == ["red_team", "red_team"]
    assert "red_team" not in parts[2:]


def test_no_rows_have_no_parts() -> None:
    """An empty file and an empty text do no harm."""
    assert assign([]) == []
    assert assign([row("？")]) == ["train"]


def test_texts_that_differ_in_marks_only_are_one_group() -> None:
    """White space, punctuation, width and case do not tell two texts apart."""
    groups = Groups()
    for text in ("ABC 胸痛，怎么办？", "ａｂｃ胸痛怎么办", "完全不同的另一句话"):
        groups.add(text)
    assert groups.labels().tolist() == [0, 0, 2]
