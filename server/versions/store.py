"""Which policy versions exist, and whether a folder may become one.

A version is an immutable folder with a manifest (`version.json`). The list of those accepted is
kept in `<state>/versions.json`, written aside and renamed, so that a kill leaves the old list or
the new one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from galen import digest, disk
from galen.errors import Conflict, InvalidInput, NotFound, StorageFull, VersionRefused
from server.schemas import BASE, MANIFEST, Kind, Probe, VersionManifest, Wire
from server.settings import ServerSettings
from server.versions import folders, parity, weights

_LINEAGE = {"name", "kind", "sha256", "parent", "run", "step", "recipe_sha256"}
"""The fields of a folder's manifest that the list keeps."""


class Entry(Wire):
    """A version that was accepted, as the list keeps it."""

    name: str
    kind: Kind
    folder: Path
    sha256: str
    parent: str | None = None
    run: str | None = None
    step: int | None = None
    recipe_sha256: str | None = None
    parity: float | None = None
    """Nats; None if it has not been loaded yet."""


class _State(Wire):
    current: str
    versions: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder that passed every check without an engine, and the probe for the loaded weights."""

    name: str
    folder: Path
    sha256: str
    probe: Probe


class VersionStore:
    """The list of versions on disk. `current` is the one that `policy` names."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._file = settings.state / "versions.json"
        self._root = settings.versions_root.resolve()
        self.base_folder = settings.model.resolve()
        self._entries: dict[str, Entry] = {}
        self.current = BASE
        self._read()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    @property
    def kind(self) -> Kind:
        """What kind of version this server takes."""
        return "adapter" if self._settings.adapters else "merged"

    def find(self, name: str) -> Entry:
        """Raises `NotFound` with the names that there are."""
        if entry := self._entries.get(name):
            return entry
        known = ", ".join([BASE, *self._entries])
        raise NotFound(f"no version {name!r}; known: {known}", param="name")

    def note(self, entry: Entry) -> None:
        """List a version without loading it; a known one keeps its parity."""
        known = self._entries.get(entry.name)
        if known and known.sha256 == entry.sha256:
            entry = entry.model_copy(update={"parity": known.parity})
        if entry != known:
            self.put(entry)

    def put(self, entry: Entry) -> None:
        """Add a version to the list, or update it. Raises `StorageFull`."""
        self._keep(self.current, {**self._entries, entry.name: entry})

    def remove(self, name: str) -> None:
        self._keep(self.current, {k: v for k, v in self._entries.items() if k != name})

    def make_current(self, name: str) -> None:
        self._keep(name, self._entries)

    def inspect(self, name: str, folder: Path) -> tuple[Entry, Weights]:
        """Check the folder of a new or known version `name`. Reads every byte."""
        folder = self._inside(folder)
        folders.refuse_unsafe(folder)
        manifest = _manifest(folder)
        if name != manifest.name or name == BASE:
            raise VersionRefused(f"{folder.name}/{MANIFEST} names {manifest.name!r}, not {name!r}")
        known = self._entries.get(name)
        if known and known.sha256 != manifest.sha256 and self._is_taken(known):
            raise Conflict(
                f"version {name!r} exists with another checksum, and versions never change; "
                "use another name, or delete that version first",
                param="name",
            )
        weights.refuse_code(folder)
        # Before the checksum, since it takes a while.
        parity.check_shape(manifest.probe, name)
        self._check_weights(folder, manifest)
        try:
            sha256 = digest.of_folder(folder, leave_out=frozenset({MANIFEST}))
        except OSError as error:
            raise VersionRefused(f"{folder.name} cannot be read: {error.strerror}") from None
        if sha256 != manifest.sha256:
            raise VersionRefused(f"{name}: the folder's SHA-256 is not the one in {MANIFEST}")
        entry = Entry(folder=folder, **manifest.model_dump(include=_LINEAGE))
        return entry, Weights(name, folder, manifest.sha256, manifest.probe)

    def inspect_known(self, name: str) -> tuple[Entry, Weights]:
        """Check a version of the list again, byte for byte."""
        return self.inspect(name, self.find(name).folder)

    @functools.cached_property
    def base_sha256(self) -> str:
        """Of the base model's folder, read once."""
        return digest.of_folder(self.base_folder)

    @functools.cached_property
    def _base_shapes(self) -> weights.Shapes:
        return weights.shapes_of(self.base_folder)

    def _is_taken(self, known: Entry) -> bool:
        """False once its weights are gone from the disk, unless they serve."""
        if known.name == self.current:
            return True
        try:
            return _manifest(known.folder).sha256 == known.sha256
        except VersionRefused:
            return False

    def _inside(self, folder: Path) -> Path:
        try:
            resolved = folder.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
            raise InvalidInput(f"no version folder at {str(folder)!r}", param="path") from None
        if self._root not in resolved.parents or not resolved.is_dir():
            message = f"a version must be a folder inside {self._root}"
            raise InvalidInput(message, param="path")
        return resolved

    def _check_weights(self, folder: Path, manifest: VersionManifest) -> None:
        serves = "adapter" if self._settings.adapters else "merged"
        if manifest.kind != serves:
            words = {"adapter": "adapters", "merged": "merged weights"}
            message = f"this server serves {words[serves]}, not {words[manifest.kind]}"
            raise VersionRefused(f"{manifest.name}: {message}")
        shapes = weights.shapes_of(folder)
        if self._settings.adapters:
            self._check_adapter(folder, manifest, self._settings.adapters.max_rank)
        else:
            weights.compare(manifest.name, shapes, self._base_shapes)

    def _check_adapter(self, folder: Path, manifest: VersionManifest, most: int) -> None:
        adapter = weights.read_adapter(folder)
        if adapter.rank > most:
            raise VersionRefused(f"{manifest.name}: rank {adapter.rank} is above max_rank {most}")
        if adapter.unsupported:
            raise VersionRefused(f"{manifest.name}: vLLM cannot serve {adapter.unsupported[0]}")
        if manifest.base and manifest.base != self.base_sha256:
            raise VersionRefused(
                f"{manifest.name} was trained on another base model than is served"
            )

    def _read(self) -> None:
        if not self._file.exists():
            return
        try:
            state = _State.model_validate_json(self._file.read_bytes())
        except OSError as error:
            message = f"{self._file} cannot be read ({error.strerror}); mend that, or move it away"
            raise InvalidInput(message) from None
        except ValidationError:
            message = f"{self._file} is damaged; move it away to start with only the base model"
            raise InvalidInput(message) from None
        self.current = state.current
        self._entries = {entry.name: entry for entry in state.versions}

    def _keep(self, current: str, entries: dict[str, Entry]) -> None:
        """Write to disk first, so that a failed write changes nothing. Raises `StorageFull`."""
        state = _State(current=current, versions=tuple(entries.values()))
        try:
            disk.replace(self._file, state.model_dump_json(indent=1).encode())
        except OSError as error:
            message = f"{self._file} cannot be written ({error.strerror}); nothing has changed"
            raise StorageFull(message) from None
        self.current, self._entries = current, entries


def _manifest(folder: Path) -> VersionManifest:
    try:
        return VersionManifest.model_validate_json(folders.read_text(folder / MANIFEST))
    except FileNotFoundError:
        raise VersionRefused(f"{folder.name} holds no {MANIFEST}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise VersionRefused(f"{folder.name}/{MANIFEST}: {where}: {first['msg']}") from None
