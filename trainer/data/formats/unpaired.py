"""One answer and whether it was liked: `{"prompt": …, "completion": …, "label": true}`.

TRL's KTO reads this. LLaMA-Factory's `kto_tag` is read too, on rows of any other format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.formats import alpaca, messages, pairs, sharegpt
from trainer.data.formats.fields import kept
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow

LABELS = ("label", "kto_tag")


def fits(row: Mapping[str, Any]) -> bool:
    return any(isinstance(row.get(name), bool) for name in LABELS)


def read(row: Mapping[str, Any]) -> Example:
    label = next(name for name in LABELS if isinstance(row.get(name), bool))
    rest = {name: value for name, value in row.items() if name != label}
    for each in (messages.FORMAT, sharegpt.FORMAT, pairs.FORMAT, alpaca.ALPACA):
        if each.fits(rest):
            found = each.read(rest)
            break
    else:
        raise BadRow("prompt", "is missing", "name the prompt and the completion")
    if found.answer is None:
        raise BadRow("completion", "is missing", "a vote needs the answer that it is about")
    return Example(
        found.prompt,
        completion=found.answer,
        liked=bool(row[label]),
        id=found.id,
        meta=found.meta,
        extra=found.extra,
    )


def write(example: Example) -> dict[str, Any]:
    if example.completion is None:
        raise BadRow("label", "is missing", "a vote needs an answer and whether it was liked")
    row = {
        "prompt": messages.as_turns(example.messages),
        "completion": messages.as_turns((Message("assistant", example.completion),)),
        "label": example.liked,
    }
    return kept(example, row)


FORMAT = Format("unpaired", fits, read, write)
