"""What docs/server.md says of settings and routes is what the server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from pydantic_core import PydanticUndefined

from server.batches.routes import router as batches_router
from server.routes import router
from server.settings import EngineSettings, ServerSettings


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/server.md").read_text("utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of every table row below a heading, those of the tables' heads among them."""
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = (line for line in below.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def shown_settings(page: str) -> dict[str, str]:
    """Each field of the table and its default as it is written; a row may hold two."""
    shown: dict[str, str] = {}
    for fields, defaults, _ in rows(page, "Settings")[1:]:
        names = re.findall(r"`([^`]+)`", fields)
        shown.update(zip(names, defaults.split(", "), strict=True))
    return shown


def settings() -> Iterator[tuple[str, Any]]:
    for name, field in ServerSettings.model_fields.items():
        if name != "engine":
            yield name, field.default
    for name, field in EngineSettings.model_fields.items():
        yield f"engine.{name}", field.default


def written(default: Any) -> str:
    if default is PydanticUndefined:
        return ""
    if default is None or default == ():
        return "none"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{json.dumps(default) if isinstance(default, bool) else default}`"


def test_every_setting_is_listed_with_its_default(page: str) -> None:
    """The table has each field, none that there is not, and the default that it has."""
    assert shown_settings(page) == {name: written(default) for name, default in settings()}


def routes(*routers: APIRouter) -> set[str]:
    app = FastAPI()
    for each in routers:
        app.include_router(each)
    return set(app.openapi()["paths"])


def test_every_route_is_listed(page: str) -> None:
    """No route is missing, and none is shown that there is not; batches' have their own page."""
    shown = {path for first, *_ in rows(page, "Routes") for path in re.findall(r"/[^`, ]+", first)}
    of_kept_answers = {path for path in routes(router) if path.startswith("/v1/responses/")}
    assert routes(router) - of_kept_answers <= shown
    assert shown <= routes(router, batches_router) | {"/docs", "/openapi.json"}
