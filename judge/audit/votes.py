"""Queries of the table `votes`: people's choices between two answers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from galen.errors import Conflict
from judge.audit.cursors import Place
from judge.audit_schemas import KeptVote, Vote, VoteReceipt
from judge.ledger.tables import VoteRow

_votes = VoteRow.__table__


def add(connection: Connection, caller: str, vote: Vote) -> tuple[VoteReceipt, bool]:
    """Store a vote; returns whether it is new. Raises `Conflict` if the caller used its id for a
    different one."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"caller": caller, "given_id": vote.id, **vote.model_dump(exclude={"id"})}
    insert = dialect.insert(VoteRow).values(row)
    insert = insert.on_conflict_do_nothing(index_elements=["caller", "given_id"])
    new = connection.execute(insert.returning(_votes.c.id, _votes.c.created_at)).first()
    if new is not None:
        return VoteReceipt(number=new.id, at=new.created_at), True
    same_id = (_votes.c.caller == caller) & (_votes.c.given_id == vote.id)
    kept = _kept(connection.execute(select(_votes).where(same_id)).mappings().one())
    if kept.model_dump(include=set(Vote.model_fields)) != vote.model_dump():
        message = "this id was used for another vote; give each vote an id of its own"
        raise Conflict(message, param="id")
    return VoteReceipt(number=kept.number, at=kept.at), False


def votes_after(connection: Connection, place: Place | None, limit: int) -> list[KeptVote]:
    """At most `limit` votes after `place`, oldest first."""
    query = select(_votes).order_by(_votes.c.id).limit(limit)
    if place is not None:
        query = query.where(_votes.c.id > place.id)
    return [_kept(row) for row in connection.execute(query).mappings()]


def _kept(row: Any) -> KeptVote:
    fields = {name: row[name] for name in Vote.model_fields if name != "id"}
    return KeptVote.model_validate(
        {
            **fields,
            "id": row["given_id"],
            "number": row["id"],
            "at": row["created_at"],
            "caller": row["caller"],
        }
    )
