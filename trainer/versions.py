"""A policy version from any folder of weights: checked against the base, copied, with its probe.

The given folder is only read. The server gets a copy in `<root>/published/`, since a version must
never change and a user's own folder may.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from galen import digest
from galen.errors import Conflict, InvalidInput, RecipeError, StorageFull, VersionRefused
from galen.settings import read_yaml
from server.schemas import BASE, MANIFEST, Kind, PolicyState, VersionManifest
from trainer import fit
from trainer.runs import RUN_PREFIX, FinishedRun, finished

PUBLISHED = "published"
"""Folder inside `versions_root` for the versions that are made here."""
WEIGHTS = (".safetensors", ".json", ".jinja", ".model", ".tiktoken", ".txt")
"""Suffixes of the files that a version takes from a model's folder."""
LEFT_OUT = frozenset({MANIFEST, "manifest.json", "trainer_state.json"})
QUESTIONS = (
    "头痛两天了，怎么办？",
    "孩子发烧到三十九度，需要去医院吗？",
    "What should I do about a sore throat?",
    "Explain in one sentence why the sky is blue.",
)
"""The probe's prompts; the policy's own answers follow them."""

Say = Callable[[str], None]
"""Shows the current step."""
Describe = Callable[[Path, str], VersionManifest]
"""Makes the manifest of the weights in a folder, whose checksum is the second argument."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder to publish, and the run that it comes from, if any."""

    folder: Path
    kind: Literal["version", "adapter", "merged"]
    run: FinishedRun | None = None

    def is_version(self, name: str) -> bool:
        """Whether the folder is the version of that name. Raises `VersionRefused` if damaged."""
        return self.kind == "version" and _manifest_of(self.folder).name == name


@dataclass(frozen=True, slots=True)
class Served:
    """The server that a version is for: the kind that it serves, and its base."""

    kind: Kind
    base: Path
    base_sha256: str


def source_of(given: str, runs: Path, kind: Kind) -> Source:
    """What `run:<name>` or a folder's path stands for, for a server of this kind.

    A run's folder means its run. `InvalidInput` says what a folder lacks.
    """
    if given.startswith(RUN_PREFIX):
        return _of_run(finished(runs, given.removeprefix(RUN_PREFIX)), kind)
    folder = Path(given)
    if (folder / "manifest.json").is_file() and (folder / "recipe.yaml").is_file():
        return _of_run(finished(folder.resolve().parent, folder.resolve().name), kind)
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder; a run is named {RUN_PREFIX}<name>")
    return _of_folder(folder)


def served_by(state: PolicyState, candidates: Iterable[Path]) -> Served:
    """The server's kind and base; the base's folder is the candidate with the same checksum."""
    sha256 = next(card.sha256 for card in state.versions if card.name == BASE)
    looked_at = []
    for folder in dict.fromkeys(path.resolve() for path in candidates):
        if (folder / fit.MODEL_CONFIG).is_file():
            if digest.of_folder(folder) == sha256:
                return Served(state.serves, folder, sha256)
            looked_at.append(str(folder))
    among = f" (not {', '.join(looked_at)})" if looked_at else ""
    raise InvalidInput(
        f"the folder of the base that is served, SHA-256 {sha256[:12]}, is not known here{among}; "
        "`galen publish` with --config and the server's stack file finds it"
    )


def bases_of(source: Source) -> list[Path]:
    """Folders of the base that the weights name themselves."""
    named = []
    if source.run:
        recipe = read_yaml(source.run.folder / "recipe.yaml")
        named += [recipe.get("model"), source.run.folder / "start"]
    if source.kind == "adapter":
        config = fit.read_json(source.folder / fit.ADAPTER_CONFIG)
        named.append(config.get("base_model_name_or_path"))
    return [Path(str(each)) for each in named if each]


def place_of(name: str, root: Path) -> Path:
    """Where the version `name` is written if it has to be made."""
    return root / PUBLISHED / name


def prepare(
    source: Source, name: str, state: PolicyState, bases: Iterable[Path], root: Path, say: Say
) -> Path:
    """The folder of a version `name` with these weights, inside `root`, the server's
    `versions_root`. If that version's folder exists there, it is used as it is.

    `bases` are folders in which the served base may lie. `VersionRefused` gives all reasons why
    the weights do not fit it.
    """
    inside = root.resolve() in source.folder.resolve().parents
    if inside and source.is_version(name):
        return source.folder
    folder = place_of(name, root)
    draft = folder.with_name(f".{name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        if source.kind == "version":
            describe = _renamed(source, name)
            _copy(source.folder, draft, WEIGHTS)
        else:
            served = served_by(state, [*bases, *bases_of(source)])
            kind = _bring(source, served, draft, say)
            describe = _described(source, name, served, kind)
        checksum = digest.of_folder(draft)
        if folder.is_dir():
            _refuse_other(folder, checksum)
            return folder
        say("computing the probe's log-probabilities")
        manifest = describe(draft, checksum)
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _of_run(run: FinishedRun, kind: Kind) -> Source:
    """A run's last version; without one its weights, of the server's kind if it has them."""
    if run.version:
        found = sorted(run.folder.parent.glob(f"*/{run.version}/{MANIFEST}"))
        found += sorted(run.folder.parent.glob(f"*/versions/{run.version}/{MANIFEST}"))
        if found:
            return Source(found[0].parent, "version", run)
    adapter, final = run.adapter, run.final
    if adapter and (kind == "adapter" or not final):
        return Source(adapter, "adapter", run)
    if final:
        return Source(final, "merged", run)
    raise RecipeError(f"{RUN_PREFIX}{run.name}: {run.folder} holds no weights any more")


def _of_folder(folder: Path) -> Source:
    if (folder / MANIFEST).is_file():
        return Source(folder, "version")
    if (folder / fit.ADAPTER_CONFIG).is_file():
        return Source(folder, "adapter")
    if (folder / fit.MODEL_CONFIG).is_file():
        return Source(folder, "merged")
    raise InvalidInput(
        f"{folder}: no weights there; it holds neither {fit.MODEL_CONFIG} (a model), "
        f"{fit.ADAPTER_CONFIG} (a PEFT adapter), {MANIFEST} (a version) nor a run's manifest.json"
    )


def _manifest_of(folder: Path) -> VersionManifest:
    try:
        return VersionManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise VersionRefused(
            f"{folder / MANIFEST}: damaged; delete it, and it is made again from the weights"
        ) from error


def _bring(source: Source, served: Served, draft: Path, say: Say) -> Kind:
    """Put the weights into `draft`; an adapter is merged for a server of merged ones."""
    _refuse_misfit(source, served, say)
    if source.kind == "adapter" and served.kind == "merged":
        from transformers.utils import logging

        from trainer.merge import merge

        logging.disable_progress_bar()  # `say` shows what is being done
        say("merging the adapter into its base, since the server takes merged weights")
        merge([source.folder], draft, base=served.base)
        return "merged"
    say("copying the weights")
    if source.kind == "adapter":
        _copy(source.folder, draft, (fit.ADAPTER_CONFIG, fit.ADAPTER_WEIGHTS))
        return "adapter"
    _copy(source.folder, draft, WEIGHTS)
    return "merged"


def _refuse_misfit(source: Source, served: Served, say: Say) -> None:
    if source.kind == "merged" and served.kind == "adapter":
        raise VersionRefused(
            f"{source.folder}: whole weights, and the server takes only LoRA adapters; publish "
            "the adapter before it was merged, or start a server with `adapters: null`, or one "
            "whose `model` is this folder"
        )
    say("comparing tensors and tokenizer with the served base")
    find = fit.adapter_problems if source.kind == "adapter" else fit.merged_problems
    if problems := find(source.folder, served.base):
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise VersionRefused(
            f"{source.folder} does not fit the served base {served.base}:\n{lines}\n"
            "publish what was trained from that base, or start a server on the model that this "
            "was trained from"
        )


def _copy(folder: Path, draft: Path, ends: tuple[str, ...]) -> None:
    """Copy the files whose names have one of these ends; links are followed."""
    try:
        draft.mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            wanted = path.name.endswith(ends) and path.name not in LEFT_OUT
            if wanted and path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, draft / path.name)
    except OSError as error:
        raise StorageFull(f"{folder} cannot be copied to {draft}: {error.strerror}") from error


def _refuse_other(folder: Path, checksum: str) -> None:
    if _manifest_of(folder).sha256 != checksum:
        raise Conflict(
            f"{folder} holds other weights of that name, and versions never change; choose "
            "another name, or take it off the list with `galen forget` and delete the folder"
        )


def _renamed(source: Source, name: str) -> Describe:
    """The manifest of a version's copy. `VersionRefused` if the version's files have changed."""
    manifest = _manifest_of(source.folder)
    if digest.of_folder(source.folder, leave_out=frozenset({MANIFEST})) != manifest.sha256:
        raise VersionRefused(
            f"{source.folder}: the files have changed, their SHA-256 is not the one in {MANIFEST}; "
            "delete that file, and it is made again from the weights"
        )
    return lambda folder, checksum: manifest.model_copy(update={"name": name, "sha256": checksum})


def _described(source: Source, name: str, served: Served, kind: Kind) -> Describe:
    """The manifest of weights that had none."""

    def describe(folder: Path, checksum: str) -> VersionManifest:
        from trainer.rl.publish import probe_of_folder

        return VersionManifest(
            name=name,
            kind=kind,
            sha256=checksum,
            probe=probe_of_folder(folder, served.base, QUESTIONS),
            base=served.base_sha256 if kind == "adapter" else None,
            parent=BASE,
            run=source.run.name if source.run else None,
            recipe_sha256=source.run.recipe_sha256 if source.run else None,
        )

    return describe
