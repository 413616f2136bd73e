"""The folder of a run: what was asked, with what, how it went, and whether it is done."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from galen import digest
from galen.errors import RecipeError
from trainer.recipes import CompareRecipe, PpoRecipe, Recipe, SftRecipe

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
_MANIFEST = "manifest.json"


class Run:
    """One run's folder. Opening it twice with the same recipe resumes; with another it refuses."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = recipe.folder
        self.checkpoints = self.folder / "checkpoints"
        self.versions = self.folder / "versions"
        self.final = self.folder / "final"
        self.metrics = self.folder / "metrics.jsonl"
        self.rewards = self.folder / "rewards.csv"
        self.tensorboard = self.folder / "tensorboard"
        self.log = self.folder / "training.log"

    def open(self) -> None:
        """Make the folder, or refuse one that another recipe or other data made."""
        found = self.manifest()
        asked = _identity(self.recipe)
        if found is not None:
            changed = [key for key in asked if found.get(key) != asked[key]]
            if changed and self._may_start_over(found, changed):
                shutil.rmtree(self.folder)
            elif changed:
                raise RecipeError(
                    f"{self.folder}: was made with another {' and '.join(changed)}; "
                    "choose another `run` name or delete the folder"
                )
            else:
                return
        self.folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(
            self.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )
        (self.folder / "recipe.yaml").write_text(text, "utf-8")
        packages = {name: version(name) for name in PACKAGES}
        self._write(
            {
                **asked,
                "finished": False,
                "python": platform.python_version(),
                "packages": packages,
                "commit": _commit(),
            }
        )

    def _may_start_over(self, found: dict[str, Any], changed: Sequence[str]) -> bool:
        """Nothing was saved yet, or a comparison's policies are newer than what it compared."""
        nothing_saved = not found["finished"] and self.last_checkpoint() is None
        return nothing_saved or changed == ["versions"]

    def manifest(self) -> dict[str, Any] | None:
        path = self.folder / _MANIFEST
        return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None

    def finish(self, **facts: Any) -> None:
        """Mark the run as done; `facts` are what later stages look up."""
        self._write({**(self.manifest() or {}), **facts, "finished": True})

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written whole."""
        whole = [
            path
            for path in self.checkpoints.glob("checkpoint-*")
            if (path / "trainer_state.json").is_file()
        ]
        return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Send the trainer's log lines to `training.log` while the stage runs."""
        handler = logging.FileHandler(self.log, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("trainer")
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            handler.close()

    def _write(self, manifest: dict[str, Any]) -> None:
        draft = self.folder / f".{_MANIFEST}.partial"
        draft.write_text(json.dumps(manifest, indent=2, ensure_ascii=False), "utf-8")
        draft.replace(self.folder / _MANIFEST)


def is_finished(recipe: Recipe) -> bool:
    """Whether this recipe, on these very files, has been run to its end."""
    manifest = Run(recipe).manifest()
    if manifest is None or not manifest["finished"]:
        return False
    return all(manifest.get(key) == value for key, value in _identity(recipe).items())


def resolve(runs: Path, name: str) -> str:
    """The version that a recipe means by a version's name or by `run:<name>`."""
    return published(runs, name.removeprefix("run:")) if name.startswith("run:") else name


def published(runs: Path, name: str) -> str:
    """The version that the finished run `name` published last."""
    path = runs / name / _MANIFEST
    if not path.is_file():
        raise RecipeError(f"run:{name}: no such run in {runs}; train it first")
    manifest = json.loads(path.read_text("utf-8"))
    if not manifest.get("version"):
        raise RecipeError(f"run:{name}: has published nothing yet; let it finish first")
    return str(manifest["version"])


def _identity(recipe: Recipe) -> dict[str, Any]:
    """What makes two runs the same: the recipe, the data, the model, the policies compared."""
    identity: dict[str, Any] = {
        "recipe": recipe.sha256,
        "data": {str(path): digest.of_file(path) for path in _data(recipe) if path.is_file()},
        "model": _model_digest(recipe),
    }
    if isinstance(recipe, CompareRecipe):
        identity["versions"] = [
            resolve(recipe.runs, name) for name in (recipe.baseline, recipe.candidate)
        ]
    return identity


def _data(recipe: Recipe) -> Sequence[Path]:
    match recipe:
        case SftRecipe():
            return recipe.train
        case PpoRecipe() | CompareRecipe():
            return recipe.prompts


def _model_digest(recipe: Recipe) -> str | None:
    return digest.of_folder(recipe.model) if recipe.model and recipe.model.is_dir() else None


def _commit() -> str | None:
    """The project's git commit, or None outside a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
