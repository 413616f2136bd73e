"""A sample's earlier turns, for whole conversations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    none = sa.text("'[]'")
    op.add_column("samples", sa.Column("earlier", sa.JSON, nullable=False, server_default=none))


def downgrade() -> None:
    with op.batch_alter_table("samples") as samples:
        samples.drop_column("earlier")
