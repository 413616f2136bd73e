"""When texts were last judged, so that they can be forgotten; each run's numbers, so that a list of
runs need not count a million judgements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEPT = sa.text("reply <> '[forgotten]'")


def upgrade() -> None:
    op.add_column("samples", sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE samples SET seen_at = latest.at FROM (SELECT sample_sha256, max(created_at) AS at"
        " FROM judgements GROUP BY sample_sha256) AS latest WHERE latest.sample_sha256 = sha256"
    )
    op.execute("UPDATE samples SET seen_at = CURRENT_TIMESTAMP WHERE seen_at IS NULL")
    op.create_index("ix_samples_seen_at", "samples", ["seen_at"])
    op.create_index(
        "ix_verdicts_created_at",
        "verdicts",
        ["created_at"],
        sqlite_where=_KEPT,
        postgresql_where=_KEPT,
    )
    runs = op.create_table(
        "runs",
        sa.Column("run", sa.String(200), nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("statuses", sa.JSON(), nullable=False),
        sa.Column("rewards", sa.JSON(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("flagged", sa.Integer(), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rubrics", sa.JSON(), nullable=False),
        sa.Column("providers", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run", name="pk_runs"),
    )
    op.create_index("ix_runs_first_id", "runs", ["first_id"])
    op.bulk_insert(runs, _counted(op.get_bind()))


def downgrade() -> None:
    op.drop_table("runs")
    op.drop_index("ix_verdicts_created_at", "verdicts")
    op.drop_index("ix_samples_seen_at", "samples")
    with op.batch_alter_table("samples") as samples:
        samples.drop_column("seen_at")


def _counted(connection: sa.Connection) -> list[dict[str, Any]]:
    names = "id run created_at step status provider rubric reward rules_total flags"
    j = sa.table("judgements", *(sa.column(name) for name in names.split()))
    at = sa.type_coerce(j.c.created_at, sa.DateTime(timezone=True))
    by = (j.c.run, j.c.status, j.c.provider, j.c.rubric)
    groups = sa.select(
        *by,
        sa.func.count().label("judgements"),
        sa.func.sum(j.c.reward).label("reward"),
        sa.func.count(j.c.rules_total).label("read"),
        sa.func.sum(sa.case((sa.cast(j.c.flags, sa.Text) != "[]", 1), else_=0)).label("flagged"),
        sa.func.min(j.c.id).label("first_id"),
        sa.func.min(at, type_=at.type).label("first_at"),
        sa.func.max(at, type_=at.type).label("last_at"),
    ).group_by(*by)
    steps = sa.select(j.c.run, sa.func.count(j.c.step.distinct())).group_by(j.c.run)
    steps_of = {run: count for run, count in connection.execute(steps)}  # noqa: C416
    of_run: dict[str, list[sa.Row[Any]]] = {}
    for group in connection.execute(groups):
        of_run.setdefault(group.run, []).append(group)
    return [_card(run, groups, steps_of[run]) for run, groups in of_run.items()]


def _card(run: str, groups: Sequence[sa.Row[Any]], steps: int) -> dict[str, Any]:
    statuses: dict[str, int] = {}
    rewards: dict[str, float] = {}
    for group in groups:
        statuses[group.status] = statuses.get(group.status, 0) + group.judgements
        if group.reward is not None:
            rewards[group.status] = rewards.get(group.status, 0.0) + group.reward
    return {
        "run": run,
        "first_id": min(group.first_id for group in groups),
        "first_at": min(group.first_at for group in groups),
        "last_at": max(group.last_at for group in groups),
        "steps": steps,
        "statuses": statuses,
        "rewards": rewards,
        "read": sum(group.read for group in groups),
        "flagged": sum(group.flagged for group in groups),
        "rubrics": sorted({group.rubric for group in groups}),
        "providers": sorted({group.provider for group in groups}),
    }
