"""What all formats share: texts and turns out of a row, with clear refusals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainer.data.example import Example, Message, Role
from trainer.data.problems import BadRow

ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}
"""The names of speakers in the common formats."""


def text(row: Mapping[str, Any], field: str) -> str:
    """A text that may be missing; empty then."""
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRow(field, f"must be a text, found {kind_of(value)}", "write it as a text")
    return _storable(value, field)


def needed(row: Mapping[str, Any], field: str) -> str:
    """A text that must hold more than white space."""
    value = text(row, field)
    if not value.strip():
        raise BadRow(field, "is empty", "fill it in, or delete the row")
    return value


def mapping(row: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = row.get(field) or {}
    if not isinstance(value, Mapping):
        raise BadRow(field, f"must be an object, found {kind_of(value)}", "write it as {…}")
    return value


def identifier(row: Mapping[str, Any]) -> str | None:
    value = row.get("id")
    return None if value is None else str(value)


def others(row: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The columns that the format gives no meaning."""
    left = {"id", "meta", *known}
    return {name: value for name, value in row.items() if name not in left}


def turns(
    value: Any, field: str, role_key: str = "role", text_key: str = "content"
) -> tuple[Message, ...]:
    """A list of turns, each an object with a speaker and a text."""
    if not isinstance(value, list | tuple):
        raise BadRow(field, f"must be a list of turns, found {kind_of(value)}", "write it as […]")
    return tuple(
        turn(each, f"{field}.{index}", role_key, text_key) for index, each in enumerate(value)
    )


def history(row: Mapping[str, Any]) -> Iterator[Message]:
    """Earlier turns, as pairs of question and answer."""
    value = row.get("history") or []
    if not isinstance(value, list | tuple):
        found = kind_of(value)
        raise BadRow(
            "history", f"must be a list of pairs, found {found}", "write [[question, answer], …]"
        )
    for index, pair in enumerate(value):
        if not (isinstance(pair, list | tuple) and [type(each) for each in pair] == [str, str]):
            raise BadRow(f"history.{index}", "must be two texts", "write [question, answer]")
        yield Message("user", pair[0])
        yield Message("assistant", pair[1])


def turn(value: Any, field: str, role_key: str = "role", text_key: str = "content") -> Message:
    """One turn; its text may be a list of text parts, as OpenAI's clients write it."""
    if not isinstance(value, Mapping):
        raise BadRow(field, f"must be an object, found {kind_of(value)}", "write it as {…}")
    name = value.get(role_key)
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        known = ", ".join(ROLES)
        shown = repr(name)[:40] if isinstance(name, str) else kind_of(name)
        raise BadRow(f"{field}.{role_key}", f"unknown speaker {shown}", f"use one of {known}")
    content = value.get(text_key)
    if isinstance(content, list | tuple):
        content = "".join(_part(part, f"{field}.{text_key}") for part in content)
    if not isinstance(content, str):
        raise BadRow(
            f"{field}.{text_key}", f"must be a text, found {kind_of(content)}", "write it as a text"
        )
    thought = value.get("reasoning_content")
    if role == "assistant" and isinstance(thought, str) and thought.strip():
        content = f"<think>\n{thought.strip()}\n</think>\n\n{content}"
    return Message(role, _storable(content, f"{field}.{text_key}"))


def _storable(value: str, field: str) -> str:
    if "\x00" in value:
        raise BadRow(field, "contains a NUL character", "remove it")
    return value


def _part(part: Any, field: str) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") == "text":
        value = part.get("text", part.get("value"))
        if isinstance(value, str):
            return value
    raise BadRow(field, "holds a part that is no text", "only text can be trained on")


def kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
    return names.get(type(value), "a number")


def kept(example: Example, row: Mapping[str, Any]) -> dict[str, Any]:
    """`row` with what every format keeps. Where a column would be there twice, the row's wins."""
    first: dict[str, Any] = {"id": example.id} if example.id else {}
    meta = {"meta": dict(example.meta)} if example.meta else {}
    return {**first, **example.extra, **row, **meta}
