"""The schema: made by migrations alone, undone by them, and the same as the models."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from galen.errors import InvalidInput, Unavailable
from judge import database
from judge.models import Base

TABLES = {
    "alembic_version",
    "judgements",
    "leases",
    "qualifications",
    "rejected_replies",
    "samples",
    "spending",
    "verdicts",
    "votes",
}


def tables(url: str) -> set[str]:
    engine = database.connect(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_upgrade_from_nothing(tmp_path: Path) -> None:
    """A database that does not exist, in a folder that does not, is made whole."""
    url = f"sqlite:///{tmp_path / 'new' / 'folder' / 'judge.sqlite3'}"
    database.upgrade(url)
    assert tables(url) == TABLES


def test_upgrade_twice_changes_nothing(database_url: str) -> None:
    """Every start of the judge may migrate."""
    before = tables(database_url)
    database.upgrade(database_url)
    assert tables(database_url) == before


def test_downgrade_undoes_everything(database_url: str) -> None:
    """Each step can be taken back, and forward again."""
    database.downgrade(database_url, "base")
    assert tables(database_url) == {"alembic_version"}
    database.upgrade(database_url)
    assert tables(database_url) == TABLES


def test_models_and_migrations_agree(database_url: str) -> None:
    """Alembic finds nothing that the models have and the schema lacks, or the other way round."""
    engine = database.connect(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_sqlite_keeps_a_write_ahead_log(database_url: str) -> None:
    """Readers and the one writer do not stand in each other's way."""
    engine = database.connect(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    engine.dispose()


def test_a_database_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """The error says which database, without a stack of foreign names."""
    broken = tmp_path / "judge.sqlite3"
    broken.write_bytes(b"this is no database" * 100)
    with pytest.raises(Unavailable, match=r"judge\.sqlite3 failed: file is not a database"):
        database.upgrade(f"sqlite:///{broken}")


def test_a_url_that_is_none_is_refused() -> None:
    """A path instead of a URL is a common slip."""
    with pytest.raises(InvalidInput, match="sqlite:///path"):
        database.connect("judge.sqlite3")
