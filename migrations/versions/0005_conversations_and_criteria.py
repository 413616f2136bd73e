"""A sample's earlier turns and its criteria; a judgement's verdicts on these."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("earlier", "criteria"):
        none = sa.text("'[]'")
        op.add_column("samples", sa.Column(name, sa.JSON, nullable=False, server_default=none))
    op.add_column("judgements", sa.Column("criteria", sa.JSON, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("judgements") as judgements:
        judgements.drop_column("criteria")
    with op.batch_alter_table("samples") as samples:
        samples.drop_column("criteria")
        samples.drop_column("earlier")
