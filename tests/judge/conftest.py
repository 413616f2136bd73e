"""A judge with a real database, and whichever teacher a test gives it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from galen.keys import KeyRing
from judge.app import create_app
from judge.audit.archive import Archive
from judge.examination.drift import DriftMetrics, DriftWatch, LedgerAsk
from judge.examination.register import Register
from judge.examination_schemas import Thresholds
from judge.http.examination_routes import Examiners
from judge.ledger import database
from judge.ledger.budget import Budget
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import RubricRegistry
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.service import JudgeService
from judge.settings import BudgetSettings
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.verdict import Teacher
from tests.fakes.postgres import Postgres, running_postgres

NO_CAPS = BudgetSettings(per_run_usd=None, per_day_usd=None)

ServiceMaker = Callable[..., JudgeService]
"""Takes the teacher and, where a test looks at them, registry, caps, length of a lease, rubrics."""

AppMaker = Callable[..., FastAPI]
"""Takes the teacher, else the mock's, and keys, else none."""
ExaminersMaker = Callable[..., Examiners]
"""Takes the teacher and, where a test looks at it, the registry."""


@pytest.fixture(scope="session")
def rubrics() -> RubricRegistry:
    return RubricRegistry.load()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that the migrations have made, to be copied."""
    path = tmp_path_factory.mktemp("template") / "judge.sqlite3"
    database.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "judge.sqlite3")
    return f"sqlite:///{tmp_path / 'judge.sqlite3'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that the migrations have made: every law of the ledger holds on both kinds."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.migrated()
    yield url
    server.drop(url)


@pytest.fixture
async def make_service(database_url: str, rubrics: RubricRegistry) -> AsyncIterator[ServiceMaker]:
    """Makes judges that share one database, as a restart would."""
    made: list[JudgeService] = []

    def make(
        teacher: Teacher,
        registry: CollectorRegistry | None = None,
        caps: BudgetSettings = NO_CAPS,
        lease_s: float = 10.0,
        shelf: RubricRegistry | None = None,
    ) -> JudgeService:
        store = Store(database.connect(database_url))
        ledger, budget = Ledger(store, lease_s), Budget(store, caps)
        metrics = JudgeMetrics(registry or CollectorRegistry())
        service = JudgeService(shelf or rubrics, teacher, ledger, budget, metrics)
        made.append(service)
        return service

    yield make
    for service in made:
        await service.aclose()


@pytest.fixture
def archive(database_url: str) -> Iterator[Archive]:
    """What auditors are shown of the same database."""
    archive = Archive(database.connect(database_url))
    yield archive
    archive.close()


@pytest.fixture
async def make_examiners(
    database_url: str, rubrics: RubricRegistry
) -> AsyncIterator[ExaminersMaker]:
    """Makes examiners of a teacher, on the same database."""
    ledgers: list[Ledger] = []

    def make(teacher: Teacher, registry: CollectorRegistry | None = None) -> Examiners:
        store = Store(database.connect(database_url))
        ledgers.append(Ledger(store))
        ask = LedgerAsk(teacher, ledgers[-1], Budget(store, NO_CAPS))
        metrics = DriftMetrics(registry or CollectorRegistry())
        return Examiners(
            Register(rubrics, teacher, store, Thresholds()),
            DriftWatch(rubrics, teacher.provider, ask, metrics),
        )

    yield make
    for ledger in ledgers:
        await ledger.aclose()


@pytest.fixture
def make_app(
    make_service: ServiceMaker, archive: Archive, make_examiners: ExaminersMaker
) -> AppMaker:
    """Makes a judge's app with every part it has, around one teacher."""

    def make(teacher: Teacher | None = None, keys: KeyRing | None = None) -> FastAPI:
        teacher, registry = teacher or MockTeacher(), CollectorRegistry()
        return create_app(
            make_service(teacher, registry),
            keys or KeyRing({}),
            archive=archive,
            examiners=make_examiners(teacher, registry),
            registry=registry,
        )

    return make


@pytest.fixture
async def http(make_app: AppMaker) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a judge that runs the mock teacher and has no keys."""
    async with client_of(make_app()) as client:
        yield client


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client that reaches an app without a network; a bug in it is an answer of status 500."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")
