"""A conversation as messages of Gradio's chatbot: plain dictionaries, no widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webui.markup import Mark, escape, plain, rendered
from webui.text import Notice, Turn, View, view

REASONING_TITLE = "思考过程 Reasoning"

_CUT_OFF = Notice(
    "思考还没结束就到了长度上限，没有得到答案。",
    "The length limit came before the end of the reasoning; there is no answer.",
)
_SHORTENED = Notice("答案到长度上限被截断。", "The answer was cut at the length limit.")
_STOPPED = Notice("已停止。", "Stopped.")
_EMPTY = Notice("模型没有写出任何内容。", "The model wrote nothing.")


def bubbles(
    turns: Sequence[Turn], *, marks: Sequence[Mark] = (), busy: bool = False
) -> list[dict[str, Any]]:
    """Messages for all turns; `marks` belong to the last, which is being written if `busy`."""
    shown: list[dict[str, Any]] = []
    for number, turn in enumerate(turns, start=1):
        last = number == len(turns)
        shown.append({"role": "user", "content": plain(turn.question)})
        shown.extend(_answer(turn, marks if last else (), busy and last))
    return shown


def _answer(turn: Turn, marks: Sequence[Mark], busy: bool) -> list[dict[str, Any]]:
    seen = view(turn.reply.text)
    parts: list[dict[str, Any]] = []
    if seen.reasoning.text:
        status = "pending" if busy and seen.thinking else "done"
        parts.append(_message(rendered(seen.reasoning, marks), REASONING_TITLE, status))
    if seen.answer.text or not busy:
        body = rendered(seen.answer, marks) if seen.answer.text else ""
        notice = None if busy else turn.problem or _shortfall(turn, seen)
        parts.append(_message(body + _footer(turn, notice, busy)))
    elif not seen.reasoning.text:
        parts.append(_message('<div class="galen-wait">正在等待模型… Waiting for the model…</div>'))
    return parts


def _message(content: str, title: str | None = None, status: str | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if title:
        message["metadata"] = {"title": title, "status": status}
    return message


def _shortfall(turn: Turn, seen: View) -> Notice | None:
    """What the reader must know about an incomplete answer."""
    if not turn.finished:
        return _STOPPED
    if turn.reply.finish_reason == "length":
        return _SHORTENED if seen.answer.text else _CUT_OFF
    return None if seen.answer.text else _EMPTY


def _footer(turn: Turn, notice: Notice | None, busy: bool) -> str:
    lines = ""
    if notice:
        kind = "problem" if turn.problem else "remark"
        text = f"{escape(notice.zh)}<br>{escape(notice.en)}"
        lines += f'<div class="galen-{kind}">{text}</div>'
    if turn.reply.version and not busy:
        version = f"<code>{escape(turn.reply.version)}</code>"
        lines += f'<div class="galen-version">回答版本 Written by {version}</div>'
    return lines
