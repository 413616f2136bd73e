"""Laws of the gold set: the best rows by a judge's score, else by form and completeness."""

from __future__ import annotations

import random
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.split import Gold, quality

GOOD = """<think>
先看有没有危险信号，再想常见的原因，最后说什么时候要去医院。
</think>

可能是着凉或吃坏了东西。建议多喝温水，饮食清淡，注意休息。如果超过三天不好，或发烧、便血，请及时就医。以上仅供参考。"""


def row(output: str, question: str = "肚子不舒服怎么办", **columns: Any) -> Example:
    meta = {"risk_level": columns.pop("risk_level", "low"), "faults": columns.pop("faults", ())}
    messages = (Message("user", question), Message("assistant", output))
    return Example(messages, meta=meta, extra=columns)


def test_a_sound_answer_breaks_no_rule() -> None:
    """A careful answer with its thought passes every rule."""
    assert quality(row(GOOD)) == ((0, 1.0), ())


def test_each_rule_is_named_where_it_is_broken() -> None:
    """What is wrong with an answer is said in words."""
    assert "has a closed thought" in quality(row(GOOD.split("</think>")[1]))[1]
    assert "repeats no sentence" in quality(row(GOOD + "请多喝温水休息。" * 2))[1]
    assert "carries no fault on purpose" in quality(row(GOOD, faults=("x",)))[1]
    assert "sends a severe case to care at once" in quality(row(GOOD, risk_level="critical"))[1]
    assert "names causes" in quality(row("<think>\n好\n</think>\n\n喝水。"))[1]


def test_a_judges_score_decides_where_there_is_one() -> None:
    """A judged row ranks by its score, before any unjudged one."""
    assert quality(row("差", reward=0.9)) > quality(row(GOOD, reward=0.1)) > quality(row(GOOD))


def test_the_best_are_kept_in_any_order() -> None:
    """The gold set is the best rows, best first, whatever the order in which they come."""
    rows = [(row(GOOD, str(at), score=at), at) for at in range(50)]
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        gold = Gold(3)
        for example, name in rows:
            gold.show(example, name)
        assert gold.best() == [49, 48, 47]


def test_a_gold_set_of_nothing_is_empty() -> None:
    """No size and no rows make an empty set."""
    gold = Gold(0)
    gold.show(row(GOOD), 1)
    assert gold.best() == Gold(5).best() == []
