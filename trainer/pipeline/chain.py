"""The stages of a pipeline in the order in which they run, and what of them is done already.

Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from galen.errors import RecipeError
from trainer import recipes
from trainer.recipes import Founding, PipelineRecipe, PpoRecipe, Recipe, RlRecipe, Tuning
from trainer.runs import Run, changes, data_of

State = Literal["finished", "changed", "begun", "to do"]


@dataclass(frozen=True, slots=True)
class Link:
    """A stage of the pipeline."""

    recipe: Recipe
    parents: tuple[str, ...]
    """The runs of the pipeline that it reads from."""

    @property
    def name(self) -> str:
        return self.recipe.run

    @property
    def start(self) -> Path:
        """Folder of the model that it starts from; a demo model is made there by the stage."""
        model: Path | None = getattr(self.recipe, "model", None)
        return model or self.recipe.folder / "start"

    @property
    def origin(self) -> str:
        """The stage that made the model, else the model's folder."""
        runs = self.recipe.runs
        found = (name for name in self.parents if runs / name in self.start.parents)
        return next(found, str(self.start))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stage stands. `why` says what changed."""

    link: Link
    state: State
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.why}" if self.why else self.state


@dataclass(frozen=True, slots=True)
class Chain:
    recipe: PipelineRecipe
    links: tuple[Link, ...]
    """Each after those that it needs."""

    @property
    def folder(self) -> Path:
        return self.recipe.runs / self.recipe.pipeline


def load(path: Path, overrides: Sequence[str] = ()) -> Chain:
    """Read a pipeline file and all recipes that it names.

    Raises `RecipeError`, which names the file and the stage at fault.
    """
    pipeline = recipes.load_pipeline(path, overrides)
    stages = [recipes.load(stage.recipe, stage.set) for stage in pipeline.stages]
    for stage, recipe in zip(pipeline.stages, stages, strict=True):
        _require_link(f"{path}: {stage.recipe}", recipe, pipeline.held_out)
    names = [recipe.run for recipe in stages]
    for name in [*names, pipeline.pipeline]:
        if [*names, pipeline.pipeline].count(name) > 1:
            raise RecipeError(f"{path}: {name!r} is the name of two; give one another `run`")
    by_name = {recipe.run: Link(recipe, _parents(recipe, stages)) for recipe in stages}
    for link in by_name.values():
        _require_parents(f"{path}: {link.name}", link)
    try:
        order = TopologicalSorter({name: link.parents for name, link in by_name.items()})
        return Chain(pipeline, tuple(by_name[name] for name in order.static_order()))
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise RecipeError(
            f"{path}: each of these stages needs the one before it, round in a circle: {circle}; "
            "correct the `model` of one"
        ) from None


def standings(chain: Chain) -> list[Standing]:
    """Where each stage stands now. One whose parent will run again stands as changed."""
    found: dict[str, Standing] = {}
    for link in chain.links:
        standing = standing_of(link)
        again = [name for name in link.parents if found[name].state != "finished"]
        if again and standing.state in ("finished", "begun"):
            standing = Standing(link, "changed", f"follows {', '.join(again)}")
        found[link.name] = standing
    return list(found.values())


def standing_of(link: Link) -> Standing:
    """Where a stage stands, by what lies on disk now."""
    manifest = Run(link.recipe).manifest()
    if manifest is None:
        return Standing(link, "to do")
    changed = changes(link.recipe)
    if changed:
        return Standing(link, "changed", f"another {' and '.join(changed)}")
    if manifest["finished"] and not Run(link.recipe).final.is_dir():
        return Standing(link, "changed", "its weights are gone")
    return Standing(link, "finished" if manifest["finished"] else "begun")


def lacking(chain: Chain) -> list[str]:
    """What the stages need that neither lies there nor is made by one of them."""
    needed = [(link.name, path) for link in chain.links for path in _inputs(link.recipe)]
    needed += [("held_out", path) for path in chain.recipe.held_out]
    made = {link.recipe.folder for link in chain.links}
    models = {link.start for link in chain.links}
    return [
        f"{name}: {path}" + ("; galen models get brings a model" if path in models else "")
        for name, path in needed
        if not path.exists() and not made.intersection(path.parents)
    ]


def _require_link(where: str, recipe: Recipe, held_out: Sequence[Path]) -> None:
    if isinstance(recipe, recipes.CompareRecipe):
        raise RecipeError(f"{where}: a comparison is no stage; galen compare runs it")
    learnt = [path for path in data_of(recipe) if path in held_out]
    if learnt:
        raise RecipeError(f"{where}: learns from {learnt[0]}, which is held out; take it from one")
    if isinstance(recipe, Tuning) and not recipe.merge:
        raise RecipeError(
            f"{where}: `merge: false` leaves no dense weights to measure and to go on from; set "
            "`merge: true`"
        )


def _parents(recipe: Recipe, stages: Sequence[Recipe]) -> tuple[str, ...]:
    paths = list(_inputs(recipe))
    return tuple(
        other.run for other in stages if any(other.folder in path.parents for path in paths)
    )


def _require_parents(where: str, link: Link) -> None:
    """Refuse a path into the folder of a run that is neither there nor a stage."""
    recipe = link.recipe
    for path in _inputs(recipe):
        if recipe.runs in path.parents and not path.exists():
            name = path.relative_to(recipe.runs).parts[0]
            if name not in link.parents:
                raise RecipeError(
                    f"{where}: needs {path}, but no stage is called {name} and no such run is "
                    "there; add its recipe to `stages`, or correct the path"
                )


def _inputs(recipe: Recipe) -> Iterator[Path]:
    """The files and folders that a recipe reads."""
    if not (isinstance(recipe, Founding) and recipe.demo_model):
        assert recipe.model
        yield recipe.model
    if isinstance(recipe, PpoRecipe) and recipe.critic.model:
        yield recipe.critic.model
    if isinstance(recipe, RlRecipe) and recipe.rewards.model:
        yield recipe.rewards.model.folder
    yield from data_of(recipe)
