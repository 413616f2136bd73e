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
"""Execution option of a connection that will write. Only one such transaction runs at a time, among
all judges on the database. SQLite locks at the begin: a transaction that reads first and writes
later fails under load. PostgreSQL takes an advisory lock: two transactions that touch the same rows
in different orders would deadlock."""

_WRITE_LOCK = 0x67616C656E  # "galen"; any number that no other program locks
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
_OPENED = "galen_opened"
"""Key in a connection's `info`: the SQLite file that it has open."""
_HOW = "write sqlite:///path or postgresql+psycopg://user:password@host/name"


def connect(url: str) -> Engine:
    """An engine for `url`. Raises `InvalidInput` unless it is SQLite's or PostgreSQL's."""
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
    """Seconds since 1970 by the database's clock, which judges on several machines share."""
    if connection.dialect.name == "postgresql":
        return literal_column("extract(epoch from clock_timestamp())", Double)
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the schema up to `revision`; creates the database if it does not exist."""
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
            f"the schema of the judge's database {where} is unknown ({error}): a newer Galen made "
            "it; upgrade Galen, or name another database"
        )
        raise InvalidInput(message, param="judge.database_url") from error
    finally:
        engine.dispose()


def cannot_use(engine: Engine, error: SQLAlchemyError) -> Unavailable:
    """The error for any failure of the database. It holds no row's content."""
    reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
    where = engine.url.render_as_string(hide_password=True)
    return Unavailable(f"the judge's database {where} failed: {reason}; check its disk and access")


def check(connection: Connection) -> None:
    """Raises `Unavailable` if the SQLite file was replaced or removed since the connection opened
    it, and SQLAlchemy's errors if Galen's tables are missing."""
    opened, url = connection.info.get(_OPENED), connection.engine.url
    if opened is not None and opened != _identity(url.database):
        raise Unavailable(
            f"the judge's database {url.database} was removed or replaced while the judge ran; "
            "stop the judge, put the file back, and start it again"
        )
    connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


def _identity(file: str | None) -> tuple[int, int] | None:
    """Device and inode, which stay when a file is renamed; None if it does not exist."""
    try:
        status = Path(file or "").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput(f"not a URL; {_HOW}", param="judge.database_url") from None
    backend, _, driver = parsed.drivername.partition("+")
    known = _DRIVERS.get(backend)
    if known is None or (driver and f"{backend}+{driver}" != known):
        message = f"the driver {parsed.drivername!r} is not supported; {_HOW}"
        raise InvalidInput(message, param="judge.database_url")
    name = parsed.database or ""
    if backend == "sqlite" and (name in ("", ":memory:") or name.startswith("file:")):
        message = f"a database without a file would lose verdicts that were paid for; {_HOW}"
        raise InvalidInput(message, param="judge.database_url")
    return parsed.set(drivername=known)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # `_begin_sqlite` sends BEGIN, not the driver
    settings = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for setting in settings:  # a text that is deleted is overwritten in the file
        connection.execute(f"PRAGMA {setting}")


def _note_file(record: ConnectionPoolEntry, url: URL) -> None:
    record.info[_OPENED] = _identity(url.database)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("galen_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("galen_writes"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")
