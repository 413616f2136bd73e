"""The policy: which version serves, and how another takes its place.

A version serves only after its parity probe. When anything on the way fails, the version that
served before still does, and the error says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import Conflict, GalenError, NotFound, Unavailable, VersionRefused
from server.engine import Engine
from server.engine_api import EngineApi
from server.gate import Gate
from server.loaders import AdapterLoader, Loader, MergedLoader
from server.metrics import PolicyMetrics
from server.schemas import BASE, PolicyState, Probe, VersionCard
from server.settings import ServerSettings
from server.versions import Entry, VersionStore, Weights

log = logging.getLogger(__name__)

POLICY = "policy"
BASE_PROBE_IDS = (tuple(range(1, 13)),)
"""Token ids by which the base weights are known again; any vocabulary has them."""
RESTORE_TRIES = 2
"""A version whose loading ends the engine this often in a row is given up."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the version that will answer it, and the engine's name for it."""

    version: str
    engine_name: str

    @property
    def public_name(self) -> str:
        return f"{POLICY}@{self.version}"


class Policy:
    """Loads, activates and deletes versions, one such step at a time."""

    def __init__(
        self,
        settings: ServerSettings,
        store: VersionStore,
        engine: Engine,
        api: EngineApi,
        metrics: PolicyMetrics,
    ) -> None:
        self._adapters = settings.adapters is not None
        self._step_limit_s = settings.step_limit_s
        self._store = store
        self._engine = engine
        self._api = api
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._base: Weights | None = None
        self._notice: str | None = None
        self._restores_begun = 0
        self.gate = Gate(settings.wait_limit_s)
        self._loader: Loader = (
            AdapterLoader(engine, api, settings)
            if self._adapters
            else MergedLoader(engine, api, settings)
        )

    def target(self, model: str) -> Target:
        """Which version a request's `model` names; `NotFound` says what may be asked for.

        To be asked from inside the gate, or the answer may be another version's.
        """
        loaded = self._loader.engine_names
        version = self._store.current if model == POLICY else model.removeprefix(f"{POLICY}@")
        qualified = model in (POLICY, BASE) or model.startswith(f"{POLICY}@")
        if qualified and version in loaded:
            return Target(version, loaded[version])
        if qualified and (version == BASE or self._store.get(version)):
            message = f"{model!r} is not loaded; an admin must activate {version!r} first"
            raise NotFound(message, param="model")
        raise NotFound(
            f"no model {model[:200]!r}; there are {', '.join(self.models())}", param="model"
        )

    def models(self) -> list[str]:
        """The model names that a request may use now."""
        loaded = self._loader.engine_names
        versions = [f"{POLICY}@{name}" for name in loaded]
        return [POLICY, *([BASE] if BASE in loaded else []), *versions]

    def state(self) -> PolicyState:
        loaded = self._loader.engine_names
        base_sha256 = self._base.sha256 if self._base else ""
        base = VersionCard(name=BASE, kind="merged", sha256=base_sha256, loaded=BASE in loaded)
        cards = [
            VersionCard(loaded=entry.name in loaded, **entry.model_dump(exclude={"folder"}))
            for entry in self._store
        ]
        return PolicyState(
            current=self._store.current,
            versions=(base, *cards),
            disclaimer=f"{DISCLAIMER_ZH} {DISCLAIMER_EN}",
            notice=self._notice,
        )

    async def load(self, name: str, folder: Path, *, activate: bool) -> PolicyState:
        """Take a folder as a version. Doing it twice is doing it once."""
        self._refuse_without_engine()
        async with self._lock:
            entry, weights = await asyncio.to_thread(self._store.inspect, name, folder)
            if name == self._store.current:
                return self.state()
            if activate or self._adapters:
                await self._serve(weights, entry, activate=activate)
            elif not self._store.get(name):
                self._store.put(entry)
            return self.state()

    async def activate(self, name: str) -> PolicyState:
        """Make a known version the one that `policy` names."""
        self._refuse_without_engine()
        async with self._lock:
            if name == self._store.current:
                return self.state()
            if name in self._loader.engine_names:
                # An adapter beside the current one, or the base under it: its probe has passed.
                self._make_current(name)
            elif name == BASE:
                assert self._base, "an engine without a problem has been restored"
                await self._serve(self._base, None, activate=True)
            else:
                await self._reload(name, activate=True)
            return self.state()

    async def delete(self, name: str) -> PolicyState:
        """Forget a version; its folder stays."""
        async with self._lock:
            if name in (BASE, self._store.current):
                which = "the base model" if name == BASE else "the current version"
                raise Conflict(f"{name!r} is {which} and stays", param="name")
            self._store.find(name)
            await self._loader.unload(name)
            self._store.remove(name)
            return self.state()

    async def restore(self) -> None:
        """After an engine's start: put back what served before, or the base with a notice."""
        async with self._lock:
            wanted = self._store.current
            beside = [n for n in self._loader.engine_names if n not in (BASE, wanted)]
            self._base = await self._base_weights()
            self._loader.start_over(self._base)
            if wanted == BASE:
                self._metrics.serving(BASE)
            else:
                await self._restore_current(wanted)
            for name in beside:
                with contextlib.suppress(VersionRefused, NotFound):
                    await self._reload(name, activate=False)

    async def _restore_current(self, wanted: str) -> None:
        self._restores_begun += 1
        try:
            if self._restores_begun > RESTORE_TRIES:
                raise VersionRefused(f"the engine died {RESTORE_TRIES} times while it was loaded")
            await self._reload(wanted, activate=True)
        except Unavailable:
            raise
        except GalenError as error:
            self._make_current(BASE)
            self._notice = f"{wanted!r} could not be restored, so {BASE!r} serves: {error.message}"
            log.error("version not restored", extra={"version": wanted, "reason": error.message})
        self._restores_begun = 0

    async def _reload(self, name: str, *, activate: bool) -> None:
        """Check a known version again, byte for byte, and load it."""
        folder = self._store.find(name).folder
        entry, weights = await asyncio.to_thread(self._store.inspect, name, folder)
        await self._serve(weights, entry, activate=activate)

    async def _base_weights(self) -> Weights:
        """The start weights, with a probe that this very engine computed."""
        sha256 = await asyncio.to_thread(self._store.base_sha256)
        logprobs = await self._api.token_logprobs(self._engine.served_name, BASE_PROBE_IDS)
        rows = tuple(tuple(row) for row in logprobs)
        probe = Probe(token_ids=BASE_PROBE_IDS, token_logprobs=rows)
        return Weights(BASE, self._store.base_folder, sha256, probe)

    def _refuse_without_engine(self) -> None:
        if self._engine.problem:
            raise Unavailable(self._engine.problem, retry_after_s=5)

    async def _serve(self, weights: Weights, entry: Entry | None, *, activate: bool) -> None:
        """Load, probe, list, and if asked for switch; counts and times what happens."""
        name, began = weights.name, time.perf_counter()
        try:
            async with self.gate.closed(self._step_limit_s):
                difference = await self._loader.load(weights, self._store.current)
                if entry:
                    self._store.put(entry.model_copy(update={"parity": difference}))
                if activate:
                    self._make_current(name)
        except GalenError as error:
            self._metrics.loads.labels(error.code).inc()
            log.error("version refused", extra={"version": name, "reason": error.message})
            raise
        seconds = time.perf_counter() - began
        self._metrics.loads.labels("ok").inc()
        self._metrics.parity.set(difference)
        self._metrics.seconds.observe(seconds)
        log.info(
            "version loaded", extra={"version": name, "parity": difference, "seconds": seconds}
        )

    def _make_current(self, name: str) -> None:
        self._store.make_current(name)
        self._notice = None
        self._metrics.serving(name)
