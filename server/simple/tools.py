"""Tool calls in Hermes' form, as Qwen3 writes them:

<tool_call>
{"name": "f", "arguments": {"x": 1}}
</tool_call>
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from server.simple.reasoning import TOOL_OPEN, overlap

TOOL_CLOSE = "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str
    """A JSON object, as text."""
    id: str = field(default_factory=lambda: f"chatcmpl-tool-{uuid4().hex[:16]}")

    def body(self) -> dict[str, Any]:
        """The call in OpenAI's shape."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Said:
    content: str = ""
    calls: tuple[ToolCall, ...] = ()


class ToolCallParser:
    """Content and calls as the text comes. A call that is no JSON stays content, as written.

    White space after a call is nobody's.
    """

    def __init__(self) -> None:
        self._held = ""
        self._in_call = False
        self._after_call = False

    def feed(self, text: str) -> Said:
        self._held += text
        content, calls = "", []
        while True:
            tag = TOOL_CLOSE if self._in_call else TOOL_OPEN
            before, found, after = self._held.partition(tag)
            if not found:
                break
            self._held = after
            if self._in_call and (call := read_call(before)):
                calls.append(call)
                self._after_call = True
            elif self._in_call:
                content += self._shown(TOOL_OPEN + before + TOOL_CLOSE)
            else:
                content += self._shown(before)
            self._in_call = not self._in_call
        if not self._in_call:
            end = len(self._held) - overlap(self._held, TOOL_OPEN)
            content += self._shown(self._held[:end])
            self._held = self._held[end:]
        return Said(content, tuple(calls))

    def finish(self) -> Said:
        """What was held back; a call that only lacks its closing tag is a call."""
        text, self._held = self._held, ""
        if self._in_call and (call := read_call(text)):
            return Said(calls=(call,))
        return Said((TOOL_OPEN if self._in_call else "") + text)

    def _shown(self, text: str) -> str:
        shown = text.lstrip() if self._after_call else text
        self._after_call = self._after_call and not shown
        return shown


def read_call(text: str) -> ToolCall | None:
    """The call that stands between the tags, or None if none does."""
    try:
        call = json.loads(text)
        if not isinstance(call, dict):
            return None
        arguments = call.get("arguments", {})
        # Some models write them as a text of their own.
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return None
    if not isinstance(arguments, dict) or not isinstance(call.get("name"), str):
        return None
    return ToolCall(call["name"], json.dumps(arguments, ensure_ascii=False))
