"""The two ways to bring a version's weights into the engine. Each ends with the parity probe.

`MergedLoader`: one version at a time, read into the running model. `AdapterLoader`: several LoRA
adapters next to the base. While either works, the gate keeps requests out.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from galen.errors import GalenError, Unavailable, UpstreamFailed, VersionRefused
from server.engines.api import EngineApi
from server.engines.engine import Engine
from server.schemas import BASE
from server.settings import ServerSettings
from server.versions import parity
from server.versions.store import Weights


class Loader(Protocol):
    engine_names: dict[str, str]
    """The engine's own name for each version that it holds now."""

    async def load(self, weights: Weights, current: str) -> float:
        """Bring weights into the engine, with no request in flight; the parity difference in nats.

        On any error the engine holds what it held before, or is being restarted.
        """

    async def undo(self) -> None:
        """Put back what was held before the last load, which another engine refused."""

    async def unload(self, name: str) -> None:
        """Drop a version that is not the current one."""

    def start_over(self, base: Weights) -> None:
        """Note that the engine was restarted and holds only its base."""

    async def clear(self, base: Path) -> None:
        """Bring an engine that was not started for us to its base, whatever it holds now."""


class MergedLoader:
    def __init__(self, engine: Engine, api: EngineApi, settings: ServerSettings) -> None:
        self._engine = engine
        self._api = api
        self._parity_limit = settings.parity_limit
        self._held: Weights | None = None
        self._held_before: Weights | None = None
        self.engine_names: dict[str, str] = {}

    def start_over(self, base: Weights) -> None:
        self._hold(base)

    async def clear(self, base: Path) -> None:
        await self._api.pause()
        try:
            await self._api.reload_weights(base)
        finally:
            await self._api.resume()

    async def load(self, weights: Weights, current: str) -> float:
        await self._api.pause()
        try:
            difference = await self._swap(weights)
        except GalenError as error:
            await self._put_back(error)
            raise _refusal(error, current) from error
        self._held_before = self._held
        self._hold(weights)
        return difference

    async def undo(self) -> None:
        if self._held_before:
            await self.load(self._held_before, self._held_before.name)

    async def unload(self, name: str) -> None:
        """Nothing to do: only the current version is ever held."""

    def _hold(self, weights: Weights) -> None:
        self._held = weights
        self.engine_names = {weights.name: self._engine.served_name}

    async def _swap(self, weights: Weights) -> float:
        """Read the weights into the paused engine, resume it, probe it."""
        await self._api.reload_weights(weights.folder)
        await self._api.resume()
        name, probe = weights.name, weights.probe
        engine = await parity.measure(self._api, self._engine.served_name, probe, name)
        return parity.judge(name, engine, probe.token_logprobs, self._parity_limit)

    async def _put_back(self, cause: GalenError) -> None:
        """Read again what was held; if that fails, only a fresh engine can be trusted."""
        assert self._held, "nothing is loaded before the engine has started"
        try:
            await self._api.pause()
            await self._swap(self._held)
        except GalenError as error:
            if self._engine.problem is None:  # Else somebody restarts it already.
                self._engine.restart(f"{self._held.name} could not be put back: {error.message}")
            message = f"{cause.message}; the engine is being restarted with {self._held.name!r}"
            raise Unavailable(message, retry_after_s=10) from error


class AdapterLoader:
    def __init__(self, engine: Engine, api: EngineApi, settings: ServerSettings) -> None:
        assert settings.adapters
        self._engine = engine
        self._api = api
        self._parity_limit = settings.parity_limit
        self._max_loaded = settings.adapters.max_loaded
        self._last: str | None = None
        """The version that the last load brought in; None if the engine had it already."""
        self.engine_names: dict[str, str] = {}

    def start_over(self, base: Weights) -> None:
        self.engine_names = {base.name: self._engine.served_name}

    async def clear(self, base: Path) -> None:
        # A gateway that was ended during a load may have left the engine paused.
        await self._api.resume()
        for name in await self._api.adapters():
            await self._api.unload_adapter(name)

    async def load(self, weights: Weights, current: str) -> float:
        name = weights.name
        # The checksum in the name keeps the engine's prefix cache, which is keyed by the name,
        # from answering for another adapter that once had the same name.
        engine_name = f"{name}-{weights.sha256[:12]}"
        # The engine may still work on a request whose client is gone.
        await self._api.pause(clear_cache=False)
        await self._api.resume()
        self._last = None
        try:
            if self.engine_names.get(name) != engine_name:
                self._last = name
                await self.unload(name)
                await self._api.load_adapter(engine_name, weights.folder)
            difference = await self._probe(weights, engine_name)
        except GalenError as error:
            if self._last:
                with contextlib.suppress(GalenError):
                    await self._api.unload_adapter(engine_name)
                self.engine_names.pop(name, None)
            raise _refusal(error, current) from error
        self.engine_names[name] = engine_name
        await self._make_room(keep={BASE, current, name})
        return difference

    async def undo(self) -> None:
        if self._last:
            await self.unload(self._last)

    async def unload(self, name: str) -> None:
        if engine_name := self.engine_names.pop(name, None):
            await self._api.unload_adapter(engine_name)

    async def _probe(self, weights: Weights, engine_name: str) -> float:
        name, probe = weights.name, weights.probe
        adapted = await parity.measure(self._api, engine_name, probe, name)
        difference = parity.judge(name, adapted, probe.token_logprobs, self._parity_limit)
        base = await parity.measure(self._api, self._engine.served_name, probe, name)
        parity.refuse_no_change(name, adapted, base)
        return difference

    async def _make_room(self, keep: set[str]) -> None:
        """Unload the longest loaded until no more than `max_loaded` are left."""
        loaded = [name for name in self.engine_names if name != BASE]
        surplus = max(0, len(loaded) - self._max_loaded)
        for name in [name for name in loaded if name not in keep][:surplus]:
            await self.unload(name)


def _refusal(error: GalenError, current: str) -> GalenError:
    """The same error, with the version that keeps serving. The engine's complaints about weights
    become refusals of the version."""
    kind = VersionRefused if isinstance(error, UpstreamFailed) else type(error)
    return kind(f"{error.message}; {current!r} keeps serving")
