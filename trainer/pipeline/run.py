"""Runs a pipeline: what is finished is skipped, what changed runs again with what follows it."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from galen import digest
from galen.errors import RecipeError, Unavailable
from trainer import processes
from trainer.data import reader
from trainer.data.example import Example
from trainer.data.problems import BadRow
from trainer.pipeline import effect
from trainer.pipeline.chain import Chain, Link, lacking, standing_of
from trainer.pipeline.effect import Effect
from trainer.recipes import Recipe, RlRecipe
from trainer.runs import Run
from trainer.train import train

Tell = Callable[[str, str], None]
"""Takes a stage's name and what becomes of it."""
Learn = Callable[[Recipe], Path]
Measure = Callable[[Path, Sequence[Example], bool], dict[str, list[float]]]
"""Takes a model's folder, the held-out rows, and whether it is a reward model."""


def trained(recipe: Recipe) -> Path:
    """Run a stage, and free its model, which its trainer refers to in a circle."""
    folder = train(recipe)
    gc.collect()
    return folder


def scored(folder: Path, rows: Sequence[Example], is_reward: bool) -> dict[str, list[float]]:
    """The scores of the model in `folder`, by figure."""
    from trainer.pipeline import scores  # loads torch

    found = scores.score(folder, rows, is_reward=is_reward)
    return effect.values_of(found.logprobs, found.margins)


def run(
    chain: Chain, tell: Tell, learn: Learn = trained, measure: Measure = scored
) -> list[Effect]:
    """Run what is not finished, measure every model, and write `pipeline.json`.

    Raises `RecipeError` if files are missing and `DataError` for bad held-out rows, before anything
    runs. Whatever stops a stage leaves those before it finished, and the same call goes on.
    """
    if processes.count() > 1:
        raise RecipeError(
            f"{chain.recipe.pipeline}: a pipeline runs in one process; start a stage that needs "
            "several by itself: accelerate launch … galen train RECIPE; `galen run` then skips it"
        )
    missing = lacking(chain)
    if missing:
        raise RecipeError(f"{chain.recipe.pipeline}: not there:\n  " + "\n  ".join(missing))
    effects = _Effects(chain, measure, tell)
    for link in chain.links:
        standing = standing_of(link)
        if standing.state == "finished":
            tell(link.name, "is finished")
        else:
            _require_services(chain, link)
            tell(link.name, str(standing))
            with _set_aside(link, standing.state == "changed", tell):
                learn(link.recipe)
        effects.add(link)
    effects.write()
    return effects.found


@contextmanager
def _set_aside(link: Link, has_changed: bool, tell: Tell) -> Iterator[None]:
    """Give a changed stage's old folder another name, or its own again if nothing comes of it."""
    folder = link.recipe.folder
    if not has_changed or not _holds_work(link):
        yield
        return
    names = (f"{folder.name}.{number}" for number in itertools.count(1))
    aside = next(path for path in map(folder.with_name, names) if not path.exists())
    folder.rename(aside)
    tell(link.name, f"its last run is now {aside}")
    try:
        yield
    finally:
        if not folder.exists():
            aside.rename(folder)


def _holds_work(link: Link) -> bool:
    run = Run(link.recipe)
    manifest = run.manifest() or {}
    return bool(manifest.get("finished")) or run.last_checkpoint() is not None


def _require_services(chain: Chain, link: Link) -> None:
    """Refuse a stage whose services do not answer, with the command that starts them."""
    recipe = link.recipe
    if not isinstance(recipe, RlRecipe):
        return
    urls = (recipe.services.server, recipe.services.judge)
    silent = [url for url in urls if not _answers(url)]
    if silent:
        stack = chain.recipe.stack or "STACK"
        raise Unavailable(
            f"{link.name}: {' and '.join(silent)} do not answer; start server and judge, then type "
            f"the same command again:\n  galen up {stack} --set server.model={recipe.model} "
            "--set 'prepare=[]' --set 'train=[]' --set compare=null"
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).status_code < 400
    except httpx.HTTPError:
        return False


class _Effects:
    """Measures each model once, and writes the results after each."""

    def __init__(self, chain: Chain, measure: Measure, tell: Tell) -> None:
        self._chain, self._measure, self._tell = chain, measure, tell
        self._path = chain.folder / "pipeline.json"
        self._held_out = {str(path): digest.of_file(path) for path in chain.recipe.held_out}
        self._known = effect.known_values(self._path, self._held_out)
        self._rows = reader.read(chain.recipe.held_out, None, _held_out)
        self._found: dict[str, Effect] = {}

    @property
    def found(self) -> list[Effect]:
        return list(self._found.values())

    def add(self, link: Link) -> None:
        """Measure a stage's model, and the model that it started from if no stage made that."""
        if link.origin not in self._found:
            self._add(link.origin, "start", link.start, None)
        parent = self._found[link.origin]
        self._add(link.name, link.recipe.stage, Run(link.recipe).final, parent)

    def _add(self, name: str, stage: str, folder: Path, parent: Effect | None) -> None:
        weights = digest.of_folder(folder)
        values = self._known.get(weights)
        is_new = values is None
        if values is None:
            self._tell(Path(name).name, "is measured on the held-out rows")
            values = self._measure(folder, self._rows, stage == "reward")
        recipe = self._chain.recipe
        self._found[name] = effect.effect(
            name, stage, weights, values, parent, resamples=recipe.resamples, seed=recipe.seed
        )
        if is_new:
            self.write()

    def write(self) -> None:
        effect.write(self._path, self._chain.recipe.pipeline, self._held_out, self.found)


def _held_out(example: Example) -> Example:
    if example.kind not in ("preference", "conversation"):
        raise BadRow(
            "", "neither a pair nor an answer", "held-out rows are preferences or conversations"
        )
    return example
