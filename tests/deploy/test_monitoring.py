"""Dashboard, alerts and scrape configuration speak only of what the services expose."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from cli import stack
from galen.keys import KeyRing
from judge.app import build
from judge.settings import JudgeSettings
from server.settings import ServerSettings
from tests.deploy.promql import labels_of, metrics_of
from tests.deploy.vllm_families import VLLM_FAMILIES
from tests.fakes.engine import write_base, write_version
from tests.server.harness import Launcher

PARTS = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
    "counter": ("_total",),
    "gauge": ("",),
}
VLLM_LABELS = {"engine", "le"}
"""What every family of an engine has once it is merged; no expression needs more."""
OF_PROMETHEUS = {"up": {"job", "instance"}}
ITEM = {"id": "a", "prompt": "嗓子痛两天", "response": "可能与咽炎有关，建议多喝水，高烧请就医。"}

Known = dict[str, set[str] | None]
"""Series and their labels; None where none has been seen yet, such as failures by cause."""


def series_of(families: list[Metric]) -> Known:
    """Every series that the families may have, with the labels seen on them."""
    known: Known = {}
    for family in families:
        labels = {label for sample in family.samples for label in sample.labels}
        seen = labels if family.samples else None
        known |= {f"{family.name}{part}": seen for part in PARTS.get(family.type, ("",))}
    return known


@pytest.fixture
async def server_series(tmp_path: Path) -> AsyncIterator[Known]:
    """A scrape of a server that has answered people and rollouts and loaded a version."""
    settings = ServerSettings(
        model=write_base(tmp_path / "base"),
        state=tmp_path / "state",
        versions_root=tmp_path / "versions",
    )
    settings.versions_root.mkdir()
    async with Launcher(settings, KeyRing({})).start() as running:
        await running.publish(write_version(running.versions, "v1", -2.0))
        await running.ask(stream=True)
        text = (await running.http.get("/metrics")).text
    yield series_of(list(text_string_to_metric_families(text)))


@pytest.fixture
async def judge_series(tmp_path: Path) -> AsyncIterator[Known]:
    """A scrape of a judge that has judged something."""
    settings = JudgeSettings(database_url=f"sqlite:///{tmp_path}/judge.sqlite3", readers=0)
    app = build(settings, KeyRing({}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http,
    ):
        body = {"rubric": "medical", "items": [ITEM], "run": "r"}
        assert (await http.post("/v1/score", json=body)).status_code == 200
        text = (await http.get("/metrics")).text
    yield series_of(list(text_string_to_metric_families(text)))


@pytest.fixture
def known(server_series: Known, judge_series: Known) -> Known:
    """Every series that a scrape of both services holds."""
    engines = {
        name + part.removeprefix("_total"): VLLM_LABELS
        for name, kind in VLLM_FAMILIES.items()
        for part in PARTS[kind]
    }
    return {**engines, **server_series, **judge_series, **OF_PROMETHEUS}


@pytest.fixture
def dashboard(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((root / "deploy/grafana/galen.json").read_text("utf-8"))
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def alerts(root: Path) -> list[dict[str, Any]]:
    loaded = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text("utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def misspoken(expression: str, known: Known) -> Iterator[str]:
    """What an expression names that no scrape holds."""
    metrics = metrics_of(expression)
    yield from metrics - set(known)
    seen = [known[metric] for metric in metrics & set(known)]
    if None not in seen:
        yield from labels_of(expression) - {label for labels in seen for label in labels or ()}


async def test_every_panel_shows_something_that_exists(
    dashboard: dict[str, Any], known: Known
) -> None:
    """A metric or a label that was renamed would leave an empty panel that looks like peace."""
    for panel in panels(dashboard):
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "5m")
            assert list(misspoken(expression, known)) == [], (panel["title"], expression)


async def test_every_alert_can_fire(root: Path, known: Known) -> None:
    """An alert on a metric that is not there never does, and nobody notices."""
    for rule in alerts(root):
        assert list(misspoken(rule["expr"], known)) == [], rule["alert"]


async def test_what_is_not_exposed_is_seen(known: Known) -> None:
    """The check itself finds a wrong metric and a wrong label."""
    wrong = 'sum by (roll) (rate(galen_server_requests_refusd_total{role="user"}[5m]))'
    assert set(misspoken(wrong, known)) == {"galen_server_requests_refusd_total", "role", "roll"}
    assert set(misspoken('galen_server_engine_ready{engin="0"}', known)) == {"engin"}


async def test_a_first_refusal_is_an_increase(server_series: Known, tmp_path: Path) -> None:
    """A counter that appears with 1 never increased; so both outcomes are there from the start."""
    settings = ServerSettings(model=write_base(tmp_path / "other"), state=tmp_path / "s")
    async with Launcher(settings, KeyRing({})).start() as running:
        text = (await running.http.get("/metrics")).text
    assert 'galen_server_version_loads_total{outcome="version_refused"} 0.0' in text


def test_the_dashboard_is_complete(dashboard: dict[str, Any]) -> None:
    """Each panel says in both languages what it is, explains itself, and has a unit."""
    assert dashboard["schemaVersion"] >= 39
    (variable,) = dashboard["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in panels(dashboard):
        assert re.fullmatch(r".*[\u4e00-\u9fff].* · [\x20-\x7e]+", panel["title"]), panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        sources = {panel["datasource"]["uid"], *(t["datasource"]["uid"] for t in panel["targets"])}
        assert sources == {"${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    """Grafana would push them about."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_every_alert_says_what_to_do(root: Path) -> None:
    """Whoever it wakes has no time to look for it."""
    rules = alerts(root)
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names)
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "warn")
        assert set(rule["annotations"]) == {"summary", "action"}
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        grouped = "by (" in rule["expr"] or "sum(" in rule["expr"]
        assert not (used and grouped), f"{rule['alert']}: the label is summed away"


def test_the_services_are_scraped_where_they_listen(root: Path) -> None:
    """By the names that they have in the compose network, at the ports of the settings."""
    config = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    targets = {t for job in config["scrape_configs"] for s in job["static_configs"]
               for t in s["targets"]}  # fmt: skip
    ports = stack.load(root / "configs/demo.yaml").ports()
    assert targets == {f"{name}:{ports[name][1]}" for name in ("server", "judge")}
    for file in config["rule_files"]:
        assert (root / "deploy/prometheus" / file).is_file()


def test_prometheus_shows_a_key(root: Path) -> None:
    """The services ask for one; it comes from the environment, never from the repository."""
    config = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    files = {job["authorization"]["credentials_file"] for job in config["scrape_configs"]}
    overlay = yaml.safe_load((root / "deploy/compose.monitoring.yaml").read_text("utf-8"))
    (secret,) = overlay["services"]["prometheus"]["secrets"]
    assert files == {f"/run/secrets/{secret}"}
    assert overlay["secrets"][secret] == {"environment": "GALEN_METRICS_KEY"}


def test_the_compose_overlay_mounts_what_exists(root: Path) -> None:
    """Each mounted file is in the repository, and whatever has a password demands one."""
    overlay = yaml.safe_load((root / "deploy/compose.monitoring.yaml").read_text("utf-8"))
    base = yaml.safe_load((root / "compose.yaml").read_text("utf-8"))
    assert not set(overlay["services"]) & set(base["services"])
    for service in overlay["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            assert (root / source).exists() if "/" in source else source in overlay["volumes"]
    password = overlay["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password.startswith("${GRAFANA_PASSWORD:?")


def test_grafana_finds_its_source_and_its_dashboard(root: Path) -> None:
    """What is provisioned points to what the overlay starts and mounts."""
    folder = root / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards/galen.yaml").read_text())["providers"]
    overlay = yaml.safe_load((root / "deploy/compose.monitoring.yaml").read_text("utf-8"))
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    mounts = overlay["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/galen.json:{provider['options']['path']}/galen.json:ro" in mounts
