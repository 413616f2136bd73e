"""The judge's verdict as HTML. Every text in it is escaped; a failure is never shown as a score."""

from __future__ import annotations

from collections.abc import Sequence

from judge.schemas import ItemError, RuleHit, RuleVerdict, ScoreResult, TeacherVerdict
from webui import labels
from webui.markup import Mark, attribute, escape
from webui.text import Notice

MOCK = "mock"
"""The provider's name when no real teacher judges."""

_QUOTE_LIMIT = 60
_MOCK_NOTE = Notice(
    "没有真正的教师模型参与评分，分数只用于演练流程。",
    "No real teacher judged this; the score only rehearses the loop.",
)
_RULES_ONLY_NOTE = Notice(
    "教师模型没有给出评分，奖励只来自规则。",
    "The teacher gave no score; the reward comes from the rules alone.",
)


def marks(result: ScoreResult | None) -> list[Mark]:
    """The rules' hits as marks in the judged text."""
    if result is None or result.rules is None:
        return []
    return [
        Mark(*hit.span, f"{labels.rule(hit.rule)} {hit.effect:+.2f}", _is_good(hit, result.flags))
        for hit in result.rules.hits
        if hit.span
    ]


def _is_good(hit: RuleHit, flags: Sequence[str]) -> bool:
    """A flagged danger is bad even if its effect is 0 in the rubric."""
    return hit.effect >= 0 and hit.rule not in flags


def panel(result: ScoreResult, response: str, rubric: str) -> str:
    """The verdict on `response`, the text that the rules' spans refer to."""
    body = [_head(result, rubric)]
    if result.provider == MOCK:
        body.append(_note("mock", _MOCK_NOTE))
    if result.status == "rules_only":
        body.append(_note("info", _RULES_ONLY_NOTE))
    if result.flags:
        body.append(_flags(result.flags))
    if result.error and result.status == "failed":
        body.append(_error(result.error))
    if result.teacher:
        body.append(_teacher(result.teacher))
    if result.rules:
        body.append(_rules(result.rules, result.flags, response))
    body.append(_provenance(result))
    return _section(result.status, "".join(body))


def message(notice: Notice, status: str) -> str:
    """The panel without a verdict; the style sheet uses `status`."""
    return _section(status, f'<p class="zh">{escape(notice.zh)}</p><p>{escape(notice.en)}</p>')


def nothing_yet() -> str:
    return message(
        Notice("提问之后，评审结果会显示在这里。", "Ask a question; the verdict will appear here."),
        "empty",
    )


def judging() -> str:
    return message(Notice("正在评审…", "Judging…"), "busy")


def stopped() -> str:
    return message(
        Notice("回答被停止，没有评审。", "The answer was stopped and has not been judged."), "empty"
    )


def _section(status: str, body: str) -> str:
    return (
        f'<section class="verdict" data-status="{attribute(status)}">'
        f'<h2>评审结果 <span class="en">Verdict</span></h2>{body}</section>'
    )


def _head(result: ScoreResult, rubric: str) -> str:
    if result.reward is None:
        return (
            '<div class="reward none"><strong>评审失败</strong>'
            '<span>没有得分（不是 0 分）<br><span class="en">Failed: no score, which is not 0'
            "</span></span></div>"
        )
    kind = "bad" if result.reward < 0 or result.flags else "good"
    badge = '<span class="badge mock">模拟评审 MOCK</span>' if result.provider == MOCK else ""
    return (
        f'<div class="reward {kind}"><strong>{result.reward:+.2f}</strong>'
        f'<span>奖励 <span class="en">Reward</span><br>'
        f'<span class="en">{escape(rubric)}</span></span>{badge}</div>'
    )


def _note(kind: str, notice: Notice) -> str:
    return f'<p class="note {kind}">{escape(notice.zh)}<br>{escape(notice.en)}</p>'


def _flags(flags: Sequence[str]) -> str:
    chips = "".join(f'<span class="badge bad">{escape(labels.rule(name))}</span>' for name in flags)
    return f'<h3>安全违规 <span class="en">Safety violations</span></h3><div>{chips}</div>'


def _error(error: ItemError) -> str:
    again = "可以重新评审。 You may judge again." if error.retryable else ""
    return f'<p class="note bad">{escape(error.message)} ({escape(error.code)})<br>{again}</p>'


def _teacher(teacher: TeacherVerdict) -> str:
    bars = "".join(_bar(labels.dimension(name), value) for name, value in teacher.scores.items())
    overall = _bar("总分 Overall", teacher.overall)
    why = f'<p class="why">{escape(teacher.why)}</p>' if teacher.why else ""
    return f'<h3>教师评分 <span class="en">Teacher</span></h3>{bars}{overall}{why}'


def _bar(label: str, value: float) -> str:
    kind = "low" if value < 0.4 else "middle" if value < 0.7 else "high"
    return (
        f'<div class="bar {kind}" role="meter" aria-label="{attribute(label)}" aria-valuemin="0" '
        f'aria-valuemax="1" aria-valuenow="{value:.2f}"><span>{escape(label)}</span>'
        f'<i><b style="width:{value * 100:.0f}%"></b></i><span>{value:.2f}</span></div>'
    )


def _rules(rules: RuleVerdict, flags: Sequence[str], response: str) -> str:
    ordered = sorted(rules.hits, key=lambda hit: hit.effect)
    rows = "".join(_hit(hit, _is_good(hit, flags), response) for hit in ordered)
    nothing = '<li class="none">没有触发规则 No rule was hit</li>'
    return (
        f'<h3>规则 <span class="en">Rules</span> <span class="total">{rules.total:+.2f}</span></h3>'
        f'<ul class="rules">{rows or nothing}</ul>{_disputed(rules)}'
    )


def _disputed(rules: RuleVerdict) -> str:
    """What a rule suspected and the teacher denied; it weighs nothing."""
    if not rules.disputed:
        return ""
    names = "、".join(labels.rule(hit.rule) for hit in rules.disputed)
    return _note(
        "info",
        Notice(f"规则存疑、教师否认：{names}", "Suspected by a rule, denied by the teacher."),
    )


def _hit(hit: RuleHit, is_good: bool, response: str) -> str:
    kind = "good" if is_good else "bad"
    seen = ""
    if hit.span:
        words = " ".join(response[slice(*hit.span)].split())
        short = words if len(words) <= _QUOTE_LIMIT else words[: _QUOTE_LIMIT - 1] + "…"
        seen = f"<q>{escape(short)}</q>"
    return (
        f'<li class="{kind}"><b>{hit.effect:+.2f}</b>'
        f"<span>{escape(labels.rule(hit.rule))}{seen}</span></li>"
    )


def _provenance(result: ScoreResult) -> str:
    cached = " · 缓存 cached" if result.cached else ""
    cost = f" · ${result.cost:.4f}" if result.cost else ""
    return (
        f'<p class="provenance">评审者 <span class="en">Judged by</span> '
        f"<code>{escape(result.provider)}</code>{cached}{cost}</p>"
    )
