"""Brings the versions back to an engine that was restarted or away.

The version that serves comes first, then the others. If no engine can load the version that served,
the base serves, and a notice says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from galen.errors import DeadlineExceeded, GalenError, Unavailable, VersionRefused
from server.policy.metrics import PolicyMetrics
from server.policy.pool import RETRY_AFTER_S, Pool
from server.policy.replica import Replica
from server.policy.serving import Serving
from server.schemas import BASE, Probe
from server.settings import ServerSettings
from server.versions import parity
from server.versions.store import VersionStore, Weights

log = logging.getLogger(__name__)

BASE_PROBE_IDS = (tuple(range(1, 13)),)
"""Token ids that identify the base weights by their probe; any vocabulary has them."""
RESTORE_TRIES = 2
"""A version is given up after its loading has ended the engine this often in a row."""


class Recovery:
    """Restores one engine. No version is loaded or activated meanwhile."""

    def __init__(
        self,
        settings: ServerSettings,
        store: VersionStore,
        pool: Pool,
        metrics: PolicyMetrics,
        serving: Serving,
    ) -> None:
        self._adapters = settings.adapters is not None
        self._parity_limit = settings.parity_limit
        self._store = store
        self._pool = pool
        self._metrics = metrics
        self._serving = serving
        self._tries: Counter[Replica] = Counter()
        """How often an engine was given the current version since it last took it."""

    async def restore(self, replica: Replica) -> None:
        """Bring its weights back. No request is in flight on the replica."""
        if not replica.engine.is_fresh:
            await replica.loader.clear(self._store.base_folder)
        wanted = self._serving.current
        others = self._others(replica, wanted)
        replica.loader.start_over(await self._base_of(replica))
        if wanted == BASE:
            self._metrics.serving(BASE)
        else:
            await self._restore_current(replica, wanted)
        for name in others:
            await self._restore_other(replica, name)

    def _others(self, replica: Replica, wanted: str) -> list[str]:
        """The known versions that it should hold besides `wanted` and the base; none where weights
        are merged."""
        if not self._adapters:
            return []
        loaded = self._serving.loaded(replica)
        return [name for name in loaded if name not in (wanted, BASE)]

    async def _restore_current(self, replica: Replica, wanted: str) -> None:
        self._tries[replica] += 1
        try:
            if self._tries[replica] > RESTORE_TRIES:
                raise VersionRefused(f"the engine died {RESTORE_TRIES} times while it was loaded")
            await self._catch_up(replica, wanted)
            self._metrics.serving(wanted)
        except (Unavailable, DeadlineExceeded):
            raise
        except GalenError as error:
            if self._pool.ready:
                raise  # The others serve it, so this engine is at fault.
            notice = f"{wanted!r} could not be restored, so {BASE!r} serves: {error.message}"
            self._serving.switch(BASE, notice)
            log.error("version not restored", extra={"version": wanted, "reason": error.message})
        self._tries[replica] = 0

    async def _restore_other(self, replica: Replica, name: str) -> None:
        """A version that cannot be loaded is left out, and the engine serves without it."""
        try:
            await self._catch_up(replica, name)
        except (Unavailable, DeadlineExceeded):
            raise
        except GalenError as error:
            log.error("version not restored", extra={"version": name, "reason": error.message})

    async def _catch_up(self, replica: Replica, name: str) -> None:
        """Bring a known version to one engine that is not in the rotation."""
        entry, weights = await asyncio.to_thread(self._store.inspect_known, name)
        with self._metrics.loading(name):
            difference = await replica.loader.load(weights, self._serving.current)
            if entry.sha256 == self._store.find(name).sha256:
                # Nothing is written: an engine comes back although the disk is full.
                self._metrics.parity.set(difference)
            else:
                self._serving.accept(entry, difference)

    async def _base_of(self, replica: Replica) -> Weights:
        """The start weights, with the probe that the first engine computed.

        Raises `Unavailable` for an engine that was started with other weights than the first.
        """
        base = self._serving.base
        sha256 = await asyncio.to_thread(lambda: self._store.base_sha256)
        logprobs = await replica.api.token_logprobs(replica.engine.served_name, BASE_PROBE_IDS)
        rows = tuple(tuple(row) for row in logprobs)
        if base:
            # Written so that NaN is refused.
            if not parity.mean_difference(rows, base.probe.token_logprobs) <= self._parity_limit:
                message = f"{replica.label} was started with another model than the other engines"
                raise Unavailable(message, retry_after_s=RETRY_AFTER_S)
            return base
        probe = Probe(token_ids=BASE_PROBE_IDS, token_logprobs=rows)
        self._serving.base = Weights(BASE, self._store.base_folder, sha256, probe)
        return self._serving.base
