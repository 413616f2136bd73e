"""What is wrong with a row, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from galen.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Problem:
    """`place` is `line 3`, or `row 3` in a file without lines. No text of the row is repeated."""

    place: str
    field: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{self.place}: {where}{self.reason}; {self.remedy}"


class BadRow(InvalidInput):
    """A row cannot be read or must not be used. Becomes a `Problem` where the place is known."""

    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{field}: {reason}; {remedy}", param=field)
        self.field, self.reason, self.remedy = field, reason, remedy

    def at(self, place: str) -> Problem:
        return Problem(place, self.field, self.reason, self.remedy)
