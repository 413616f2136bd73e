"""A question and its answer under common names, with or without the thought beside it.

{"prompt": …, "completion": …}        TRL
{"question": …, "think": …, "answer": …}
{"Question": …, "Complex_CoT": …, "Response": …}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galen.transcript import THINK_CLOSE, THINK_OPEN
from trainer.data.example import Example, Message
from trainer.data.formats.fields import history, identifier, kept, mapping, needed, others, text
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow

QUESTIONS = ("question", "prompt", "query", "instruct", "Question", "problem")
THOUGHTS = ("think", "reasoning", "reasoning_content", "Complex_CoT", "cot")
ANSWERS = ("answer", "completion", "response", "Response", "output")


def fits(row: Mapping[str, Any]) -> bool:
    is_answered = any(name in row for name in ANSWERS)
    is_other = "instruction" in row or "input" in row
    return any(name in row for name in QUESTIONS) and (is_answered or not is_other)


def read(row: Mapping[str, Any]) -> Example:
    question, thought, answer = (_first(row, names) for names in (QUESTIONS, THOUGHTS, ANSWERS))
    system = text(row, "system")
    messages = [Message("system", system)] if system.strip() else []
    has_history = isinstance(row.get("history"), list | tuple)  # else a column of another meaning
    messages += [*(history(row) if has_history else ()), Message("user", needed(row, question))]
    written = text(row, answer)
    if written.strip():
        messages.append(Message("assistant", joined(text(row, thought), written)))
    known = {question, thought, answer, "system", "history" if has_history else ""} - {""}
    return Example(
        tuple(messages), id=identifier(row), meta=mapping(row, "meta"), extra=others(row, known)
    )


def joined(thought: str, answer: str) -> str:
    """The completion in the form that models are trained on."""
    if not thought.strip():
        return answer
    return f"{THINK_OPEN}\n{thought.strip()}\n{THINK_CLOSE}\n\n{answer.strip()}"


def write(example: Example) -> dict[str, Any]:
    if len(example.prompt) != 1 or example.kind not in ("conversation", "prompt"):
        raise BadRow("", "pairs hold one question and one answer", "use sharegpt or messages")
    row: dict[str, Any] = {"prompt": example.question}
    if example.answer is not None:
        row["completion"] = example.answer
    return kept(example, row)


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in row), "")


FORMAT = Format("pairs", fits, read, write)
