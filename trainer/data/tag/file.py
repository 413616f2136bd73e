"""A file's rows with their meta: by rules, and by a teacher where one is asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from galen import digest
from galen.errors import UpstreamFailed
from galen.journal import Journal
from trainer import kept
from trainer.data import formats, reader, tag
from trainer.data.distillation.teacher import RowRefused, Teacher
from trainer.data.example import Example
from trainer.data.output import writing
from trainer.data.preparing.refine import WRITTEN_AS
from trainer.data.tag import teacher as teachers


@dataclass
class Tagged:
    rows: int = 0
    by_teacher: int = 0
    """Rows whose fields the teacher decided; the others have those of the rules."""
    levels: Counter[str] = field(default_factory=Counter)
    """Rows by risk level."""


def read(source: Path) -> list[Example]:
    """Every row. Raises `DataError`, which names the bad ones."""
    return reader.read([source], None, lambda example: example)


async def ask(
    rows: Sequence[Example],
    kept_for: tuple[Path, Path],
    model: str,
    teacher: Teacher,
    concurrency: int,
    on_row: Callable[[], None],
) -> Journal:
    """Ask for every row that has no answer yet; `kept_for` are the file that they came from and the
    one to write. What is answered is kept beside that, so that a second call pays for nothing
    twice. Raises errors that are no row's fault."""
    source, out = kept_for
    title = f"galen data tag {digest.of_json([digest.of_file(source), model, teachers.PROMPT])}"
    journal = kept.open_kept(out, title, len(rows))

    async def answer(index: int) -> tuple[bool, dict[str, Any]]:
        try:
            fields, why = await teachers.ask(teacher, tag.asked(rows[index]))
        except (RowRefused, UpstreamFailed) as error:
            return False, {"error": str(error)}
        return True, {"fields": fields, "why": why}

    try:
        await kept.fill(journal, answer, concurrency, on_row)
    except BaseException:
        kept.close(journal)
        raise
    return journal


def write(
    rows: Sequence[Example], source: str, out: Path, answers: Journal | None = None
) -> Tagged:
    """Write every row with its meta to `out`; `source` names where they come from.

    What a row brings stays; a row that the teacher could not answer has what the rules say.
    """
    done = Tagged()
    with writing(out) as put:
        for index, example in enumerate(rows):
            meta, _ = tag.meta(example, source)
            if answers is not None and answers.is_good(index):
                given = {name for name, value in example.meta.items() if value is not None}
                fields: dict[str, Any] = json.loads(answers.read(index))["fields"]
                meta |= {name: value for name, value in fields.items() if name not in given}
                done.by_teacher += 1
            done.rows += 1
            done.levels[str(meta["risk_level"])] += 1
            put(formats.BY_NAME[WRITTEN_AS[example.kind]].write(replace(example, meta=meta)))
    return done
