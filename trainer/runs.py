"""The folder of a run: its recipe, its inputs, its log, and whether it is finished."""

from __future__ import annotations

import difflib
import json
import logging
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from galen import digest
from galen.errors import RecipeError
from server.schemas import BASE
from trainer import processes
from trainer.history import parent_of
from trainer.recipes import CompareRecipe, RlRecipe, RunSettings, Tuning

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
RUN_PREFIX = "run:"
_MANIFEST = "manifest.json"


class Run:
    """One run's folder. The same recipe resumes it; another one is refused."""

    def __init__(self, recipe: RunSettings) -> None:
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
        if found is not None:
            changed = changes(self.recipe)
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
                **_identity(self.recipe),
                "stage": self.recipe.stage,
                "start": str(getattr(self.recipe, "model", None)),
                "parent": parent_of(getattr(self.recipe, "model", None)),
                "finished": False,
                "python": platform.python_version(),
                "packages": packages,
                "commit": _commit(),
            }
        )

    def _may_start_over(self, found: dict[str, Any], changed: Sequence[str]) -> bool:
        """Whether nothing was saved yet, or a comparison's policies have newer versions."""
        nothing_saved = not found["finished"] and self.last_checkpoint() is None
        return nothing_saved or changed == ["versions"]

    def manifest(self) -> dict[str, Any] | None:
        path = self.folder / _MANIFEST
        return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None

    def finish(self, **facts: Any) -> None:
        """Mark the run as finished; later stages read `facts`."""
        self._write({**(self.manifest() or {}), **facts, "finished": True})

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written whole."""
        return last_checkpoint(self.folder)

    def first_checkpoint_step(self) -> int:
        """The step of the oldest checkpoint; 0 if there is none."""
        return min(map(_step_of, _whole_checkpoints(self.folder)), default=0)

    def drop_broken_checkpoints(self) -> None:
        """Remove checkpoints that a kill or a full disk left half written."""
        for path in self.checkpoints.glob("checkpoint-*"):
            if not (path / "trainer_state.json").is_file():
                shutil.rmtree(path)

    def forget_metrics_after(self, step: int) -> None:
        """Drop the rows of metrics.jsonl beyond `step`, and a last one that was cut off."""
        if self.metrics.is_file():
            lines = self.metrics.read_text("utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            kept = [line for line in whole if json.loads(line)["step"] <= step]
            self.metrics.write_text("".join(kept), "utf-8")

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Send the trainer's log lines to `training.log` while the stage runs, of one process."""
        if not processes.is_first():
            yield
            return
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


def is_finished(recipe: RunSettings) -> bool:
    """Whether this recipe, with the same files, has been run to its end."""
    manifest = Run(recipe).manifest()
    return manifest is not None and manifest["finished"] and not changes(recipe)


def changes(recipe: RunSettings) -> list[str]:
    """What the run of this name was made with, if that is another now: recipe, data, model."""
    found = Run(recipe).manifest()
    if found is None:
        return []
    return [key for key, value in _identity(recipe).items() if found.get(key) != value]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a finished run left behind."""

    name: str
    folder: Path
    version: str | None
    """The version that it published last; for a comparison the candidate."""
    recipe_sha256: str

    @property
    def final(self) -> Path | None:
        """The folder of its dense weights, if it has any."""
        return _holding("config.json", self.folder / "final")

    @property
    def adapter(self) -> Path | None:
        """The folder of its adapter before merging, if it has one."""
        return _holding("adapter_config.json", self.folder / "adapter", self.folder / "final")

    @property
    def version_name(self) -> str:
        """The version that the run published, or the name of the one that its weights would make.

        The name ends in the start of a checksum, so that other weights get another name.
        """
        if self.version:
            return self.version
        weights = self.final or self.adapter
        if weights is None:
            raise RecipeError(f"{RUN_PREFIX}{self.name}: {self.folder} holds no weights any more")
        return f"{self.name}-{digest.of_folder(weights)[:8]}"


def finished(runs: Path, name: str) -> FinishedRun:
    """The finished run `name`; `RecipeError` says what another one lacks."""
    folder = runs / name
    if not (folder / _MANIFEST).is_file():
        known = sorted(path.parent.name for path in runs.glob(f"*/{_MANIFEST}"))
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {RUN_PREFIX}{near[0]}?" if near else "train it first"
        raise RecipeError(f"{RUN_PREFIX}{name}: no such run in {runs}; {hint}")
    manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
    if not manifest.get("finished"):
        saved = last_checkpoint(folder)
        state = f"its last checkpoint is {saved.name}" if saved else "it has no checkpoint yet"
        recipe = folder / "recipe.yaml"
        command = "compare" if "stage: compare" in recipe.read_text("utf-8") else "train"
        raise RecipeError(
            f"{RUN_PREFIX}{name}: is not finished, {state}; go on with it: galen {command} {recipe}"
        )
    version = manifest.get("version")
    return FinishedRun(name, folder, version and str(version), str(manifest.get("recipe", "")))


def resolve(runs: Path, name: str, base: Path | None = None) -> str:
    """The version that a version's name or `run:<name>` stands for.

    A run whose dense weights lie in `base`, the folder that the server serves, means `base`.
    """
    if not name.startswith(RUN_PREFIX):
        return name
    run = finished(runs, name.removeprefix(RUN_PREFIX))
    if not run.version and base and run.final and run.final.resolve() == base.resolve():
        return BASE
    return run.version_name


def dashboards(recipe: RunSettings) -> list[str]:
    """What `transformers` reports to. Raises `RecipeError` for one that is not installed."""
    if recipe.report_to == "none":
        return ["tensorboard"]
    if find_spec(recipe.report_to) is None:
        raise RecipeError(
            f"`report_to: {recipe.report_to}`: not installed; pip install {recipe.report_to}, or "
            "leave the field out"
        )
    return ["tensorboard", recipe.report_to]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of the run in `folder` that was written whole."""
    return max(_whole_checkpoints(folder), key=_step_of, default=None)


def _whole_checkpoints(folder: Path) -> list[Path]:
    found = (folder / "checkpoints").glob("checkpoint-*")
    return [path for path in found if (path / "trainer_state.json").is_file()]


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _holding(file: str, *folders: Path) -> Path | None:
    return next((folder for folder in folders if (folder / file).is_file()), None)


def _identity(recipe: RunSettings) -> dict[str, Any]:
    """Equal for equal runs: the recipe, the data, the model, the policies compared."""
    identity: dict[str, Any] = {
        "recipe": recipe.sha256,
        "data": {str(path): digest.of_file(path) for path in data_of(recipe) if path.is_file()},
        "model": _model_digest(recipe),
    }
    if isinstance(recipe, CompareRecipe):
        identity["versions"] = [
            resolve(recipe.runs, name, recipe.model) for name in (recipe.baseline, recipe.candidate)
        ]
    return identity


def data_of(recipe: RunSettings) -> Sequence[Path]:
    """The data files that a recipe reads."""
    match recipe:
        case RlRecipe():
            return recipe.prompts + recipe.held_out
        case CompareRecipe():
            return recipe.prompts
        case Tuning():
            return recipe.data
    return ()


def _model_digest(recipe: RunSettings) -> str | None:
    folder: Path | None = getattr(recipe, "model", None)
    return digest.of_folder(folder) if folder and folder.is_dir() else None


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
