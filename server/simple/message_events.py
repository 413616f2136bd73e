"""The events by which a message of Anthropic's API is streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.simple import answers


class Blocks:
    """The blocks of a streamed message; at most one of them is open."""

    def __init__(self) -> None:
        self.called = False
        self._index = -1
        self._open: str | None = None

    def add(self, delta: dict[str, Any]) -> Iterator[bytes]:
        """The events for what a chat's delta adds."""
        if reasoning := delta.get("reasoning"):
            yield from self._begin("thinking", {"thinking": "", "signature": ""})
            yield self._piece("thinking_delta", thinking=reasoning)
        if content := delta.get("content"):
            yield from self._begin("text", {"text": ""})
            yield self._piece("text_delta", text=content)
        for call in delta.get("tool_calls", ()):
            self.called = True
            yield from self.close()
            yield from self._begin("tool_use", {**tool_use(call), "input": {}})
            yield self._piece("input_json_delta", partial_json=call["function"]["arguments"])

    def close(self) -> Iterator[bytes]:
        if self._open:
            self._open = None
            yield event("content_block_stop", index=self._index)

    def _begin(self, kind: str, empty: dict[str, Any]) -> Iterator[bytes]:
        if self._open != kind:
            yield from self.close()
            self._open, self._index = kind, self._index + 1
            block = {"type": kind, **empty}
            yield event("content_block_start", index=self._index, content_block=block)

    def _piece(self, kind: str, **delta: str) -> bytes:
        return event("content_block_delta", index=self._index, delta={"type": kind, **delta})


def tool_use(call: dict[str, Any]) -> dict[str, Any]:
    """A call of ours as one of their blocks, without its input."""
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"]}


def event(kind: str, **told: Any) -> bytes:
    """One server-sent event."""
    return b"event: " + kind.encode() + b"\n" + answers.event({"type": kind, **told})
