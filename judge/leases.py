"""Who asks a teacher about a key, when several judges share one database.

A lease is a row with an end by the database's clock. Its owner pushes the end on while it lives, so
a judge that was killed holds nobody up for longer than one lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select, update

from judge.database import clock
from judge.models import LeaseRow
from judge.repository import chunks, insert_for


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
    """Those of `keys` that somebody holds a lease of which has not run out."""
    now = clock(connection)
    return {
        key
        for chunk in chunks(keys)
        for key in connection.execute(
            select(LeaseRow.key).where(LeaseRow.key.in_(chunk), LeaseRow.expires_at > now)
        ).scalars()
    }


def renew(connection: Connection, keys: Iterable[str], owner: str, seconds: float) -> None:
    """Push the end of `owner`'s leases on."""
    end = clock(connection) + seconds
    for chunk in chunks(sorted(keys)):
        mine = LeaseRow.key.in_(chunk) & (LeaseRow.owner == owner)
        connection.execute(update(LeaseRow).where(mine).values(expires_at=end))


def release(connection: Connection, keys: Sequence[str], owner: str) -> None:
    """Let others claim `keys`; a lease that somebody else has taken over stays."""
    for chunk in chunks(keys):
        mine = LeaseRow.key.in_(chunk) & (LeaseRow.owner == owner)
        connection.execute(delete(LeaseRow).where(mine))


def release_all(connection: Connection, owner: str) -> None:
    connection.execute(delete(LeaseRow).where(LeaseRow.owner == owner))
