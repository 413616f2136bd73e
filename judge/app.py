"""The judge over HTTP."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import Conflict
from galen.keys import KeyRing, refuse_open_bind, require
from galen.telemetry import configure_logging
from galen.web import DEFAULT_BODY_LIMIT, wrap
from judge import database
from judge.ledger import Ledger
from judge.metrics import JudgeMetrics
from judge.mock_teacher import PROVIDER as MOCK
from judge.rubric import RubricShelf
from judge.schemas import Readiness, RubricCard, ScoreRequest, ScoreResponse, Wire
from judge.service import JudgeService
from judge.settings import KEY_VARIABLE, JudgeSettings
from judge.teacher import teacher_for

log = logging.getLogger(__name__)

_DRAIN_S = 30


class RubricList(Wire):
    rubrics: tuple[RubricCard, ...]


def create_app(
    service: JudgeService,
    keys: KeyRing,
    *,
    registry: CollectorRegistry,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> FastAPI:
    """The judge's routes around `service`, which is closed when the app stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.aclose()

    app = FastAPI(
        title="Galen judge",
        description=f"Completions to rewards: rules, a teacher, a ledger.\n\n{DISCLAIMER_EN}\n\n"
        f"{DISCLAIMER_ZH}",
        lifespan=lifespan,
    )

    def may_judge(request: Request) -> None:
        require(keys.identify(request.headers.get("authorization")), "user", "rollout")

    @app.post("/v1/score", response_model=ScoreResponse, dependencies=[Depends(may_judge)])
    async def score(request: ScoreRequest) -> Response:
        """Judge up to 256 answers: one result for each, in order. A failed one has no reward."""
        return _json(await service.score(request))

    @app.get("/v1/rubrics", response_model=RubricList, dependencies=[Depends(may_judge)])
    async def rubrics() -> Response:
        """The rubrics that this judge knows."""
        return _json(RubricList(rubrics=tuple(service.rubrics())))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is up."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
    async def readyz() -> Response:
        """Whether it can judge: the database answers, the teacher has not been shut off."""
        readiness = await service.readiness()
        return _json(readiness, 200 if readiness.ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    wrap(app, "judge", registry, body_limit)
    return app


def build(settings: JudgeSettings, keys: KeyRing) -> FastAPI:
    """The app as settings and environment describe it, its database migrated."""
    teacher = teacher_for(settings.teacher, os.environ)
    shelf = RubricShelf.load(settings.rubrics)
    database.upgrade(settings.database_url)
    registry = CollectorRegistry()
    ledger = Ledger(database.connect(settings.database_url))
    service = JudgeService(shelf, teacher, ledger, JudgeMetrics(registry))
    if teacher.provider == MOCK:
        log.warning("no %s: the judge answers with mock verdicts, labelled as such", KEY_VARIABLE)
    return create_app(service, keys, registry=registry, body_limit=settings.body_limit)


def serve(settings: JudgeSettings) -> None:
    """Serve until told to stop; in-flight requests have 30 seconds to end.

    Raises `Conflict` if the port is taken, and what the settings' parts raise.
    """
    keys = KeyRing.load(settings.keys_file)
    refuse_open_bind(settings.host, keys)
    with _listen(settings.host, settings.port) as listener:
        configure_logging("judge")
        config = uvicorn.Config(
            build(settings, keys),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        log.info("serving", extra={"host": settings.host, "port": settings.port})
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            log.info("stopped by the keyboard")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}:{port} ({error.strerror}); stop what uses the port"
        raise Conflict(f"{message}, or choose another with 'port'", param="port") from None
    return listener


def _json(model: Wire, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status_code=status, media_type="application/json")
