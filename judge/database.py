"""Connections to the judge's database, and its schema by migration."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from galen.errors import InvalidInput, Unavailable

WRITES = {"galen_writes": True}
"""Execution option of a connection that will write: SQLite then takes its lock at once, where a
transaction that reads first and writes later would fail under load."""


def connect(url: str) -> Engine:
    """An engine for `url`; for SQLite in WAL mode, with explicit transactions."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database's schema to `revision`, making the database if there is none."""
    _migrate(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    _migrate(url, lambda config: command.downgrade(config, revision))


def _migrate(url: str, migrate: Any) -> None:
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")).replace("%", "%%"))
    try:
        with engine.connect().execution_options(**WRITES) as connection, connection.begin():
            config.attributes["connection"] = connection
            migrate(config)
    except SQLAlchemyError as error:
        raise cannot_use(engine, error) from error
    finally:
        engine.dispose()


def cannot_use(engine: Engine, error: SQLAlchemyError) -> Unavailable:
    """The one error for a database that does not do what it is told. Holds no row's content."""
    reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
    where = engine.url.render_as_string(hide_password=True)
    return Unavailable(f"the judge's database {where} failed: {reason}; check its disk and access")


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise InvalidInput(
            "database_url is no SQLAlchemy URL; write sqlite:///path or postgresql+psycopg://…",
            param="database_url",
        ) from None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" event says BEGIN, not the driver
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("galen_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
