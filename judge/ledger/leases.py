"""Leases: when several judges share a database, only a key's owner may ask a teacher about it.

A lease is a row with an expiry time by the database's clock. Its owner renews it, so a judge that
was killed delays the others by at most one lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select, update

from judge.ledger.database import clock
from judge.ledger.tables import LeaseRow
from judge.ledger.verdict_rows import chunks, insert_for


def claim(connection: Connection, keys: Sequence[str], owner: str, seconds: float) -> set[str]:
    """Those of `keys` that are now leased to `owner`; another judge holds the rest."""
    if not keys:
        return set()
    now = clock(connection)
    claims = insert_for(connection)(LeaseRow).values(
        key=bindparam("key"), owner=owner, expires_at=now + seconds
    )
    taken_over = claims.on_conflict_do_update(
        index_elements=["key"],
        set_={"owner": claims.excluded.owner, "expires_at": claims.excluded.expires_at},
        where=LeaseRow.expires_at <= now,
    )
    connection.execute(taken_over, [{"key": key} for key in keys])
    return {
        key
        for chunk in chunks(keys)
        for key in connection.execute(
            select(LeaseRow.key).where(LeaseRow.key.in_(chunk), LeaseRow.owner == owner)
        ).scalars()
    }


def live(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Those of `keys` that have an unexpired lease."""
    now = clock(connection)
    return {
        key
        for chunk in chunks(keys)
        for key in connection.execute(
            select(LeaseRow.key).where(LeaseRow.key.in_(chunk), LeaseRow.expires_at > now)
        ).scalars()
    }


def renew(connection: Connection, keys: Iterable[str], owner: str, seconds: float) -> None:
    """Extend `owner`'s leases to `seconds` from now."""
    end = clock(connection) + seconds
    for chunk in chunks(sorted(keys)):
        mine = LeaseRow.key.in_(chunk) & (LeaseRow.owner == owner)
        connection.execute(update(LeaseRow).where(mine).values(expires_at=end))


def release(connection: Connection, keys: Sequence[str], owner: str) -> None:
    """Let others claim `keys`; a lease that has another owner by now stays."""
    for chunk in chunks(keys):
        mine = LeaseRow.key.in_(chunk) & (LeaseRow.owner == owner)
        connection.execute(delete(LeaseRow).where(mine))


def release_all(connection: Connection, owner: str) -> None:
    connection.execute(delete(LeaseRow).where(LeaseRow.owner == owner))
