"""Explains errors in Chinese and English: what is wrong, and what the reader can do."""

from __future__ import annotations

from galen.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    GalenError,
    NotFound,
    Overloaded,
    Unauthorized,
    Unavailable,
)
from webui.settings import KEY_VARIABLE
from webui.text import Notice

SERVER = Notice("策略服务", "policy server")
JUDGE = Notice("评审服务", "judge")

_ADVICE: tuple[tuple[type[GalenError], Notice], ...] = (
    (
        Unavailable,
        Notice(
            "{zh}暂时无法访问。请运行 galen status 查看，用 make up 启动后再试。",
            "The {en} cannot be reached. Run galen status; make up starts it; then try again.",
        ),
    ),
    (
        DeadlineExceeded,
        Notice(
            "{zh}没有在限定时间内回应。请稍后再试。",
            "The {en} did not answer in time. Try again in a moment.",
        ),
    ),
    (
        Overloaded,
        Notice("{zh}正忙，请稍后再试。", "The {en} is busy. Try again in a moment."),
    ),
    (
        Unauthorized,
        Notice(
            f"{{zh}}不接受本页面的密钥。请设置环境变量 {KEY_VARIABLE} 后重启页面。",
            f"The {{en}} refused this page's key. Set {KEY_VARIABLE} and restart the page.",
        ),
    ),
    (
        Forbidden,
        Notice(
            "本页面的密钥没有权限做这件事，需要 admin 角色。",
            "This page's key may not do that; it needs the role admin.",
        ),
    ),
    (
        Conflict,
        Notice(
            "{zh}拒绝了，没有切换，仍由原版本服务。",
            "The {en} refused; the previous version still serves.",
        ),
    ),
    (
        NotFound,
        Notice(
            "{zh}找不到所请求的内容。请刷新版本列表，另选一个。",
            "The {en} cannot find it. Refresh the list of versions and choose another.",
        ),
    ),
)
_OTHERWISE = Notice(
    "{zh}报告了错误。对话太长时请新建对话。",
    "The {en} reported an error. If the conversation is long, start a new one.",
)
_SELF_EXPLAINED = (Unavailable, DeadlineExceeded, Unauthorized)


def explain(error: GalenError, service: Notice) -> Notice:
    """What `error` of `service` means for the person at the page."""
    advice = next((notice for kind, notice in _ADVICE if isinstance(error, kind)), _OTHERWISE)
    detail = "" if isinstance(error, _SELF_EXPLAINED) else f" ({error.message})"
    return Notice(
        advice.zh.format(zh=service.zh, en=service.en),
        advice.en.format(zh=service.zh, en=service.en) + detail,
    )
