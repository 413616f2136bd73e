"""The current version, and which versions the engines hold.

Every request reads this; only a step of the policy changes it.
"""

from __future__ import annotations

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from server.policy.metrics import PolicyMetrics
from server.policy.pool import Pool
from server.policy.replica import Replica
from server.schemas import BASE, PolicyState, VersionCard
from server.versions.store import Entry, VersionStore, Weights


class Serving:
    """`store` is the list of versions on disk, `pool` the engines and what they hold."""

    def __init__(self, store: VersionStore, pool: Pool, metrics: PolicyMetrics) -> None:
        self._store = store
        self._pool = pool
        self._metrics = metrics
        self._notice: str | None = None
        self.base: Weights | None = None
        """The start weights; None until an engine has computed their probe."""

    @property
    def current(self) -> str:
        return self._store.current

    def loaded(self, also: Replica | None = None) -> list[str]:
        """Known versions that some engine in the rotation, or the one given, holds.

        If no engine is in the rotation, those that the first one had.
        """
        asked = [*([also] if also else []), *(self._pool.ready or self._pool.replicas[:1])]
        names = dict.fromkeys(name for each in asked for name in each.loader.engine_names)
        return [name for name in names if name == BASE or self._store.get(name)]

    def state(self) -> PolicyState:
        loaded = self.loaded()
        base_sha256 = self.base.sha256 if self.base else ""
        base = VersionCard(name=BASE, kind="merged", sha256=base_sha256, loaded=BASE in loaded)
        cards = [
            VersionCard(loaded=entry.name in loaded, **entry.model_dump(exclude={"folder"}))
            for entry in self._store
        ]
        return PolicyState(
            current=self.current,
            serves=self._store.kind,
            versions=(base, *cards),
            disclaimer=f"{DISCLAIMER_ZH} {DISCLAIMER_EN}",
            notice=self._notice,
        )

    def accept(self, entry: Entry, difference: float) -> None:
        """List a version whose probe has passed; `difference` is its parity in nats.

        Raises `StorageFull`, with nothing changed.
        """
        self._store.put(entry.model_copy(update={"parity": difference}))
        self._metrics.parity.set(difference)

    def switch(self, name: str, notice: str | None = None) -> None:
        """Make a version the one that `policy` names; `notice` says why no other does.

        Raises `StorageFull`, with nothing changed.
        """
        self._store.make_current(name)
        self._notice = notice
        self._metrics.serving(name)
