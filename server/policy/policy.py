"""The policy: which version serves, and how another takes its place.

A version serves only after its parity probe on every engine in the rotation. If a step fails, the
previous version keeps serving, and the error says so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from galen.errors import Conflict, GalenError, NotFound
from server.policy import broadcast
from server.policy.gate import Gate
from server.policy.metrics import PolicyMetrics
from server.policy.pool import Pool
from server.policy.recovery import Recovery
from server.policy.replica import Replica
from server.policy.serving import Serving
from server.schemas import BASE, PolicyState
from server.settings import ServerSettings
from server.versions.store import Entry, VersionStore, Weights

POLICY = "policy"


class Policy:
    """Loads, activates, deletes and restores versions, one such step at a time."""

    def __init__(
        self,
        settings: ServerSettings,
        store: VersionStore,
        pool: Pool,
        metrics: PolicyMetrics,
    ) -> None:
        self._adapters = settings.adapters is not None
        self._store = store
        self._pool = pool
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._serving = Serving(store, pool, metrics)
        self._recovery = Recovery(settings, store, pool, metrics, self._serving)
        self.gate = Gate(settings.wait_limit_s, settings.drain_limit_s)

    def version_of(self, model: str) -> str:
        """The version that a request's `model` names. `NotFound` lists the names that there are.

        Call it inside the gate, or the version may have changed before the request is sent.
        """
        qualified = model in (POLICY, BASE) or model.startswith(f"{POLICY}@")
        version = self._serving.current if model == POLICY else model.removeprefix(f"{POLICY}@")
        if qualified and version in self._serving.loaded():
            return version
        if qualified and (version == BASE or self._store.get(version)):
            one = "" if self._adapters else "this server holds one set of weights at a time; "
            message = f"{model!r} is not loaded: {one}an admin can load it with "
            raise NotFound(f"{message}`galen activate {version}`", param="model")
        names = ", ".join(self.models())
        raise NotFound(f"no model {model[:200]!r}; there are {names}", param="model")

    def models(self) -> list[str]:
        """The model names that a request may use now."""
        loaded = self._serving.loaded()
        versions = [f"{POLICY}@{name}" for name in loaded]
        return [POLICY, *([BASE] if BASE in loaded else []), *versions]

    def state(self) -> PolicyState:
        return self._serving.state()

    async def load(self, name: str, folder: Path, *, activate: bool) -> PolicyState:
        """Accept a folder as a version. Repeating it changes nothing."""
        self._pool.refuse_without_engine()
        async with self._lock:
            entry, weights = await asyncio.to_thread(self._store.inspect, name, folder)
            is_current = name == self._serving.current
            if (activate or self._adapters) and not is_current:
                await self._serve(weights, entry, activate=activate)
            else:
                self._store.note(entry)
            return self.state()

    async def activate(self, name: str) -> PolicyState:
        """Make a known version the one that `policy` names."""
        self._pool.refuse_without_engine()
        async with self._lock:
            if name == self._serving.current:
                return self.state()
            ready = self._pool.ready
            if ready and all(replica.holds(name) for replica in ready):
                # An adapter next to the current one, or the base under it: its probe has passed.
                self._serving.switch(name)
            elif name == BASE:
                assert self._serving.base, "an engine without a problem has been restored"
                await self._serve(self._serving.base, None, activate=True)
            else:
                entry, weights = await asyncio.to_thread(self._store.inspect_known, name)
                await self._serve(weights, entry, activate=True)
            return self.state()

    async def delete(self, name: str) -> PolicyState:
        """Remove a version from the list; its folder stays."""
        async with self._lock:
            if name in (BASE, self._serving.current):
                which = "the base model" if name == BASE else "the current version"
                raise Conflict(f"{name!r} is {which} and stays", param="name")
            self._store.find(name)
            # Off the list first, so that no new request can name it.
            self._store.remove(name)
            await self.gate.drain(lambda flight: flight.version == name)
            for replica in self._pool.ready:
                await replica.loader.unload(name)
            return self.state()

    async def restore(self, replica: Replica) -> None:
        """Bring an engine up to date and let it join the rotation.

        If no engine can hold the version that served before, the base serves, with a notice.
        """
        async with self._lock:
            await self.gate.drain(lambda flight: flight.replica is replica)
            await self._recovery.restore(replica)
            # Before the lock is released, else it might miss the next version.
            replica.engine.problem = None

    async def _serve(self, weights: Weights, entry: Entry | None, *, activate: bool) -> None:
        """Load on every engine, probe, list, and if asked for switch."""
        with self._metrics.loading(weights.name):
            async with self.gate.closed():
                ready = self._pool.ready
                difference = await broadcast.load(ready, weights, self._serving.current)
                try:
                    if entry:
                        self._serving.accept(entry, difference)
                    if activate:
                        self._serving.switch(weights.name)
                except GalenError:
                    # It could not be saved, so the engines must not hold it either.
                    await broadcast.undo(ready, weights.name)
                    raise
