"""The judge's verdict as HTML."""

from __future__ import annotations

from typing import Any

import pytest

from judge.schemas import ScoreResult
from tests.fakes.services import verdict_of
from webui import verdict
from webui.markup import Mark
from webui.text import Notice

RESPONSE = "<think>想</think>请尽快就医，<b>自行</b>用药有风险"


def result(words: dict[str, tuple[str, float]] | None = None, **changes: Any) -> ScoreResult:
    return ScoreResult.model_validate({**verdict_of(RESPONSE, words or {}, **changes), "id": "1"})


def panel(**changes: Any) -> str:
    words = {"advises_doctor": ("请尽快就医", 0.15), "made_up_rule": ("<b>自行</b>用药", -0.5)}
    return verdict.panel(result(words, **changes), RESPONSE, "medical-safety")


def test_reward_has_its_sign_and_its_rubric() -> None:
    """A reward is a signed number under a named rubric."""
    assert "<strong>+0.62</strong>" in panel()
    assert "<strong>-1.50</strong>" in panel(reward=-1.5)
    assert "medical-safety" in panel()


@pytest.mark.parametrize(("provider", "is_mock"), [("mock", True), ("api.deepseek.com", False)])
def test_mock_is_said_only_of_the_mock(provider: str, is_mock: bool) -> None:
    """The mock's label stands beside its reward, and beside no real teacher's."""
    shown = panel(provider=provider)
    assert ("模拟评审 MOCK" in shown) == is_mock
    assert provider in shown


def test_failed_judgement_shows_no_number() -> None:
    """A failure has no reward, neither 0 nor any other, and gives its reason."""
    error = {"code": "upstream_failed", "message": "teacher <gone>", "retryable": True}
    failed = {"status": "failed", "reward": None, "rules": None, "teacher": None, "error": error}
    shown = verdict.panel(result(**failed), RESPONSE, "medical")
    assert "评审失败" in shown
    assert "teacher &lt;gone&gt; (upstream_failed)" in shown
    assert "0.00" not in shown
    assert "可以重新评审" in shown


def test_every_dimension_has_a_bar_of_its_length() -> None:
    """Known dimensions have names in both languages, unknown ones their own."""
    teacher = {"safety": 0.9, "novel_one": 0.25, "overall": 0.7, "why": ""}
    shown = panel(teacher=teacher)
    for label, width, value in (("安全 Safety", 90, "0.90"), ("novel one", 25, "0.25")):
        assert f'aria-label="{label}"' in shown
        assert f'<b style="width:{width}%"></b></i><span>{value}</span>' in shown


def test_rules_stand_worst_first_with_the_words_they_saw() -> None:
    """Each rule shows its effect and quotes the response, escaped."""
    shown = panel()
    assert shown.index("-0.50") < shown.index("+0.15")
    assert "<q>请尽快就医</q>" in shown
    assert "<q>&lt;b&gt;自行&lt;/b&gt;用药</q>" in shown


def test_long_words_are_shortened() -> None:
    """A rule that saw half the answer quotes its beginning."""
    text = "长" * 200
    whole = ScoreResult.model_validate(
        {**verdict_of(text, {"repeated_sentences": (text, -0.3)}), "id": "1"}
    )
    assert f"<q>{'长' * 59}…</q>" in verdict.panel(whole, text, "medical")


def test_rules_only_says_that_no_teacher_spoke() -> None:
    """A reward from the rules alone is not passed off as a teacher's."""
    shown = panel(status="rules_only", teacher=None, provider="rules")
    assert "奖励只来自规则" in shown
    assert 'class="bar' not in shown


def test_flags_are_named_as_violations() -> None:
    """A flagged answer is never shown in the colour of good ones."""
    shown = panel(flags=["rx_misuse"])
    assert "安全违规" in shown
    assert "处方药使用不当 Prescription misuse" in shown
    assert 'class="reward bad"' in shown


def test_marks_are_the_rules_spans() -> None:
    """Every hit with a span marks it, good or bad by its effect; one without marks nothing."""
    hits = [
        {"rule": "hedges", "effect": 0.15, "span": [3, 5]},
        {"rule": "no_referral", "effect": -0.1, "span": None},
    ]
    judged = result(rules={"total": 0.05, "hits": hits})
    assert verdict.marks(judged) == [Mark(3, 5, "表述谨慎 Hedges +0.15", good=True)]
    assert verdict.marks(None) == []


def test_flagged_danger_is_bad_though_it_weighs_nothing() -> None:
    """In a rubric that gives a danger no weight, its words are still marked as bad."""
    judged = result({"rx_misuse": ("用药", 0.0)}, flags=["rx_misuse"])
    assert [mark.good for mark in verdict.marks(judged)] == [False]


def test_message_is_escaped() -> None:
    """An error's words are text too."""
    shown = verdict.message(Notice("<坏>", "<bad>"), "failed")
    assert "&lt;坏&gt;" in shown
    assert "&lt;bad&gt;" in shown
    assert 'data-status="failed"' in shown


def test_what_the_teacher_denied_is_said_and_is_no_violation() -> None:
    """A suspicion of a rule is shown apart from what counts."""
    hit = {"rule": "rx_misuse", "effect": -1.0, "span": None, "standing": "suspected"}
    shown = panel(rules={"total": 0.0, "hits": [], "disputed": [hit]})
    assert "教师否认：处方药使用不当" in shown
    assert "安全违规" not in shown
