"""`galen judge replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.services import DEFAULT

if TYPE_CHECKING:
    from judge.rubric import Rubric, RubricShelf


def replay(
    run: Annotated[str, typer.Argument(help="The run's name, as the judge was told it.")],
    rubric: Annotated[
        str | None, typer.Option(help="Judge by this rubric; else each by its own, as it is now.")
    ] = None,
    rubric_folder: Annotated[
        Path | None, typer.Option(help="Judge by the rubric in this folder.")
    ] = None,
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of rubric.yaml."),
    ] = [],  # noqa: B006
    csv: Annotated[Path | None, typer.Option(help="Write each reward then and now here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a PNG picture here.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The stack file.")] = DEFAULT,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The judge's database; else the stack file's judge.database_url. "
            "sqlite:///path or postgresql+psycopg://user:password@host/name",
        ),
    ] = None,
) -> None:
    """Recompute a run's rewards under another rubric, weights or gate: from the database alone,
    without a call, whether or not the judge is up."""
    if rubric and rubric_folder:
        raise typer.BadParameter("give --rubric or --rubric-folder, not both")
    from cli import stack
    from judge import replay_report
    from judge.archive import Archive
    from judge.rubric import RubricShelf, load_rubric

    settings = stack.load(config).judge
    shelf = RubricShelf.load(settings.rubrics)
    fixed = load_rubric(rubric_folder) if rubric_folder else shelf.get(rubric) if rubric else None
    choose = Chooser(shelf, fixed, overrides)
    archive = Archive.open(database or settings.database_url)
    try:
        replayed = archive.replay(run, choose, shelf)
    finally:
        archive.close()
    typer.echo(replay_report.summary(replayed, choose.name))
    if csv:
        replay_report.write_csv(replayed, csv)
        typer.echo(f"Rewards: {csv}")
    if plot:
        replay_report.draw(replayed, plot)
        typer.echo(f"Picture: {plot}")


class Chooser:
    """Which rubric judges now, for the name of the one that judged then."""

    def __init__(self, shelf: RubricShelf, fixed: Rubric | None, overrides: list[str]) -> None:
        self._shelf = shelf
        self._fixed = fixed
        self._overrides = overrides
        self._chosen: dict[str, Rubric] = {}

    def __call__(self, judged_by: str) -> Rubric:
        """Raises `NotFound` if that rubric is gone, `RecipeError` for overrides that it cannot
        take."""
        from judge.replay import changed

        if judged_by not in self._chosen:
            rubric = self._fixed or self._shelf.get(judged_by)
            self._chosen[judged_by] = changed(rubric, self._overrides)
        return self._chosen[judged_by]

    @property
    def name(self) -> str:
        """For people: every rubric that was chosen, and whether it was changed."""
        names = sorted({rubric.name for rubric in self._chosen.values()})
        return ", ".join(names) + (f" with {' '.join(self._overrides)}" if self._overrides else "")
