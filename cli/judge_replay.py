"""`galen judge replay`: a run's rewards under another rubric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.services import DEFAULT

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric, RubricRegistry

Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The judge's database; by default the stack file's judge.database_url. "
        "sqlite:///path or postgresql+psycopg://user:password@host/name",
    ),
]


def replay(
    run: Annotated[str, typer.Argument(help="The run's name, as in the judge's database.")],
    rubric: Annotated[
        str | None, typer.Option(help="Judge by this rubric; by default each by its own.")
    ] = None,
    rubric_folder: Annotated[
        Path | None, typer.Option(help="Judge by the rubric in this folder.")
    ] = None,
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of rubric.yaml."),
    ] = [],  # noqa: B006
    csv: Annotated[Path | None, typer.Option(help="Write each reward then and now here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a PNG plot here.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The stack file.")] = DEFAULT,
    database: Database = None,
) -> None:
    """Recompute a run's rewards under another rubric, weights or gate, from the database alone:
    without calls, whether or not the judge runs."""
    if rubric and rubric_folder:
        raise typer.BadParameter("give --rubric or --rubric-folder, not both")
    from cli import stack
    from judge.audit import replay_report
    from judge.audit.archive import Archive
    from judge.rubrics.rubric import RubricRegistry, load_rubric

    settings = stack.load(config).judge
    rubrics = RubricRegistry.load(settings.rubrics)
    fixed = load_rubric(rubric_folder) if rubric_folder else rubrics.get(rubric) if rubric else None
    choose = Chooser(rubrics, fixed, overrides)
    archive = Archive.open(database or settings.database_url)
    try:
        replayed = archive.replay(run, choose, rubrics)
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

    def __init__(self, rubrics: RubricRegistry, fixed: Rubric | None, overrides: list[str]) -> None:
        self._rubrics = rubrics
        self._fixed = fixed
        self._overrides = overrides
        self._chosen: dict[str, Rubric] = {}

    def __call__(self, judged_by: str) -> Rubric:
        """Raises `NotFound` if that rubric no longer exists, `RecipeError` for invalid
        overrides."""
        from judge.audit.replay import changed

        if judged_by not in self._chosen:
            rubric = self._fixed or self._rubrics.get(judged_by)
            self._chosen[judged_by] = changed(rubric, self._overrides)
        return self._chosen[judged_by]

    @property
    def name(self) -> str:
        """The chosen rubrics and the overrides, for display."""
        names = sorted({rubric.name for rubric in self._chosen.values()})
        return ", ".join(names) + (f" with {' '.join(self._overrides)}" if self._overrides else "")
