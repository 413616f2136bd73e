"""Laws of the image and of compose.yaml, held without a Docker engine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import stack
from deploy import check_image, healthcheck

SERVICES = ("judge", "server", "webui")


@pytest.fixture
def stages(root: Path) -> dict[str, check_image.Stage]:
    return check_image.parse((root / "Dockerfile").read_text("utf-8"))


@pytest.fixture
def compose(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((root / "compose.yaml").read_text("utf-8"))
    return loaded


@pytest.fixture
def ports(root: Path) -> dict[str, int]:
    """The ports that the services take where nobody says otherwise."""
    return {
        name: port for name, (_, port) in stack.load(root / "configs/demo.yaml").ports().items()
    }


def test_whatever_is_copied_exists_and_whatever_starts_parses(
    root: Path, stages: dict[str, check_image.Stage]
) -> None:
    """No line of the Dockerfile names a file that is gone or a command that is not there."""
    names = check_image.allowed((root / ".dockerignore").read_text("utf-8"))
    assert list(check_image.problems(stages, names)) == []


def test_the_check_sees_a_missing_source_and_a_wrong_command(root: Path) -> None:
    """A Dockerfile that cannot work is not passed."""
    text = (root / "Dockerfile").read_text("utf-8").replace("COPY pyproject.toml", "COPY gone.toml")
    broken = check_image.parse(text.replace('"judge", "serve"', '"judge", "obey"'))
    names = [*check_image.allowed((root / ".dockerignore").read_text("utf-8")), "gone.toml"]
    found = list(check_image.problems(broken, names))
    assert found[0] == "base: COPY gone.toml: no such file"
    assert found[1].startswith("judge: CMD -m cli.main judge obey ")
    assert len(found) == 2


@pytest.mark.parametrize("target", [*SERVICES, "trainer"])
def test_no_target_runs_as_root(target: str, stages: dict[str, check_image.Stage]) -> None:
    """Whoever breaks out of a service is not root."""
    assert check_image.last(stages, target, "USER") == "galen"


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_the_settings_defaults(
    service: str,
    stages: dict[str, check_image.Stage],
    compose: dict[str, Any],
    ports: dict[str, int],
) -> None:
    """Dockerfile, health check, compose file and settings agree on each port."""
    port = ports[service]
    assert check_image.last(stages, service, "EXPOSE") == str(port)
    assert f":{port}/" in (check_image.last(stages, service, "HEALTHCHECK") or "")
    assert compose["services"][service]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_compose_builds_targets_that_exist(
    stages: dict[str, check_image.Stage], compose: dict[str, Any]
) -> None:
    """Every service of the compose file has a target of its own in the Dockerfile."""
    targets = {name: service["build"]["target"] for name, service in compose["services"].items()}
    assert targets == {name: name for name in (*SERVICES, "trainer")}
    assert set(targets) <= set(stages)


def test_compose_demands_keys_of_every_service(compose: dict[str, Any]) -> None:
    """A service that listens on every address without keys would be open to everybody."""
    for service in compose["services"].values():
        assert service["environment"]["GALEN_KEYS"].startswith("${GALEN_KEYS:?")


def test_compose_volumes_are_declared_and_shared(compose: dict[str, Any]) -> None:
    """Trainer and server see the same runs at the same path, since versions go by path."""
    mounts = {name: service.get("volumes", []) for name, service in compose["services"].items()}
    used = {mount.partition(":")[0] for volumes in mounts.values() for mount in volumes}
    assert used == set(compose["volumes"])
    assert "runs:/app/runs" in mounts["server"]
    assert "runs:/app/runs" in mounts["trainer"]


def test_the_pages_command_finds_the_services_by_name(root: Path, compose: dict[str, Any]) -> None:
    """In the compose network the page calls `server` and `judge`, not its own loopback."""
    words = compose["services"]["webui"]["command"]
    overrides = [word for word in words if "=" in word]
    read = stack.load(root / words[2], overrides).webui
    assert (read.host, read.server_url, read.judge_url) == (
        "0.0.0.0", "http://server:8000", "http://judge:8001",
    )  # fmt: skip


def test_continued_lines_and_comments_are_read_as_docker_reads_them() -> None:
    """A backslash joins lines; a comment is none."""
    read = check_image.parse('# a\nFROM x AS y\n# b\nENV A=1 \\\n    B=2\nCMD ["z"]\n')
    assert read["y"].steps == [("ENV", "A=1 B=2"), ("CMD", '["z"]')]
    assert check_image.command_of(read, "y") == json.loads('["z"]')


class Answer(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on standard error."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()


def test_the_health_check_tells_well_from_ill() -> None:
    """Success is well; an error answer or nobody there is ill."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        well, ill = healthcheck.is_well(f"{url}/readyz"), healthcheck.is_well(f"{url}/other")
        server.shutdown()
        thread.join()
    assert (well, ill, healthcheck.is_well(f"{url}/readyz")) == (True, False, False)
