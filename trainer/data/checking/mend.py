"""What of a bad row can be mended without changing what it means."""

from __future__ import annotations

import re
from dataclasses import replace

from trainer.data.checking.marks import mark
from trainer.data.example import Example, Kind

_OPENING_MARK = re.compile(r"\A\s*<\|im_start\|>assistant\n")
_DOUBLED = (
    (re.compile(r"\A\s*(?:<think>\s*){2,}"), "<think>\n", "one <think> kept of several"),
    (re.compile(r"(?:</think>\s*){2,}"), "</think>\n\n", "one </think> kept of several"),
)


def mend(example: Example, kind: Kind) -> tuple[Example, list[str]]:
    """The example without what can be cut off it, and a sentence for each change."""
    changes: list[str] = []
    messages = example.messages
    if kind == "conversation" and example.kind == "prompt" and len(messages) > 2:
        messages = messages[:-1]
        changes.append("the last question is left out: it has no answer")
    messages = tuple(
        replace(each, content=_answer(each.content, changes)) if each.role == "assistant" else each
        for each in messages
    )
    chosen, rejected, completion = (
        _answer(text, changes) if isinstance(text, str) else text
        for text in (example.chosen, example.rejected, example.completion)
    )
    mended = replace(
        example, messages=messages, chosen=chosen, rejected=rejected, completion=completion
    )
    return mended, changes


def _answer(text: str, changes: list[str]) -> str:
    text = _OPENING_MARK.sub("", text)
    for pattern, one, change in _DOUBLED:
        if pattern.search(text):
            text = pattern.sub(one, text, count=1)
            changes.append(change)
    if found := mark(text, is_answer=True):
        changes.append(f"an answer is cut off before {found[0].strip()!r}")
        text = text[: found.start()].rstrip()
    return text
