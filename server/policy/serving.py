"""What serves now: the version that `policy` names, and which versions the engines hold.

Read by every request; changed by a step of the policy alone.
"""

from __future__ import annotations

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from server.policy.metrics import PolicyMetrics
from server.policy.pool import Pool
from server.policy.replica import Replica
from server.schemas import BASE, PolicyState, VersionCard
from server.versions.store import Entry, VersionStore, Weights


class Serving:
    """What is known on disk (`store`), beside what the engines hold (`pool`)."""

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
        """Versions that some engine in the rotation holds, or the one given; if none is in it,
        those that the first one held."""
        asked = [*([also] if also else []), *(self._pool.ready or self._pool.replicas[:1])]
        return list(dict.fromkeys(name for each in asked for name in each.loader.engine_names))

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
        """Make a version the one that `policy` names; `notice` says why it is not another one.

        Raises `StorageFull`, with nothing changed.
        """
        self._store.make_current(name)
        self._notice = notice
        self._metrics.serving(name)
