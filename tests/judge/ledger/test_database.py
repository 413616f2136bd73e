"""The schema: made by migrations alone, undone by them, and the same as the models."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Table, event, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from galen.errors import InvalidInput, Unavailable
from judge.ledger import database, tables, verdict_rows
from judge.ledger.tables import Base
from tests.fakes.postgres import Postgres

TABLES = {
    "alembic_version",
    "judgements",
    "leases",
    "qualifications",
    "rejected_replies",
    "runs",
    "samples",
    "spending",
    "verdicts",
    "votes",
}
FIRST = "0001"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table; SQLite's is in a folder that does not exist."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'folder' / 'judge.sqlite3'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.empty()
    yield url
    server.drop(url)


def names_of_tables(url: str) -> set[str]:
    engine = database.connect(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_upgrade_from_nothing(empty_url: str) -> None:
    """A database that is empty, or does not exist, is made whole."""
    database.upgrade(empty_url)
    assert names_of_tables(empty_url) == TABLES


def test_upgrade_twice_changes_nothing(database_url: str) -> None:
    """Every start of the judge may migrate."""
    before = names_of_tables(database_url)
    database.upgrade(database_url)
    assert names_of_tables(database_url) == before


def test_downgrade_undoes_everything(database_url: str) -> None:
    """Each step can be taken back, and forward again."""
    database.downgrade(database_url, "base")
    assert names_of_tables(database_url) == {"alembic_version"}
    database.upgrade(database_url)
    assert names_of_tables(database_url) == TABLES


def test_every_step_back_and_forth_leaves_what_it_found(database_url: str) -> None:
    """Rows, in the columns that both sides of a step know, come through it unchanged."""
    engine = database.connect(database_url)
    with engine.connect().execution_options(**database.WRITES) as connection, connection.begin():
        for table in Base.metadata.sorted_tables:
            connection.execute(table.insert().values(a_row(table)))
    engine.dispose()
    states = [snapshot(database_url)]
    while (revision := states[-1]["alembic_version"]["version_num"]) != FIRST:
        database.downgrade(database_url, "-1")
        states.append(snapshot(database_url))
        assert states[-1]["alembic_version"]["version_num"] < revision
    for _ in states[1:]:
        database.upgrade(database_url, "+1")
        states.append(snapshot(database_url))
    for before, after in itertools.pairwise(states):
        shared = before.keys() & after.keys() - {"alembic_version"}
        assert {"verdicts", "judgements"} <= shared
        for table in shared:
            columns = before[table].keys() & after[table].keys()
            assert columns, table
            assert {c: before[table][c] for c in columns} == {c: after[table][c] for c in columns}
    assert states[0]["alembic_version"] == states[-1]["alembic_version"]
    assert states[-1]["verdicts"]["evidence"] in ("{}", {})


def a_row(table: Table) -> dict[str, Any]:
    """Something in every column."""
    values = {str: "文", int: 7, float: 0.25, bool: True, object: {"a": [1]}}
    return {
        column.name: tables.now()
        if isinstance(column.type, tables.Moment)
        else values[column.type.python_type]
        for column in table.columns
    }


def snapshot(url: str) -> dict[str, dict[str, Any]]:
    """Table -> its first row, empty where it has none."""
    engine = database.connect(url)
    with engine.connect() as connection:
        found = {
            name: dict(connection.execute(text(f"SELECT * FROM {name}")).mappings().first() or {})
            for name in inspect(connection).get_table_names()
        }
    engine.dispose()
    return {name: row for name, row in found.items() if row}


def test_models_and_migrations_agree(database_url: str) -> None:
    """Alembic finds nothing that the models have and the schema lacks, or the other way round."""
    engine = database.connect(database_url)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": other_default}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def other_default(*compared: Any) -> bool:
    """Whether two server defaults differ, read as text: PostgreSQL compares no JSON with `=`."""
    _, _, _, in_schema, _, in_models = compared
    return (in_schema or "").partition("::")[0] != (in_models or "")


def test_a_hit_reads_the_rows_that_it_asks_for(database_url: str) -> None:
    """The lookup goes by the primary key, however many rows there are."""
    engine = database.connect(database_url)
    explain = "EXPLAIN" if engine.name == "postgresql" else "EXPLAIN QUERY PLAN"
    plans: list[str] = []

    def plan(c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            rows = c.exec_driver_sql(f"{explain} {statement}", parameters).all()
            plans.append(" ".join(str(row) for row in rows))

    with engine.connect() as connection:
        if engine.name == "postgresql":  # it reads a small table whole, as it should
            connection.exec_driver_sql("SET enable_seqscan = off")
        event.listen(connection, "before_cursor_execute", plan)
        verdict_rows.find_verdicts(connection, ["a", "b"])
    engine.dispose()
    (found,) = plans
    assert "pk_verdicts" in found or "USING INDEX sqlite_autoindex_verdicts_1 (key=?)" in found


def test_sqlite_keeps_a_write_ahead_log(sqlite_url: str) -> None:
    """Readers and the one writer do not stand in each other's way, and a commit outlives a power
    cut: what it holds was paid for."""
    engine = database.connect(sqlite_url)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
    engine.dispose()


def test_writers_take_turns(database_url: str) -> None:
    """A second writer waits for the first's commit, also where it would touch other rows."""
    engine = database.connect(database_url)
    order: list[str] = []
    begun = threading.Event()

    def write_second() -> None:
        begun.set()
        with engine.connect().execution_options(**database.WRITES) as c, c.begin():
            order.append("second")

    with engine.connect().execution_options(**database.WRITES) as c, c.begin():
        second = threading.Thread(target=write_second)
        second.start()
        begun.wait()
        second.join(timeout=0.2)
        order.append("first")
    second.join()
    engine.dispose()
    assert order == ["first", "second"]


def test_readers_do_not_wait(database_url: str) -> None:
    """A hit is told while a commit is under way."""
    engine = database.connect(database_url)
    writing = engine.connect().execution_options(**database.WRITES)
    with writing, writing.begin(), engine.connect() as reader:
        assert verdict_rows.find_verdicts(reader, ["a"]) == {}
    engine.dispose()


def test_the_clock_is_the_databases(database_url: str) -> None:
    """Seconds since 1970, to the millisecond."""
    engine = database.connect(database_url)
    with engine.connect() as connection:
        told = connection.execute(select(database.clock(connection))).scalar_one()
    engine.dispose()
    assert isinstance(told, float)
    assert abs(told - time.time()) < 60


def test_a_time_comes_back_in_utc(database_url: str) -> None:
    """SQLite keeps no zone and PostgreSQL has one of its own; the reader need not care."""
    moment = datetime(2026, 11, 21, 20, 0, tzinfo=timezone(timedelta(hours=8)))
    row = {**a_row(tables.VoteRow.__table__), "created_at": moment}  # type: ignore[arg-type]
    engine = database.connect(database_url)
    with engine.connect().execution_options(**database.WRITES) as connection:
        with connection.begin():
            connection.execute(insert(tables.VoteRow).values(row))
        found = connection.execute(select(tables.VoteRow.created_at)).scalar_one()
    engine.dispose()
    assert (found, found.tzinfo) == (moment, UTC)


def test_a_database_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """The error says which database, without a stack of foreign names."""
    broken = tmp_path / "judge.sqlite3"
    broken.write_bytes(b"this is no database" * 100)
    with pytest.raises(Unavailable, match=r"judge\.sqlite3 failed: file is not a database"):
        database.upgrade(f"sqlite:///{broken}")


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    """What to look at is there, what must not be told is not."""
    with pytest.raises(Unavailable) as failed:
        database.upgrade(f"postgresql://judge:secret@/galen?host={tmp_path}")
    assert "postgresql+psycopg://judge:***@/galen" in failed.value.message
    assert "secret" not in failed.value.message


def test_a_database_of_a_newer_galen_is_left_alone(database_url: str) -> None:
    """Its schema is not known here: the operator is told so, and nothing in it is changed."""
    engine = database.connect(database_url)
    with engine.connect().execution_options(**database.WRITES) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidInput, match="a newer Galen made it") as raised:
        database.upgrade(database_url)
    assert raised.value.param == "judge.database_url"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()


def test_an_error_of_the_database_holds_nothing_of_a_row(database_url: str) -> None:
    """What was judged is in a statement's parameters, and an error may end in a log."""
    engine = database.connect(database_url)
    statement = text("INSERT INTO no_such_table VALUES (:text)")
    with engine.connect() as connection, pytest.raises(SQLAlchemyError) as raised:
        connection.execute(statement, {"text": "嗓子痛"})
    engine.dispose()
    assert "嗓子痛" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:judge?mode=memory&uri=true",
    ],
)
def test_a_database_without_a_file_is_refused(url: str) -> None:
    """What was paid for must outlive the judge, and its two connections must see the same."""
    with pytest.raises(InvalidInput, match="sqlite:///path") as raised:
        database.connect(url)
    assert raised.value.param == "judge.database_url"


@pytest.mark.parametrize(
    "url", ["judge.sqlite3", "mysql://localhost/galen", "sqlite+aiosqlite:///judge.sqlite3"]
)
def test_a_url_that_is_of_no_use_is_refused(url: str) -> None:
    """A path instead of a URL is a common slip; and there are two kinds of database."""
    with pytest.raises(InvalidInput, match=r"sqlite:///path or postgresql\+psycopg://"):
        database.connect(url)
