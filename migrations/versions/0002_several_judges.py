"""Several judges on one database, budgets, and the audit's tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("verdicts") as verdicts:
        verdicts.add_column(
            sa.Column("evidence", sa.JSON(), nullable=False, server_default=sa.text("'{}'"))
        )
    with op.batch_alter_table("judgements") as judgements:
        judgements.add_column(sa.Column("sample_sha256", sa.String(64), nullable=True))
    _create_shared_tables()
    _create_audit_tables()


def downgrade() -> None:
    for table in ("qualifications", "votes", "spending", "rejected_replies", "leases", "samples"):
        op.drop_table(table)
    with op.batch_alter_table("judgements") as judgements:
        judgements.drop_column("sample_sha256")
    with op.batch_alter_table("verdicts") as verdicts:
        verdicts.drop_column("evidence")


def _create_shared_tables() -> None:
    op.create_table(
        "leases",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_leases"),
    )
    op.create_table(
        "spending",
        sa.Column("scope", sa.String(250), nullable=False),
        sa.Column("committed_usd", sa.Double(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_spending"),
    )
    op.create_table(
        "rejected_replies",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(200), nullable=False),
        sa.Column("model_asked", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rejected_replies"),
    )
    op.create_index("ix_rejected_replies_key", "rejected_replies", ["key"])


def _create_audit_tables() -> None:
    op.create_table(
        "samples",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name="pk_samples"),
    )
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("response_a", sa.Text(), nullable=False),
        sa.Column("response_b", sa.Text(), nullable=False),
        sa.Column("model_a", sa.String(200), nullable=False),
        sa.Column("model_b", sa.String(200), nullable=False),
        sa.Column("vote", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_votes"),
    )
    op.create_table(
        "qualifications",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rubric", sa.String(200), nullable=False),
        sa.Column("asked_sha256", sa.String(64), nullable=False),
        sa.Column("teacher_sha256", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(200), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_qualifications"),
    )
    op.create_index(
        "ix_qualifications_teacher", "qualifications", ["teacher_sha256", "asked_sha256"]
    )
