"""Reads rows with a question, in all common formats, as chat messages.

    {"messages": [{"role": …, "content": …}, …]}      a conversation; also as a list in "prompt"
    {"conversations": [{"from": "human", "value": …}, …], "system": …}          ShareGPT
    {"instruction": …, "input": …}                    ours and alpaca's; without an input the
                                                      instruction is the question
    {"prompt": "…"} or {"question": "…"}              plain
    a text file                                       one question a line

The first format that a row has is used. An answer at the end of a conversation is dropped, since
the model writes its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    RootModel,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from galen.records import CleanText, NonBlank, first_problem, read_jsonl, read_text_lines

Role = Literal["system", "user", "assistant"]

_SPEAKERS: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


class Message(BaseModel):
    """Other fields are ignored."""

    model_config = ConfigDict(frozen=True)

    role: Role
    content: CleanText


_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])
_QUESTION: TypeAdapter[str] = TypeAdapter(NonBlank)


class QuestionRow(RootModel[dict[str, JsonValue]]):
    """A row with all its fields; one of them holds a question."""

    @model_validator(mode="after")
    def _check(self) -> QuestionRow:
        try:
            self.root_text()
        except UnicodeEncodeError:
            raise ValueError("contains a lone surrogate, which is not a character") from None
        self.messages()
        return self

    def root_text(self) -> bytes:
        """The row as JSON."""
        return json.dumps(self.root, ensure_ascii=False).encode("utf-8")

    def messages(self, system: str | None = None) -> list[Message]:
        """The messages to send; `system` comes first if the row has no system message.

        Raises `ValueError` for a row without a question.
        """
        found = _messages_of(self.root)
        while found and found[-1].role == "assistant":
            found.pop()
        if not found or found[-1].role != "user":
            raise ValueError("the conversation does not end with a question")
        if system and found[0].role != "system":
            found.insert(0, Message(role="system", content=system))
        return found


def read_questions(path: Path) -> list[QuestionRow]:
    """The rows of a `.txt` or JSON-lines file.

    Raises `DataError`, which names each bad line, and `InvalidInput` for an unusable path.
    """
    if path.suffix.lower() == ".txt":
        return [QuestionRow({"question": line}) for line in read_text_lines(path)]
    return read_jsonl(path, QuestionRow)


def _messages_of(row: dict[str, Any]) -> list[Message]:
    for field in ("messages", "prompt"):
        if isinstance(row.get(field), list):
            return _checked(field, row[field])
    if "conversations" in row:
        return _from_sharegpt(row)
    if "instruction" in row or "input" in row:
        return _from_alpaca(row)
    for field in ("prompt", "question"):
        if field in row:
            return [_message("user", field, row[field])]
    raise ValueError("none of messages, conversations, instruction, input, prompt, question")


def _from_alpaca(row: dict[str, Any]) -> list[Message]:
    instruction, question = row.get("instruction") or "", row.get("input") or ""
    if not question:
        return [_message("user", "instruction", instruction)]
    asked = _message("user", "input", question)
    return [_message("system", "instruction", instruction), asked] if instruction else [asked]


def _from_sharegpt(row: dict[str, Any]) -> list[Message]:
    turns = row["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("conversations: must be a list of objects")
    items = [{"role": _SPEAKERS.get(str(t.get("from"))), "content": t.get("value")} for t in turns]
    system = [_message("system", "system", row["system"])] if row.get("system") else []
    return [*system, *_checked("conversations", items)]


def _message(role: Role, field: str, text: Any) -> Message:
    try:
        return Message(role=role, content=_QUESTION.validate_python(text))
    except ValidationError as error:
        reason = first_problem(error).partition(": ")[2]
        raise ValueError(f"{field}: {reason}") from None


def _checked(field: str, messages: Any) -> list[Message]:
    try:
        return _MESSAGES.validate_python(messages)
    except ValidationError as error:
        raise ValueError(f"{field}.{first_problem(error)}") from None
