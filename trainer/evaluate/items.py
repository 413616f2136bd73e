"""The rows of a suite's files as items: what is asked, and what the answer is compared with."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from galen import digest
from galen.errors import DataError, InvalidInput
from galen.records import Criterion, storable
from trainer.asked import criteria_of
from trainer.data import reader, tag
from trainer.data.distillation import question_type
from trainer.data.distillation.distil import gold_of
from trainer.data.example import Example, Message
from trainer.data.files import form_of, read_rows
from trainer.data.formats import fields
from trainer.data.problems import BadRow, Problem
from trainer.evaluate.extract import option_of, shortened
from trainer.evaluate.suite import Suite

LETTERS = "ABCDEFGHIJ"
_OPTION = re.compile(r"^\s*[(（]?([A-J])[)）.．、:：]\s*(.*)$", re.DOTALL)
_NAMED = re.compile(r"[(\[]?(?:[a-j]|[A-J](?:[\s,、;|()]*[A-J])*)[)\]]?")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a suite."""

    id: str
    messages: tuple[Message, ...]
    question: str
    """The question as a person reads it, with the turns before it."""
    category: str
    risk: str | None = None
    reference: str | None = None
    """The right answer; of an exam its letters in order."""
    options: Mapping[str, str] | None = None
    """An exam's options by their letters."""
    turns: tuple[Message, ...] = ()
    """What a judge reads as the question: the conversation as the row has it."""
    criteria: tuple[Criterion, ...] = ()

    @property
    def sha256(self) -> str:
        """Of all that the model is asked."""
        return digest.of_json([[each.role, each.content] for each in self.messages])


def load(suite: Suite, limit: int | None = None) -> list[Item]:
    """All items, in the files' order; at most `limit`, spread evenly.

    Raises `DataError`, which names every bad row, and `InvalidInput` for rows with the same id.
    """
    numbers = itertools.count(1)
    items = [item for path in suite.data for item in _read(path, suite, numbers)]
    doubled = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if doubled:
        shown = ", ".join(doubled[:5])
        raise InvalidInput(
            f"suite {suite.name}: {len(doubled)} ids stand there more than once ({shown}); "
            "answers are compared by id, so give each row its own"
        )
    if limit is not None and limit < len(items):
        items = [items[n * len(items) // limit] for n in range(limit)]
    return items


def sha256(items: Sequence[Item]) -> str:
    """Of questions, references and criteria."""
    return digest.of_json(
        [
            [item.id, item.sha256, item.reference, [[c.text, c.points] for c in item.criteria]]
            for item in items
        ]
    )


def _read(path: Path, suite: Suite, numbers: Iterator[int]) -> list[Item]:
    if suite.scorer == "judged":
        use = partial(_question, path.stem, suite, numbers)
        return reader.read([path], None, use)
    make = {"exam": _exam, "exact": _exact, "criteria": _criteria}[suite.scorer]
    return list(_rows(path, lambda row: make(row, f"{path.stem}-{next(numbers)}", suite)))


def _rows(path: Path, make: Callable[[dict[str, Any]], T]) -> list[T]:
    made: list[T] = []
    problems: list[str] = []
    for place, row in read_rows(path, form_of(path)):
        if isinstance(row, Problem):
            problems.append(str(row))
            continue
        try:
            made.append(make(row))
        except BadRow as error:
            problems.append(str(error.at(place)))
    if problems or not made:
        raise DataError(path, problems or ["the file has no rows"])
    return made


def _question(source: str, suite: Suite, numbers: Iterator[int], example: Example) -> Item:
    """A row of any format; with `reference` the right answer is its gold or its own answer."""
    number = next(numbers)
    gold = gold_of(example) if suite.reference else None
    if suite.reference and not gold:
        raise BadRow("gold", "is missing", "add the right answer, or leave the row out")
    example = reader.as_kind(example, "prompt")
    meta, _ = tag.meta(example, source)
    kind = question_type.of(example.question).type if suite.reference else meta.get("category")
    earlier = example.without_system[:-1]
    turns = [f"{m.role.capitalize()}: {m.content}" for m in (*earlier, example.messages[-1])]
    return Item(
        id=example.id or f"{source}-{number}",
        messages=_asked(example.messages, suite, example.question),
        question=storable("\n".join(turns) if earlier else example.question),
        category=str(example.extra.get("type") or kind or meta["risk_level"]),
        risk=meta["risk_level"],
        reference=gold,
        turns=example.without_system,
    )


def _exam(row: dict[str, Any], name: str, suite: Suite) -> Item:
    options = _options(row.get("options"))
    reference = _letters(row.get("answer"), options)
    question = fields.needed(row, "question")
    shown = "\n".join(f"{letter}. {text}" for letter, text in options.items())
    return Item(
        id=fields.identifier(row) or name,
        messages=_asked((Message("user", question),), suite, question, shown),
        question=question,
        category=_category(row),
        reference=reference,
        options=options,
    )


def _exact(row: dict[str, Any], name: str, suite: Suite) -> Item:
    question = fields.needed(row, "question")
    answer = row.get("answer")
    if not isinstance(answer, str | int | float) or not str(answer).strip():
        raise BadRow("answer", "is missing", "write the exact answer, as a text or a number")
    return Item(
        id=fields.identifier(row) or name,
        messages=_asked((Message("user", question),), suite, question),
        question=question,
        category=_category(row),
        reference=str(answer).strip(),
    )


def _criteria(row: dict[str, Any], name: str, suite: Suite) -> Item:
    """HealthBench's form: `prompt` is a list of turns, `rubrics` a list of criteria."""
    prompt = row.get("prompt")
    messages = (
        (Message("user", prompt),) if isinstance(prompt, str) else fields.turns(prompt, "prompt")
    )
    if not messages or messages[-1].role != "user":
        raise BadRow("prompt", "does not end with a question", "end it with the user's turn")
    criteria = criteria_of(row)
    if criteria is None:
        raise BadRow("rubrics", "is missing", "write [{criterion, points}, …]")
    turns = "\n".join(f"{m.role.capitalize()}: {m.content}" for m in messages)
    return Item(
        id=str(row.get("prompt_id") or fields.identifier(row) or name),
        messages=_asked(messages, suite, messages[-1].content),
        question=turns if len(messages) > 1 else messages[-1].content,
        category=_theme(row) or _category(row),
        turns=messages,
        criteria=criteria,
    )


def _asked(
    messages: Sequence[Message], suite: Suite, question: str, options: str = ""
) -> tuple[Message, ...]:
    """The row's turns, the last of them in the suite's words, and its system message."""
    text = suite.ask.replace("{options}", options).replace("{question}", question)
    *before, last = messages
    if before and before[0].role == "system" and not suite.use_instruction:
        before = before[1:]
    if suite.system and not (before and before[0].role == "system"):
        before = [Message("system", suite.system), *before]
    return (*before, replace(last, content=text))


def _options(value: Any) -> dict[str, str]:
    """Options as a list, as an object by letters, or as lines that begin with their letters."""
    if isinstance(value, str):
        found = [_OPTION.match(line) for line in value.splitlines() if line.strip()]
        if not found or None in found:
            raise BadRow("options", "has a line without a letter", "begin each with A. to J.")
        options = {match[1]: match[2].strip() for match in found if match}
    elif isinstance(value, Mapping):
        options = {str(letter): str(text) for letter, text in value.items() if text}
    elif isinstance(value, list):
        if len(value) > len(LETTERS) or not all(
            isinstance(each, str | int | float) for each in value
        ):
            raise BadRow("options", "are no list of at most ten texts", "write two to ten texts")
        options = dict(zip(LETTERS, map(str, value), strict=False))
    else:
        raise BadRow("options", "is missing", "write a list, or lines that begin with letters")
    if list(options) != list(LETTERS[: len(options)]) or len(options) < 2:
        raise BadRow("options", "are not A, B, C … in order", "name two or more in order")
    return options


def _letters(value: Any, options: Mapping[str, str]) -> str:
    """The right letters in order: of a text its letters, each alone or with its own option, or
    the one option that it is. A number is the place of the right one, counted from 0."""
    if isinstance(value, Mapping):
        value = value.get("answer")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(options):
        return LETTERS[value]
    text = value if isinstance(value, str) else ""
    named = shortened(text, options).rstrip("。.")
    letters = sorted(set(re.findall("[A-J]", named.upper()))) if _NAMED.fullmatch(named) else []
    own = option_of(text, options) if len(letters) != 1 else None
    if own and not letters:
        return own
    if own or not letters or not set(letters) <= set(options):
        raise BadRow("answer", "names none of the options", "write the right letters, as A or AC")
    return "".join(letters)


def _category(row: Mapping[str, Any]) -> str:
    names = ("category", "subject", "type", "source")
    return next((str(row[name]) for name in names if row.get(name)), "all")


def _theme(row: Mapping[str, Any]) -> str | None:
    tags = row.get("example_tags")
    themes = [t for t in tags if str(t).startswith("theme:")] if isinstance(tags, list) else []
    return str(themes[0]).removeprefix("theme:") if themes else None
