"""The judge over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType

import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import Unavailable
from galen.keys import KeyRing, refuse_open_bind
from galen.service.key_limits import KeyLimits
from galen.service.serving import listen, uvicorn_config
from galen.service.shell import DEFAULT_BODY_LIMIT, wrap
from galen.telemetry import configure_logging
from judge.audit.archive import Archive
from judge.examination.drift import DriftMetrics, DriftWatch, LedgerAsk
from judge.examination.register import Register
from judge.http import audit_routes, examination_routes, score_routes
from judge.http.access import identify
from judge.http.examination_routes import Examiners
from judge.ledger import database
from judge.ledger.budget import Budget
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import RubricRegistry
from judge.scoring.metrics import JudgeMetrics, LeaseWaits
from judge.scoring.rule_workers import ProcessReaders, ThreadReader
from judge.scoring.service import JudgeService
from judge.settings import KEY_VARIABLE, JudgeSettings
from judge.teacher.calls.metrics import watch_teacher
from judge.teacher.mock_teacher import PROVIDER as MOCK
from judge.teacher.openai_teacher import teacher_of

log = logging.getLogger(__name__)

_DRAIN_S = 30
_DAY_S = 86_400


def create_app(
    service: JudgeService,
    keys: KeyRing,
    *,
    archive: Archive,
    examiners: Examiners,
    registry: CollectorRegistry,
    body_limit: int = DEFAULT_BODY_LIMIT,
    origins: Sequence[str] = (),
    keep_days: int | None = None,
) -> FastAPI:
    """The judge's routes around `service` and `archive`, which are closed when the app stops. Texts
    older than `keep_days` are erased at the start and once a day."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(_forget(archive, keep_days)) if keep_days else None
        yield
        if forgetting:
            forgetting.cancel()
        await service.aclose(_DRAIN_S)
        archive.close()

    app = FastAPI(
        title="Galen judge",
        description=f"Completions to rewards: rules, a teacher, a ledger.\n\n{DISCLAIMER_EN}\n\n"
        f"{DISCLAIMER_ZH}",
        lifespan=lifespan,
        # Shared by all apps of the process: include_router would build each route anew, for 80 ms.
        routes=[
            *score_routes.router.routes,
            *audit_routes.router.routes,
            *examination_routes.router.routes,
        ],
    )

    app.state.keys, app.state.service, app.state.archive = keys, service, archive
    app.state.examiners, app.state.limits = examiners, KeyLimits()

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        identify(request)
        await service.observe()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    wrap(app, "judge", registry, body_limit, local_only=not keys, origins=origins)
    return app


async def _forget(archive: Archive, keep_days: int) -> None:
    while True:
        moment = datetime.now(UTC) - timedelta(days=keep_days)
        try:
            texts = await asyncio.to_thread(archive.forget_before, moment)
        except Unavailable as error:
            log.warning("old texts were not erased", extra={"reason": error.message})
        else:
            if texts:
                log.info("old texts were erased", extra=texts.counts())
        await asyncio.sleep(_DAY_S)


def build(settings: JudgeSettings, keys: KeyRing) -> FastAPI:
    """The app as settings and environment describe it, its database migrated."""
    teacher = teacher_of(settings, os.environ)
    rubrics = RubricRegistry.load(settings.rubrics)
    database.upgrade(settings.database_url)
    registry = CollectorRegistry()
    watch_teacher(teacher, registry)
    store = Store(database.connect(settings.database_url))
    ledger = Ledger(store, settings.lease_s)
    LeaseWaits(ledger, registry)
    budget = Budget(store, settings.budget)
    readers = ProcessReaders(rubrics, settings.readers) if settings.readers else ThreadReader()
    service = JudgeService(rubrics, teacher, ledger, budget, JudgeMetrics(registry), readers)
    if teacher.provider == MOCK:
        log.warning("no %s: the judge answers with mock verdicts, labelled as such", KEY_VARIABLE)
    archive = Archive(database.connect(settings.database_url))
    ask = LedgerAsk(teacher, ledger, budget)
    examiners = Examiners(
        Register(rubrics, teacher, store, settings.qualification),
        DriftWatch(rubrics, teacher.provider, ask, DriftMetrics(registry)),
    )
    return create_app(
        service,
        keys,
        archive=archive,
        examiners=examiners,
        registry=registry,
        body_limit=settings.body_limit,
        origins=settings.origins,
        keep_days=settings.keep_days,
    )


def serve(settings: JudgeSettings) -> None:
    """Serve until a signal stops it; requests in flight then have 30 seconds to end.

    Raises `Conflict` if the port is in use, `InvalidInput` for an address that this machine lacks,
    and whatever `build` raises.
    """
    keys = KeyRing.load(settings.keys_file)
    refuse_open_bind(settings.host, keys)
    with listen(settings.host, settings.port) as listener:
        configure_logging("judge")
        app = build(settings, keys)
        config = uvicorn_config(app, shutdown_s=_DRAIN_S)
        log.info("serving", extra={"host": settings.host, "port": settings.port})
        try:
            _Server(config, app.state.service).run(sockets=[listener])
        except KeyboardInterrupt:
            log.info("stopped by the keyboard")


class _Server(uvicorn.Server):
    """On a stop signal, new judgements are refused at once, not after the last open request."""

    def __init__(self, config: uvicorn.Config, service: JudgeService) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stop_asking()
        super().handle_exit(sig, frame)
