"""A verdict's `asked_sha256`, for replays; a vote's id, so that a repeated vote counts once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("verdicts", sa.Column("asked_sha256", sa.String(64), nullable=True))
    op.add_column("votes", sa.Column("given_id", sa.String(200), nullable=True))
    op.create_index("ix_votes_caller_given_id", "votes", ["caller", "given_id"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_votes_caller_given_id", "votes")
    with op.batch_alter_table("votes") as votes:
        votes.drop_column("given_id")
    with op.batch_alter_table("verdicts") as verdicts:
        verdicts.drop_column("asked_sha256")
