"""An account that records what was reserved and settled, and may have a cap."""

from __future__ import annotations

from dataclasses import dataclass

from judge.teacher.verdict import Account, Reservation, TeacherError


@dataclass
class KeptReservation:
    reserved_usd: float
    settled_usd: float | None = None

    async def settle(self, cost_usd: float) -> None:
        assert self.settled_usd is None, "a call is settled once"
        self.settled_usd = cost_usd


class FakeAccount:
    """Refuses what goes beyond `cap_usd`; what was not settled counts whole."""

    def __init__(self, cap_usd: float = float("inf")) -> None:
        self.reservations: list[KeptReservation] = []
        self._cap_usd = cap_usd

    @property
    def committed_usd(self) -> float:
        return sum(
            kept.reserved_usd if kept.settled_usd is None else kept.settled_usd
            for kept in self.reservations
        )

    async def reserve(self, cost_usd: float) -> KeptReservation:
        if self.committed_usd + cost_usd > self._cap_usd:
            raise TeacherError("budget_exceeded", "the cap is reached", retryable=False)
        self.reservations.append(KeptReservation(cost_usd))
        return self.reservations[-1]


class _Free:
    """An account without a cap, for calls that cost nothing."""

    async def reserve(self, cost_usd: float) -> Reservation:
        return self

    async def settle(self, cost_usd: float) -> None:
        return None


FREE: Account = _Free()
