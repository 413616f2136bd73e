"""What an operator may set for the policy server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from galen.settings import Origin, Settings


class AdapterSettings(Settings):
    """Serve LoRA adapters side by side. Best on a GPU; on a CPU it costs most of the speed."""

    max_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 64
    """vLLM takes these and no others."""
    max_loaded: int = Field(default=4, ge=1)


def _is_address(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+", url):
        raise ValueError("write http://host:port, with nothing behind the port")
    return url


Url = Annotated[str, AfterValidator(_is_address)]
"""Scheme, host and port; the engine's routes are at its root."""


Auto = Literal["auto"]


class EngineSettings(Settings):
    """How a local engine is started. `auto` follows from model and machine (`engines/auto.py`)."""

    backend: Literal["vllm", "transformers"] = "vllm"
    """`transformers` is slow and simple: for machines on which vLLM cannot run."""
    max_model_len: Annotated[int, Field(ge=16)] | Auto = "auto"
    """Tokens of prompt and completion together. `auto`: the model's own, if the memory allows."""
    dtype: str = "auto"
    """`auto`: vLLM's choice on a GPU; on a CPU bfloat16 if it has instructions for it, else
    float32."""
    threads: Annotated[int, Field(ge=1)] | Auto = "auto"
    """CPU threads of the engine. `auto`: the cores that nothing else needs; one for a toy."""
    kv_cache_bytes: Annotated[int, Field(ge=1)] | Auto | None = "auto"
    """`auto`: a share of the memory on a CPU. None lets vLLM take most of it, as on a GPU."""
    enforce_eager: bool | Auto = "auto"
    """Without compilation and CUDA graphs: starts quicker, serves slower. `auto`: on a CPU."""
    start_limit_s: float = Field(default=300.0, gt=0)
    """Seconds until the engine must be ready."""
    hang_limit_s: float = Field(default=30.0, gt=0)
    """Seconds without an answer to a liveness call, after which the engine counts as hung."""
    arguments: tuple[str, ...] = ()
    """Further arguments for vLLM, passed on as they are."""


class ServerSettings(Settings):
    model: Path
    """The base model's folder: what `base` names, and what adapters sit on."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    state: Path = Path(".galen/server")
    """Folder for the list of versions and the engine's log."""
    versions_root: Path = Path("runs")
    """Only folders inside this one may be loaded as versions."""
    adapters: AdapterSettings | None = None
    """None serves merged weights, one version at a time."""
    parity_limit: float = Field(default=0.05, gt=0)
    """Nats that engine and publisher may differ on average for a version to be accepted."""
    step_limit_s: float = Field(default=60.0, gt=0)
    """Seconds for each step of loading a version."""
    drain_limit_s: float = Field(default=60.0, gt=0)
    """Seconds that answers under way may go on when another version is to be loaded; then they are
    cut off with an error."""
    wait_limit_s: float = Field(default=120.0, gt=0)
    """Seconds that a request waits while a version is swapped in, before it is refused; at least
    `drain_limit_s` and `step_limit_s` together."""
    engines: tuple[Url, ...] = ()
    """Addresses of engines that run elsewhere. None: one local engine is started and watched."""
    rollouts_at_once: int = Field(default=64, ge=1)
    """Rollouts in an engine at once; more wait at the gateway, so that people need not."""
    rollouts_beside_people: int = Field(default=4, ge=1)
    """The same while people are active. The default suits CPUs, where each rollout in a batch
    delays everybody's next token; a GPU bears several times as many."""
    keys_file: Path | None = None
    origins: tuple[Origin, ...] = ()
    """Origins of pages that may call the server from a browser; without any, only its own may."""
    body_limit: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Bytes."""
    engine: EngineSettings = EngineSettings()

    @model_validator(mode="after")
    def _has_an_engine_for_adapters(self) -> Self:
        if self.adapters and not self.engines and self.engine.backend == "transformers":
            message = "adapters: the engine on transformers has none; leave them out or use vLLM"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _requests_outwait_a_swap(self) -> Self:
        if self.wait_limit_s < (least := self.drain_limit_s + self.step_limit_s):
            message = f"wait_limit_s must be at least {least:g} s: drain_limit_s plus step_limit_s"
            raise ValueError(message)
        return self
