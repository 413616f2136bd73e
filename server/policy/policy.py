"""The policy: which version serves, and how another takes its place.

A version serves only after its parity probe on every engine in the rotation. When anything on the
way fails, the version that served before still does, and the error says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import (
    Conflict,
    DeadlineExceeded,
    GalenError,
    NotFound,
    Unavailable,
    VersionRefused,
)
from server.policy import broadcast
from server.policy.gate import Gate
from server.policy.metrics import PolicyMetrics
from server.policy.pool import RETRY_AFTER_S, Pool
from server.policy.replica import Replica
from server.schemas import BASE, PolicyState, Probe, VersionCard
from server.settings import ServerSettings
from server.versions import parity
from server.versions.store import Entry, VersionStore, Weights

log = logging.getLogger(__name__)

POLICY = "policy"
BASE_PROBE_IDS = (tuple(range(1, 13)),)
"""Token ids by which the base weights are known again; any vocabulary has them."""
RESTORE_TRIES = 2
"""A version whose loading ends the engine this often in a row is given up."""


class Policy:
    """Loads, activates and deletes versions, one such step at a time."""

    def __init__(
        self,
        settings: ServerSettings,
        store: VersionStore,
        pool: Pool,
        metrics: PolicyMetrics,
    ) -> None:
        self._adapters = settings.adapters is not None
        self._step_limit_s = settings.step_limit_s
        self._limit = settings.parity_limit
        self._store = store
        self._pool = pool
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._base: Weights | None = None
        self._notice: str | None = None
        self._restores_begun: Counter[Replica] = Counter()
        self.gate = Gate(settings.wait_limit_s)

    def version_of(self, model: str) -> str:
        """The version that a request's `model` names; `NotFound` says what may be asked for.

        To be asked from inside the gate, or the answer may be another version's.
        """
        version = self._store.current if model == POLICY else model.removeprefix(f"{POLICY}@")
        qualified = model in (POLICY, BASE) or model.startswith(f"{POLICY}@")
        if qualified and version in self._loaded():
            return version
        if qualified and (version == BASE or self._store.get(version)):
            message = f"{model!r} is not loaded; an admin must activate {version!r} first"
            raise NotFound(message, param="model")
        raise NotFound(
            f"no model {model[:200]!r}; there are {', '.join(self.models())}", param="model"
        )

    def models(self) -> list[str]:
        """The model names that a request may use now."""
        loaded = self._loaded()
        versions = [f"{POLICY}@{name}" for name in loaded]
        return [POLICY, *([BASE] if BASE in loaded else []), *versions]

    def state(self) -> PolicyState:
        loaded = self._loaded()
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
        self._pool.refuse_without_engine()
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
        self._pool.refuse_without_engine()
        async with self._lock:
            if name == self._store.current:
                return self.state()
            ready = self._pool.ready
            if ready and all(replica.holds(name) for replica in ready):
                # An adapter beside the current one, or the base under it: its probe has passed.
                self._make_current(name)
            elif name == BASE:
                assert self._base, "an engine without a problem has been restored"
                await self._serve(self._base, None, activate=True)
            else:
                entry, weights = await self._inspect(name)
                await self._serve(weights, entry, activate=True)
            return self.state()

    async def delete(self, name: str) -> PolicyState:
        """Forget a version; its folder stays."""
        async with self._lock:
            if name in (BASE, self._store.current):
                which = "the base model" if name == BASE else "the current version"
                raise Conflict(f"{name!r} is {which} and stays", param="name")
            self._store.find(name)
            for replica in self._pool.ready:
                await replica.loader.unload(name)
            self._store.remove(name)
            return self.state()

    async def restore(self, replica: Replica) -> None:
        """Put on an engine what it should hold, and let it join the rotation.

        If no engine can hold what served before, the base serves, with a notice.
        """
        async with self._lock, replica.gate.closed(self._step_limit_s):
            if not replica.engine.is_fresh:
                await replica.loader.clear(self._store.base_folder)
            wanted = self._store.current
            beside = self._beside(replica, wanted)
            replica.loader.start_over(await self._base_weights(replica))
            if wanted == BASE:
                await self._back_to_base(replica)
                self._metrics.serving(BASE)
            else:
                await self._restore_current(replica, wanted)
            for name in beside:
                with contextlib.suppress(VersionRefused, NotFound):
                    await self._catch_up(replica, name)
            # Before the lock is released, or the next version might pass it by.
            replica.engine.problem = None

    async def _restore_current(self, replica: Replica, wanted: str) -> None:
        self._restores_begun[replica] += 1
        try:
            if self._restores_begun[replica] > RESTORE_TRIES:
                raise VersionRefused(f"the engine died {RESTORE_TRIES} times while it was loaded")
            await self._catch_up(replica, wanted)
            self._metrics.serving(wanted)
        except (Unavailable, DeadlineExceeded):
            raise
        except GalenError as error:
            if self._pool.ready:
                raise  # The others serve it, so this engine is at fault.
            self._make_current(BASE)
            self._notice = f"{wanted!r} could not be restored, so {BASE!r} serves: {error.message}"
            log.error("version not restored", extra={"version": wanted, "reason": error.message})
            await self._back_to_base(replica)
        self._restores_begun[replica] = 0

    async def _back_to_base(self, replica: Replica) -> None:
        """Make true that it holds its base, although it was perhaps started with a version."""
        assert self._base
        if replica.engine.started_with is not None:
            await replica.loader.load(self._base, BASE)

    async def _catch_up(self, replica: Replica, name: str) -> None:
        """Bring a known version to one engine that is not in the rotation."""
        entry, weights = await self._inspect(name)
        with self._accounted(weights.name):
            difference = await replica.loader.load(weights, self._store.current)
            if entry.sha256 == self._store.find(name).sha256:
                # Nothing is written: an engine comes back although the disk is full.
                self._metrics.parity.set(difference)
            else:
                self._accept(entry, difference)

    async def _inspect(self, name: str) -> tuple[Entry, Weights]:
        """A known version, checked again byte for byte."""
        folder = self._store.find(name).folder
        return await asyncio.to_thread(self._store.inspect, name, folder)

    async def _base_weights(self, replica: Replica) -> Weights:
        """The start weights, with the probe that the first engine computed.

        Raises `Unavailable` for an engine that was started with other weights than the first.
        """
        if self._base and replica.engine.started_with is not None:
            return self._base  # It was started with a version, and could not tell.
        sha256 = await asyncio.to_thread(self._store.base_sha256)
        logprobs = await replica.api.token_logprobs(replica.engine.served_name, BASE_PROBE_IDS)
        rows = tuple(tuple(row) for row in logprobs)
        if self._base:
            # Written so that NaN is refused.
            if not parity.mean_difference(rows, self._base.probe.token_logprobs) <= self._limit:
                message = f"{replica.label} was started with another model than the other engines"
                raise Unavailable(message, retry_after_s=RETRY_AFTER_S)
            return self._base
        probe = Probe(token_ids=BASE_PROBE_IDS, token_logprobs=rows)
        self._base = Weights(BASE, self._store.base_folder, sha256, probe)
        return self._base

    async def _serve(self, weights: Weights, entry: Entry | None, *, activate: bool) -> None:
        """Load on every engine, probe, list, and if asked for switch."""
        with self._accounted(weights.name):
            async with self.gate.closed(self._step_limit_s):
                current = self._store.current
                ready = self._pool.ready
                difference = await broadcast.load(ready, weights, current)
                try:
                    if entry:
                        self._accept(entry, difference)
                    if activate:
                        self._make_current(weights.name)
                except GalenError:
                    # It could not be written down, so the engines may not hold it either.
                    await broadcast.undo(ready, weights.name)
                    raise

    def _accept(self, entry: Entry, difference: float) -> None:
        self._store.put(entry.model_copy(update={"parity": difference}))
        self._metrics.parity.set(difference)

    @contextlib.contextmanager
    def _accounted(self, name: str) -> Iterator[None]:
        """Counts, times and logs the loading of a version."""
        began = time.perf_counter()
        try:
            yield
        except GalenError as error:
            self._metrics.loads.labels(error.code).inc()
            log.error("version refused", extra={"version": name, "reason": error.message})
            raise
        seconds = time.perf_counter() - began
        self._metrics.loads.labels("ok").inc()
        self._metrics.seconds.observe(seconds)
        log.info("version loaded", extra={"version": name, "seconds": seconds})

    def _loaded(self, also: Replica | None = None) -> list[str]:
        """Versions that some engine in the rotation holds, or the one given; if none is in it,
        those that the first one held."""
        asked = [*([also] if also else []), *(self._pool.ready or self._pool.replicas[:1])]
        return list(dict.fromkeys(name for each in asked for name in each.loader.engine_names))

    def _beside(self, replica: Replica, wanted: str) -> list[str]:
        """The versions that it is to hold beside `wanted`; merged weights leave no room for any."""
        if not self._adapters:
            return []
        return [name for name in self._loaded(replica) if name not in (BASE, wanted)]

    def _make_current(self, name: str) -> None:
        self._store.make_current(name)
        self._notice = None
        self._metrics.serving(name)
