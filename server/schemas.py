"""The policy server's own requests and answers, besides OpenAI's. Loads no FastAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from galen.records import CleanText, NonBlank

MANIFEST = "version.json"
"""A version folder's own description, left out of its checksum."""
VERSION_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
BASE = "base"
"""The name of the weights that the engine was started with."""

Kind = Literal["merged", "adapter"]


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Probe(Wire):
    """Fixed token ids and the log-probabilities that the publisher computed for them.

    `token_logprobs[i][t]` is log p(token_ids[i][t+1] | token_ids[i][:t+1]), natural log.
    """

    token_ids: tuple[tuple[int, ...], ...] = Field(min_length=1)
    token_logprobs: tuple[tuple[float, ...], ...]


class VersionManifest(Wire):
    """`version.json`: what a published folder is and where it came from."""

    name: str = Field(pattern=VERSION_NAME)
    kind: Kind
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of every other file in the folder (`galen.digest.of_folder`)."""
    probe: Probe
    base: CleanText | None = None
    """For an adapter: checksum of the base model that it was trained on."""
    parent: CleanText | None = None
    run: CleanText | None = None
    step: int | None = Field(default=None, ge=0)
    recipe_sha256: str | None = None


class LoadVersion(Wire):
    name: str = Field(pattern=VERSION_NAME)
    path: Path
    """The version's folder, on a disk that the server can read."""
    activate: bool = True


class ActivateVersion(Wire):
    name: str = Field(pattern=VERSION_NAME)


class VersionCard(Wire):
    """A version that the server knows."""

    name: str
    kind: Kind
    sha256: str
    loaded: bool
    """Whether a request may name it now; of merged versions only the current one is."""
    parent: str | None = None
    run: str | None = None
    step: int | None = None
    recipe_sha256: str | None = None
    """Of the recipe that the run was started with."""
    parity: float | None = None
    """Mean absolute difference in nats between engine and publisher when it was last loaded."""


class PolicyState(Wire):
    current: str
    serves: Kind = "merged"
    """What kind of version the server takes."""
    versions: tuple[VersionCard, ...]
    disclaimer: str
    notice: str | None = None
    """Why another version serves than the operator asked for, if so."""


class Sampling(Wire):
    """How a completion is drawn. `top_p` 1 and `top_k` 0 leave the distribution as it is, which
    importance ratios need."""

    max_tokens: int = Field(ge=1)
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None


class TokenCompletion(Wire):
    """One completion, token by token, and the version that wrote it."""

    token_ids: tuple[int, ...]
    """With the stop token, if it ended by itself."""
    logprobs: tuple[float, ...]
    """Of each token under the engine, natural log."""
    text: str
    """Decoded by the engine, without special tokens."""
    finish_reason: str
    version: NonBlank
