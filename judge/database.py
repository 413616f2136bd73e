"""Connections to the judge's database, and its schema by migration."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    create_engine,
    event,
    literal_column,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from galen.errors import InvalidInput, Unavailable

WRITES = {"galen_writes": True}
"""Execution option of a connection that will write. Such transactions take turns, across all
judges on the database: SQLite's lock is taken at once, since a transaction that reads first and
writes later fails under load, and on PostgreSQL an advisory lock does the same, since two that
touch the same rows in another order would stop each other."""

_WRITERS_TURN = 0x67616C656E  # any number that nobody else takes: "galen"
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
_OPENED = "galen_opened"
"""Where a connection notes which SQLite file it has open."""
_HOW = "write sqlite:///path or postgresql+psycopg://user:password@host/name"


def connect(url: str) -> Engine:
    """An engine for `url`. Raises `InvalidInput` for any but SQLite's and PostgreSQL's."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    file = Path(parsed.database or "")
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "connect", lambda _, record: _note_file(record, parsed))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def clock(connection: Connection) -> ColumnElement[float]:
    """Seconds since 1970 by the database's own clock: judges on several machines share it."""
    if connection.dialect.name == "postgresql":
        return literal_column("extract(epoch from clock_timestamp())", Double)
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double)


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
    except CommandError as error:
        where = engine.url.render_as_string(hide_password=True)
        message = (
            f"the schema of the judge's database {where} is not known here ({error}): it was made "
            "by a newer Galen; upgrade Galen, or name another database"
        )
        raise InvalidInput(message, param="judge.database_url") from error
    finally:
        engine.dispose()


def cannot_use(engine: Engine, error: SQLAlchemyError) -> Unavailable:
    """The one error for a database that does not do what it is told. Holds no row's content."""
    reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
    where = engine.url.render_as_string(hide_password=True)
    return Unavailable(f"the judge's database {where} failed: {reason}; check its disk and access")


def check(connection: Connection) -> None:
    """Raises `Unavailable` where the connection's SQLite file is not the one that its URL names,
    and SQLAlchemy's errors where Galen's tables are not there."""
    opened, url = connection.info.get(_OPENED), connection.engine.url
    if opened is not None and opened != _identity(url.database):
        raise Unavailable(
            f"the judge's database {url.database} was taken away under the judge; "
            "stop the judge, put the file back, and start it again"
        )
    connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


def _identity(file: str | None) -> tuple[int, int] | None:
    """What a file keeps under whatever name; None where there is none."""
    try:
        status = Path(file or "").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput(f"no URL; {_HOW}", param="judge.database_url") from None
    backend, _, driver = parsed.drivername.partition("+")
    known = _DRIVERS.get(backend)
    if known is None or (driver and f"{backend}+{driver}" != known):
        message = f"a database by {parsed.drivername!r} is not known; {_HOW}"
        raise InvalidInput(message, param="judge.database_url")
    name = parsed.database or ""
    if backend == "sqlite" and (name in ("", ":memory:") or name.startswith("file:")):
        message = f"a database without a file would forget what was paid for; {_HOW}"
        raise InvalidInput(message, param="judge.database_url")
    return parsed.set(drivername=known)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" event says BEGIN, not the driver
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")


def _note_file(record: ConnectionPoolEntry, url: URL) -> None:
    record.info[_OPENED] = _identity(url.database)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("galen_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("galen_writes"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_TURN})")
