"""The import rule of CONTRIBUTING.md, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("galen", "server", "judge", "trainer", "webui", "cli", "migrations")
PUBLIC = frozenset(
    {"server.client", "server.schemas"}
    | {f"judge.{name}" for name in ("client", "schemas", "pair_schemas", "audit_schemas")}
)
"""What the trainer and the web page may know of the services."""
ALLOWED: dict[str, frozenset[str]] = {
    "galen": frozenset(),
    "server": frozenset({"galen"}),
    "judge": frozenset({"galen"}),
    "trainer": frozenset({"galen"}) | PUBLIC,
    "webui": frozenset({"galen"}) | PUBLIC,
    "cli": frozenset({"galen", "server", "judge", "trainer", "webui"}),
    "migrations": frozenset({"galen", "judge"}),
}

FLOORS = {
    "server": ("engines", "versions", "policy", "gateway", "batches"),
    "judge": (
        *("text", "medical", "finance", "attacks", "rules", "rubrics"),
        *("teacher", "ledger", "scoring", "audit", "examination", "http"),
    ),
}
"""The rooms of each service, each above those that it may use."""


def imported_by(source: str) -> Iterator[str]:
    """Every module of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from server import client` names a module too.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in PACKAGES)


def may_import(package: str, module: str) -> bool:
    """Whether a file of `package` may import `module`, or something out of it."""
    allowed = ALLOWED[package] | {package}
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_the_rule_allows(package: str) -> None:
    """No arrow runs back up: a package imports itself and the packages that stand under it."""
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for module in imported_by(path.read_text("utf-8"))
        if not may_import(package, module)
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("service", "room"), [(service, room) for service in FLOORS for room in FLOORS[service]]
)
def test_a_room_of_a_service_imports_none_above_it(service: str, room: str) -> None:
    """A request's way leads down: no room asks one that it came through."""
    floors = FLOORS[service]
    above = floors[floors.index(room) + 1 :]
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / service / room).rglob("*.py"))
        for module in imported_by(path.read_text("utf-8"))
        if module.split(".")[:2] in [[service, each] for each in above]
    ]
    assert broken == []


@pytest.mark.parametrize("service", ["judge"])
def test_every_room_of_a_service_has_its_floor(service: str) -> None:
    """A new room says what it stands above."""
    rooms = {path.parent.name for path in (ROOT / service).glob("*/__init__.py")}
    assert rooms == set(FLOORS[service])


@pytest.mark.parametrize(
    ("package", "source", "fine"),
    [
        ("server", "from judge.schemas import ScoreItem", False),
        ("galen", "import server.client", False),
        ("trainer", "from server.client import PolicyClient", True),
        ("trainer", "from server import client", True),
        ("webui", "from server import app", False),
        ("webui", "from judge.schemas import ScoreItem", True),
        ("judge", "def f():\n    from trainer import runs", False),
        ("server", "import serverless", True),
    ],
)
def test_the_rule_sees_every_way_to_import(package: str, source: str, fine: bool) -> None:
    """The rule sees imports inside functions and `from package import module`."""
    assert all(may_import(package, module) for module in imported_by(source)) is fine


def loaded_after(statement: str, unwanted: tuple[str, ...]) -> list[str]:
    """Which of `unwanted` a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*[m for m in {unwanted!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_a_services_client_loads_nothing_heavy(module: str) -> None:
    """Whoever imports a service's client or schemas does not load the service."""
    heavy = ("vllm", "torch", "transformers", "fastapi", "sqlalchemy")
    assert loaded_after(f"import {module}", heavy) == []


def test_the_gateway_never_loads_the_engine() -> None:
    """The gateway supervises vLLM; it does not import it."""
    assert loaded_after("import server.app", ("vllm", "torch", "transformers")) == []


def test_a_recipe_is_checked_before_torch_is_loaded() -> None:
    """A misspelt field is reported at once, since reading a recipe loads no torch."""
    assert loaded_after("import trainer.recipes, trainer.runs", ("torch", "transformers")) == []
