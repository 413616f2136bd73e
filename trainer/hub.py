"""Files of models and datasets from Hugging Face or ModelScope, into a folder, checked.

Each hub's own client downloads and resumes. This module chooses the hub, compares hashes where the
client does not, and gives one clear error for whatever goes wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from galen import digest, disk
from galen.errors import Forbidden, GalenError, NotFound, Unavailable

Hub = Literal["huggingface", "modelscope"]
Kind = Literal["model", "dataset"]
NAMES: dict[Hub, str] = {"huggingface": "Hugging Face", "modelscope": "ModelScope"}
SHA256_DIGITS = 64
TOKENS: dict[Hub, str] = {"huggingface": "HF_TOKEN", "modelscope": "MODELSCOPE_API_TOKEN"}


def download(
    kind: Kind,
    name: str,
    folder: Path,
    files: Sequence[str],
    hub: Hub,
    endpoint: str | None = None,
) -> None:
    """Bring the repository's files that match the patterns `files` into `folder`.

    `endpoint` is a mirror's address; without one the client reads HF_ENDPOINT or
    MODELSCOPE_ENDPOINT, else asks the hub itself.

    What is there already and whole is not downloaded again. Raises `NotFound`, `Forbidden` for a
    gated repository, `Unavailable` for a hub out of reach or a download that was cut off, and
    `StorageFull`.
    """
    bring = _from_huggingface if hub == "huggingface" else _from_modelscope
    with _wrapped(name, hub), disk.room():
        bring(kind, name, folder, list(files), endpoint)


def _from_huggingface(
    kind: Kind, name: str, folder: Path, files: list[str], endpoint: str | None
) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(
        name, repo_type=kind, local_dir=folder, allow_patterns=files, endpoint=endpoint
    )
    _compare_hashes(name, folder)


def _compare_hashes(name: str, folder: Path) -> None:
    """The client compares sizes alone. It notes each file's ETag, which for a large file is its
    SHA-256. Raises `Unavailable` for a file that differs, which is deleted."""
    notes = folder / ".cache" / "huggingface" / "download"
    for note in notes.rglob("*.metadata"):
        etag = note.read_text("utf-8").splitlines()[1]
        file = folder / note.relative_to(notes).with_suffix("")
        if len(etag) == SHA256_DIGITS and file.is_file() and digest.of_file(file) != etag:
            file.unlink()
            note.unlink()
            raise Unavailable(
                f"{name}: {file.name} was damaged on its way (its SHA-256 is not the hub's) and "
                "is deleted; run the same command again, it goes on"
            )


def _from_modelscope(
    kind: Kind, name: str, folder: Path, files: list[str], endpoint: str | None
) -> None:
    from modelscope_hub import HubApi

    logging.getLogger("modelscope_hub").setLevel(logging.WARNING)
    HubApi(endpoint=endpoint).download_repo(name, kind, local_dir=folder, allow_patterns=files)


@contextmanager
def _wrapped(name: str, hub: Hub) -> Iterator[None]:
    """Foreign errors as ours."""
    try:
        yield
    except (GalenError, KeyboardInterrupt):
        raise
    except Exception as error:  # each client has a hierarchy of its own, over several libraries
        raise _ours(error, name, hub) from error


def _ours(error: Exception, name: str, hub: Hub) -> GalenError:
    where = NAMES[hub]
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status_code", None)
    kind = type(error).__name__
    if kind == "GatedRepoError" or status == 403:
        return Forbidden(
            f"{where} does not give {name} to everybody: accept its terms on its page there, and "
            f"put your token into {TOKENS[hub]}"
        )
    if status in (401, 404) or kind in ("RepositoryNotFoundError", "NotExistError"):
        return NotFound(
            f"{where} has no public repository {name}; check the name, or for a private one put "
            f"your token into {TOKENS[hub]}"
        )
    other = "modelscope" if hub == "huggingface" else "huggingface"
    return Unavailable(
        f"{name} could not be downloaded from {where} ({kind}): check the connection and run the "
        f"same command again, it goes on; or try --hub {other}, or a folder that you have"
    )
