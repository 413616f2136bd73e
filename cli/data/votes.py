"""`galen data votes` and `pairs`: preferences out of votes and out of judged completions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from judge.audit_schemas import KeptVote
    from judge.client import JudgeClient


def votes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where to write, as JSON lines.")],
    judge: Annotated[
        str | None, typer.Option(help="The judge's address; else the one that is up here.")
    ] = None,
    unpaired: Annotated[
        bool, typer.Option(help="Single answers, liked or disliked, in place of pairs.")
    ] = False,
) -> None:
    """Make training rows of the votes that the judge has stored.

    The judge's key, if it wants one, is read from GALEN_KEY.
    """
    import asyncio
    from collections import Counter

    from cli import state
    from trainer.data import preferences
    from trainer.data.formats import preference
    from trainer.data.formats import unpaired as single

    kept = asyncio.run(fetch(judge or state.judge_url()))
    skipped: Counter[str] = Counter()
    make = preferences.unpaired_of_votes if unpaired else preferences.pairs_of_votes
    form = single.FORMAT if unpaired else preference.FORMAT
    count = _write(map(form.write, make(kept, skipped)), out)
    _say(f"{len(kept)} votes", count, skipped, out)


def pairs(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, or a file of its completions/.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where to write, as JSON lines.")],
    least: Annotated[float, typer.Option(help="Least distance of the two rewards.", min=0.0)] = 0.2,
) -> None:
    """Make preference rows of a run: each prompt's best and worst judged completion."""
    from collections import Counter

    from cli.data import usable
    from trainer.data import preferences
    from trainer.data.formats import preference

    skipped: Counter[str] = Counter()
    with usable(run, out=out):
        found = preferences.pairs_of_rollouts(preferences.read_completions(run), least, skipped)
        count = _write(map(preference.FORMAT.write, found), out)
    _say(str(run), count, skipped, out)


async def fetch(url: str) -> list[KeptVote]:
    import os

    from judge.client import JudgeClient

    async with JudgeClient(url, key=os.environ.get("GALEN_KEY")) as client:
        return await all_votes(client)


async def all_votes(client: JudgeClient, a_page: int = 500) -> list[KeptVote]:
    """All votes, oldest first."""
    from judge.audit_schemas import PageQuery

    found: list[KeptVote] = []
    cursor: str | None = None
    while True:
        page = await client.votes(PageQuery(limit=a_page, cursor=cursor))
        found += page.votes
        cursor = page.next_cursor
        if cursor is None:
            return found


def _write(rows: Iterable[Mapping[str, Any]], out: Path) -> int:
    from trainer.data.output import writing

    count = 0
    with writing(out) as write:
        for row in rows:
            write(row)
            count += 1
    return count


def _say(source: str, count: int, skipped: Mapping[str, int], out: Path) -> None:
    typer.echo(f"{source}: {count} rows written to {out}")
    for reason, times in sorted(skipped.items()):
        typer.echo(f"  left out, {reason}: {times}")
