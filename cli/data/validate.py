"""`galen data validate`: every bad row with its place, and a clean copy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from trainer.data.checking.validate import Check, Checked, Validator
    from trainer.data.reader import DataFile

Kind = Literal["conversation", "prompt", "preference", "unpaired", "document"]
LONGEST = 2048
"""The recipes' own limit in tokens."""

Keep = Callable[["Checked"], None]


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Any common format.")],
    kind: Annotated[
        Kind | None, typer.Option(help="What every row must be; else what most rows are.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A model's folder: its tokenizer finds rows too long.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help=f"The longest row, with --model; else {LONGEST}.")
    ] = None,
    repeats: Annotated[bool, typer.Option(help="Let a row be there twice.")] = False,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a clean copy, and beside it what was changed."),
    ] = None,
) -> None:
    """Name every row that cannot be read or cannot be meant, and what to do about it.

    Ends with 0 if all rows are clean, with 1 if some are bad, with 2 for an unusable file.
    """
    from cli.data import usable
    from trainer.data.checking.validate import Validator

    if fix and len(files) > 1:
        raise typer.BadParameter("--fix writes the copy of one file; name one")
    if max_tokens and model is None:
        raise typer.BadParameter("--max-tokens counts a model's tokens; name it with --model")
    bad = 0
    with usable(*files, out=fix):
        validator = Validator(_length(model, max_tokens or LONGEST), repeats_are_bad=not repeats)
        for path in files:
            bad += _validate(path, kind, validator, fix)
    if validator.without_thought:
        typer.echo(
            f"Note:     {validator.without_thought:,} of {validator.answers:,} answers have no "
            "<think>…</think>. A reasoning model that learns them stops thinking; `galen data "
            "distil` has a teacher write thoughts."
        )
    if fix:
        typer.echo(f"Next:     galen data show {fix}")
    elif bad:
        typer.echo(f"Next:     galen data validate {files[0]} --fix clean.jsonl")
    else:
        typer.echo(f"Next:     galen data show {files[0]}")
    if bad:
        raise typer.Exit(1)


def _length(model: Path | None, most: int) -> list[Check]:
    if model is None:
        return []
    from trainer.data.checking.validate import too_long
    from trainer.model import load_tokenizer

    return [too_long(load_tokenizer(model), most)]


def _validate(path: Path, kind: Kind | None, validator: Validator, fix: Path | None) -> int:
    """Print what is wrong with a file and a summary; returns the number of bad rows."""
    from cli.data.progress import followed
    from galen.errors import InvalidInput
    from trainer.data.checking.validate import usual_kind
    from trainer.data.reader import DataFile

    file = DataFile(path)
    wanted = kind or usual_kind(path)
    total, reasons, kept = 0, Counter[str](), Counter[str]()
    with _copy(fix) as keep:
        for checked in followed(file, validator.rows(file, wanted)):
            total += 1
            keep(checked)
            if problem := checked.problem:
                typer.echo(f"{path}: {problem}")
                if problem.place == "file":
                    raise InvalidInput(f"{path}: cannot be read to its end: {problem.reason}")
                reasons[_reason(problem.field, problem.reason)] += 1
                kept["changed" if checked.row is not None else "dropped"] += 1
        if not total:
            raise InvalidInput(f"{path}: the file has no rows")
    bad = reasons.total()
    _say(file, f"{total:,} rows, each a {wanted}: {total - bad:,} clean, {bad:,} bad", reasons)
    if fix:
        changed, dropped = kept["changed"], kept["dropped"]
        typer.echo(f"Written:  {total - dropped:,} rows to {fix}, {changed:,} of them changed")
        typer.echo(f"Reasons:  {changes_of(fix)}: {dropped:,} rows dropped, {changed:,} changed")
    return bad


def _say(file: DataFile, counts: str, reasons: Counter[str]) -> None:
    typer.echo(f"Read:     {file.path}: {file.describe()}")
    typer.echo(f"Rows:     {counts}")
    for reason, count in reasons.most_common():
        typer.echo(f"          {count:>8,}  {reason}")


def _reason(field: str, reason: str) -> str:
    """One name for reasons that differ in numbers only."""
    place = re.sub(r"\d+", "N", f"{field}: " if field else "")
    return place + re.sub(r"\d[\d,]*", "N", reason)


def changes_of(out: Path) -> Path:
    """Where the list of what was dropped or changed lies."""
    return out.with_name(f"{out.stem}.changes.jsonl")


@contextmanager
def _copy(out: Path | None) -> Iterator[Keep]:
    """Writes rows to keep, and beside them what happened to the others."""
    if out is None:
        yield lambda checked: None
        return
    from trainer.data.output import writing

    with writing(out) as write, writing(changes_of(out)) as note:

        def keep(checked: Checked) -> None:
            if checked.row is not None:
                write(checked.row)
            if problem := checked.problem:
                action = "dropped" if checked.row is None else "changed"
                note({"action": action, **asdict(problem), "changes": checked.changes})

        yield keep
