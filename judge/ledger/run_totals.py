"""Keeps each run's numbers beside its judgements, in the same transaction.

Only one transaction writes at a time (`judge.ledger.database.WRITES`), so a row may be read,
counted up and written back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, func, insert, select, update

from judge.ledger.tables import JudgementRow, RunRow

_NOTHING: Mapping[str, Any] = {
    "statuses": {},
    "rewards": {},
    "steps": 0,
    "read": 0,
    "flagged": 0,
    "rubrics": (),
    "providers": (),
}


def has_step(connection: Connection, run: str, step: int | None) -> bool:
    """Whether anything was judged for this step of the run."""
    same = (JudgementRow.run == run) & (JudgementRow.step == step)
    return bool(connection.execute(select(exists().where(same))).scalar_one())


def add(
    connection: Connection,
    run: str,
    at: datetime,
    rows: Sequence[dict[str, Any]],
    *,
    new_steps: int,
) -> None:
    """Count `rows`, which were just added to `judgements` at the time `at`."""
    own = RunRow.run == run
    old = connection.execute(select(RunRow.__table__).where(own)).mappings().first() or _NOTHING
    statuses, rewards = Counter(old["statuses"]), dict(old["rewards"])
    for row in rows:
        statuses[row["status"]] += 1
        if row["reward"] is not None:
            rewards[row["status"]] = rewards.get(row["status"], 0.0) + row["reward"]
    values: dict[str, Any] = {
        "last_at": at,
        "steps": old["steps"] + new_steps,
        "statuses": dict(statuses),
        "rewards": rewards,
        "read": old["read"] + sum(row["rules_total"] is not None for row in rows),
        "flagged": old["flagged"] + sum(bool(row["flags"]) for row in rows),
    }
    for plural, name in (("rubrics", "rubric"), ("providers", "provider")):
        values[plural] = sorted({*old[plural], *(row[name] for row in rows)})
    if old is not _NOTHING:
        connection.execute(update(RunRow).where(own).values(values))
        return
    first_id = select(func.min(JudgementRow.id)).where(JudgementRow.run == run).scalar_subquery()
    values |= {"run": run, "first_id": first_id, "first_at": at}
    connection.execute(insert(RunRow).values(values))
