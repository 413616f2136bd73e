"""Runs migrations on the connection of `judge.ledger.database`, else on alembic.ini's URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection

from judge.ledger.database import WRITES, connect
from judge.ledger.tables import Base


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite can alter a table only by recreating it
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate_from_command_line() -> None:
    url = os.environ.get("JUDGE_DATABASE_URL") or context.config.get_main_option("sqlalchemy.url")
    assert url, "alembic.ini gives sqlalchemy.url"
    engine = connect(url)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        migrate(connection)
    engine.dispose()


passed = context.config.attributes.get("connection")
if passed is not None:
    migrate(passed)
else:
    migrate_from_command_line()
