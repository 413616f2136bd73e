"""`galen judge forget`: a run's texts leave the judge's database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.judge_replay import Database
from cli.services import DEFAULT, Config

if TYPE_CHECKING:
    from judge.ledger.forgetting import Texts


def forget(
    run: Annotated[str, typer.Argument(help="The run's name, as in the judge's database.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = DEFAULT,
    database: Database = None,
) -> None:
    """Erase the texts of a run from the judge's database: prompts, answers, references, and what
    verdicts quote from them. Verdicts, rewards and hashes stay, and a verdict still answers.

    Works whether or not the judge runs. Texts that another run judged too stay. The run's own
    folder is another matter: delete it by hand.
    """
    from cli import stack
    from judge.audit.archive import Archive

    archive = Archive.open(database or stack.load(config).judge.database_url)
    try:
        texts = archive.texts_of(run)
        if not texts:
            typer.echo(f"{run}: no texts are left to erase{_staying(texts)}")
            return
        typer.echo(f"{run}: {_listed(texts)} will be erased{_staying(texts)}")
        if not yes:
            typer.confirm("This cannot be undone. Erase them?", abort=True)
        erased = archive.forget(run)
    finally:
        archive.close()
    typer.echo(f"Erased: {_listed(erased)}. Verdicts, rewards and hashes stay.")


def _listed(texts: Texts) -> str:
    counts = texts.counts()
    return (
        f"{counts['samples']} answers with their prompts, the quotations of {counts['verdicts']} "
        f"verdicts, {counts['replies']} rejected replies"
    )


def _staying(texts: Texts) -> str:
    return f"; {texts.shared} stay, since other runs judged them too" if texts.shared else ""
