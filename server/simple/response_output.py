"""The output of a response as it grows: its items, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

Event = tuple[str, dict[str, Any]]
"""An event's type and what it tells."""

_PARTS = {"message": "output_text", "reasoning": "reasoning_text"}
"""The one part that an item of text has."""


class Output:
    """`items` holds what was said so far; at most its last item is still open."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._open: str | None = None

    def add(self, delta: dict[str, Any]) -> Iterator[Event]:
        """The events for what a chat's delta adds."""
        if reasoning := delta.get("reasoning"):
            yield from self._say("reasoning", {"summary": [], "content": []}, reasoning)
        if content := delta.get("content"):
            yield from self._say("message", {"role": "assistant", "content": []}, content)
        for call in delta.get("tool_calls", ()):
            yield from self._call(call)

    def close(self) -> Iterator[Event]:
        """The events that end the open item, if one is open."""
        if self._open is None:
            return
        kind, self._open = _PARTS[self._open], None
        part, item = self._last["content"][0], self._last
        yield f"response.{kind}.done", {**self._place(), **_extra(kind), "text": part["text"]}
        yield "response.content_part.done", {**self._place(), "part": part}
        item["status"] = "completed"
        yield "response.output_item.done", {"output_index": self._index, "item": item}

    @property
    def _index(self) -> int:
        return len(self.items) - 1

    @property
    def _last(self) -> dict[str, Any]:
        return self.items[-1]

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._last["id"], "output_index": self._index, "content_index": 0}

    def _say(self, kind: str, empty: dict[str, Any], text: str) -> Iterator[Event]:
        name = _PARTS[kind]
        if self._open != kind:
            yield from self.close()
            yield from self._begin(kind, empty)
            self._open = kind
            part: dict[str, Any] = {"type": name, "text": ""}
            if kind == "message":
                part["annotations"] = []
            self._last["content"].append(part)
            yield "response.content_part.added", {**self._place(), "part": dict(part)}
        self._last["content"][0]["text"] += text
        yield f"response.{name}.delta", {**self._place(), **_extra(name), "delta": text}

    def _call(self, call: dict[str, Any]) -> Iterator[Event]:
        yield from self.close()
        function, arguments = call["function"], call["function"]["arguments"]
        given = {"call_id": call["id"], "name": function["name"], "arguments": ""}
        yield from self._begin("function_call", given)
        self._last.update(arguments=arguments, status="completed")
        place = {"item_id": self._last["id"], "output_index": self._index}
        yield "response.function_call_arguments.delta", {**place, "delta": arguments}
        done = {"name": function["name"], "arguments": arguments}
        yield "response.function_call_arguments.done", {**place, **done}
        yield "response.output_item.done", {"output_index": self._index, "item": self._last}

    def _begin(self, kind: str, fields: dict[str, Any]) -> Iterator[Event]:
        item = {"id": f"{kind}_{uuid4().hex}", "type": kind, "status": "in_progress", **fields}
        self.items.append(item)
        # Told as it is now: what is told later must not be in it.
        empty = {name: list(v) if isinstance(v, list) else v for name, v in item.items()}
        yield "response.output_item.added", {"output_index": self._index, "item": empty}


def _extra(kind: str) -> dict[str, Any]:
    return {"logprobs": []} if kind == "output_text" else {}
