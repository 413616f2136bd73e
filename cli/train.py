"""`galen train` and `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.farewell import in_environment

if TYPE_CHECKING:
    from trainer.recipes import Recipe


def register(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(merge)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe: configs/recipes/<pack>/<stage>.yaml")],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")
    ] = [],  # noqa: B006
    replay: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Learn again from a run's rollouts, without services."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
) -> None:
    """Run a recipe, or resume it where it stopped."""
    from trainer import recipes

    asked = recipes.load(recipe, overrides)
    if isinstance(asked, recipes.CompareRecipe):
        raise typer.BadParameter(f"{recipe} is a comparison: galen compare {recipe}")
    if dry_run:
        _show_plan(asked)
        return
    if replay:
        _replay(recipe, asked, replay)
        return
    # Imported after the recipe is checked, since this loads torch.
    from trainer import processes
    from trainer.run_report import page
    from trainer.train import train as run

    folder = run(asked)
    if not processes.is_first():
        return
    typer.echo(f"\nResults: {folder}")
    typer.echo(f"Report:  {page.write(asked.folder)}")
    typer.echo(f"Curves:  {in_environment('tensorboard')} --logdir {asked.folder / 'tensorboard'}")
    typer.echo(f"Next:    {_next_command(recipe, asked)}")


def merge(
    adapter: Annotated[
        list[Path],
        typer.Argument(help="Folder of a LoRA adapter; of a chain, all in the order of training."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write the merged model to.")],
    base: Annotated[
        Path | None, typer.Option(help="The base's folder; else the one that the adapter names.")
    ] = None,
) -> None:
    """Merge a LoRA adapter, or a chain of them, into the model that it was trained on."""
    from trainer.merge import merge as run

    typer.echo(f"Merged model: {run(adapter, out, base)}\nNext:    galen publish NAME {out}")


def _replay(path: Path, recipe: Recipe, run: str) -> None:
    """Learn again from a run's rollouts, and say whether the weights are the same."""
    from trainer import recipes
    from trainer.runs import changes
    from trainer.train import replay as again

    if not isinstance(recipe, recipes.RlRecipe):
        raise typer.BadParameter(f"{path}: only reinforcement learning has rollouts to replay")
    past = recipe.model_copy(update={"run": run})
    if changed := [what for what in changes(past) if what != "data"]:
        typer.echo(f"{run} was made with another {' and '.join(changed)}: the weights will differ")
    folder, is_same = again(recipe, run)
    found = {True: "equal byte for byte", False: "DIFFERENT", None: "not finished, so not compared"}
    typer.echo(f"Weights: {folder}\n{run}'s: {found[is_same]}")
    if is_same is False:
        raise typer.Exit(1)


def _show_plan(recipe: Recipe) -> None:
    """Print the recipe with its defaults, then what it would do, and one example."""
    import yaml
    from rich.console import Console
    from rich.text import Text

    from trainer import recipes

    fields = recipe.model_dump(mode="json")
    typer.echo(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))
    if not isinstance(recipe, recipes.Tuning):
        typer.echo(f"Judgements and their cost: galen judge forecast; folder: {recipe.folder}")
        return
    from trainer.plan import plan, seconds_a_step

    found = plan(recipe)
    typer.echo(f"rows     {found.rows:,} to learn from, {found.dev_rows:,} to evaluate on")
    typer.echo(
        f"tokens   {found.tokens:,}, {found.learnt:,} of them learnt; longest {found.longest:,}"
    )
    typer.echo(f"steps    {found.steps:,}")
    if found.memory is not None:
        size = f"{found.fits} GB" if found.fits else "more than one GPU"
        typer.echo(f"memory   about {found.memory / 1e9:.1f} GB on a GPU at most: {size}")
    pace = seconds_a_step(recipe)
    time = (
        f"about {found.steps * pace / 60:.0f} min, as the last such run"
        if pace
        else "not known yet"
    )
    typer.echo(f"time     {time}\n\nThe first row as the model sees it; green is learnt:\n")
    text = Text()
    for part, is_learnt in found.example:
        text.append(part, "green" if is_learnt else "dim")
    Console().print(text)


def _next_command(path: Path, recipe: Recipe) -> str:
    """The likely next command, about the run that was just made."""
    from galen.errors import GalenError
    from trainer import recipes

    after = {"pretrain": "sft", "sft": "ppo", "ppo": "compare", "grpo": "compare"}
    following = after.get(recipe.stage, "")
    sibling = path.with_name(f"{following}.yaml")
    name = f"run:{recipe.run}"
    try:
        follower = recipes.load(sibling) if sibling.is_file() else None
    except GalenError:  # the next command reports it
        follower = None
    if isinstance(follower, recipes.RlRecipe | recipes.SftRecipe) and (
        follower.model == recipe.folder / "final"
    ):
        return f"galen train {sibling}"
    if isinstance(follower, recipes.CompareRecipe):
        command = f"galen compare {sibling}"
        if follower.candidate == name:
            return command
        return f"{command} --set run={recipe.run}-compare --set candidate={name}"
    if getattr(recipe, "demo_model", None):  # with a tokenizer of its own: no version of another
        return f"galen server serve --set server.model={recipe.folder / 'final'}"
    if recipe.stage == "reward":
        return f"galen runs show {recipe.run}"
    is_served = isinstance(recipe, recipes.RlRecipe)
    return "galen chat" if is_served else f"galen publish {name}"
