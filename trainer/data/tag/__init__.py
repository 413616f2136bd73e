"""A row's meta from its words, by rules that give their reason."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from galen.records import Meta
from trainer.data.example import Example
from trainer.data.problems import BadRow
from trainer.data.tag.departments import department
from trainer.data.tag.risk import risk_level
from trainer.data.tag.style import complexity, lang_style

GIVEN = "given in the row"


def meta(example: Example, source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """All fields of `Meta`, and for each the reason. What the row brings stays.

    Raises `BadRow` if a field that the row brings has no possible value.
    """
    given = {name: value for name, value in example.meta.items() if value is not None}
    text = asked(example).lower()
    risk, risk_reason = risk_level(text)
    found: dict[str, tuple[Any, str]] = {
        "source": (source, "the file's source"),
        "risk_level": (risk, risk_reason),
        "specialty": department(text),
        "complexity": complexity(text, given.get("risk_level", risk)),
        "lang_style": lang_style(text),
        "is_deidentified": (False, "no de-identification was done"),
    }
    fields = {name: value for name, (value, _) in found.items()} | given
    reasons = {name: reason for name, (_, reason) in found.items()} | dict.fromkeys(given, GIVEN)
    if given:
        _check(fields)
    return fields, reasons


def asked(example: Example) -> str:
    """What the user said in all turns, or the document."""
    if example.text is not None:
        return example.text
    return "\n".join(each.content for each in example.prompt if each.role == "user")


def _check(fields: dict[str, Any]) -> None:
    known = {name: value for name, value in fields.items() if name in Meta.model_fields}
    try:
        Meta.model_validate(known)
    except ValidationError as error:
        entry = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(("meta", *map(str, entry["loc"])))
        raise BadRow(field, str(entry["msg"]), "correct it, or leave it out") from None
