"""Errors in words."""

from __future__ import annotations

import pytest

from galen.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    GalenError,
    NotFound,
    Overloaded,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from webui.explain import JUDGE, SERVER, explain


@pytest.mark.parametrize(
    ("error", "zh", "en"),
    [
        (Unavailable("x"), "make up", "make up"),
        (DeadlineExceeded("x"), "稍后再试", "Try again"),
        (Overloaded("x"), "稍后再试", "Try again"),
        (Unauthorized("x"), "GALEN_KEY", "GALEN_KEY"),
        (Forbidden("x"), "admin", "admin"),
        (NotFound("x"), "刷新", "Refresh"),
        (Conflict("parity probe failed"), "没有切换", "parity probe failed"),
        (UpstreamFailed("x"), "新建对话", "start a new one"),
    ],
)
def test_every_error_says_what_to_do_in_both_languages(error: GalenError, zh: str, en: str) -> None:
    """A reader is told what to do, in Chinese and in English."""
    notice = explain(error, SERVER)
    assert zh in notice.zh
    assert en in notice.en
    assert "{" not in notice.zh + notice.en


def test_service_at_fault_is_named() -> None:
    """The same fault of two services reads differently."""
    assert "评审服务" in explain(Unavailable("x"), JUDGE).zh
    assert "policy server" in explain(Unavailable("x"), SERVER).en


def test_braces_in_a_services_message_are_only_text() -> None:
    """A service's own words never act as a template."""
    assert "{zh}" in explain(NotFound("no {zh}"), SERVER).en
