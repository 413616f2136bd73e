"""Records that belong to callers: who may see one, in which order they are listed, page by page."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import ValidationError

from galen.errors import NotFound
from galen.keys import Caller
from server.schemas import Wire

log = logging.getLogger(__name__)


class Owned(Protocol):
    """A record as it is kept: `owner` is the name of a key, `serial` grows with each record."""

    @property
    def owner(self) -> str: ...
    @property
    def serial(self) -> int: ...


R = TypeVar("R", bound=Owned)
T = TypeVar("T")
W = TypeVar("W", bound=Wire)


def new_id(kind: str) -> str:
    """An id that nobody guesses: 144 random bits."""
    return kind + secrets.token_hex(18)


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter; one that is there becomes such a one.

    What callers asked and were answered is in it, and whoever reads a file needs no key.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def records(folder: Path, pattern: str, kind: type[W]) -> Iterator[W]:
    """The records in a folder; a damaged one is logged and left where it is."""
    for path in sorted(folder.glob(pattern)):
        try:
            yield kind.model_validate_json(path.read_bytes())
        except ValidationError:
            log.error("a record is damaged and left out", extra={"record": path.name})


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    has_more: bool


class Shelf(Generic[R]):
    """Records by their id, in memory. What a caller may not see is not there for them."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._records: dict[str, R] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(self._records.values())

    def __getitem__(self, record_id: str) -> R:
        return self._records[record_id]

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._records

    def put(self, record_id: str, record: R) -> None:
        self._records[record_id] = record

    def remove(self, record_id: str) -> None:
        del self._records[record_id]

    def next_serial(self) -> int:
        return max((record.serial for record in self), default=0) + 1

    def find(self, record_id: str, caller: Caller) -> R:
        """Raises `NotFound` alike for what is not there and for what is another's."""
        record = self._records.get(record_id)
        if record is None or not _may_see(caller, record):
            raise NotFound(f"no {self._what} of this id, or it belongs to another key", param="id")
        return record

    def page(
        self,
        caller: Caller,
        after: str | None,
        limit: int,
        *,
        newest_first: bool = True,
        wanted: Callable[[R], bool] = lambda record: True,
    ) -> Page[R]:
        """Up to `limit` of the caller's records, those that follow the one called `after`."""
        sign = -1 if newest_first else 1
        start = sign * self.find(after, caller).serial if after is not None else -math.inf
        seen = [r for r in self if _may_see(caller, r) and wanted(r) and sign * r.serial > start]
        seen.sort(key=lambda record: sign * record.serial)
        return Page(seen[:limit], has_more=len(seen) > limit)


def _may_see(caller: Caller, record: Owned) -> bool:
    return caller.role == "admin" or caller.name == record.owner
