"""What docs/deploy.md tells an operator to type starts what we would start."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from cli import stack
from server.engines.supervisor import launch
from tests.deploy.test_kubernetes import flags


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/deploy.md").read_text("utf-8")


def test_engines_started_by_hand_are_ours(root: Path, page: str) -> None:
    """The command line shown is that of `configs/medical.yaml`, but for name, address and log."""
    shown = re.search(r"-m (vllm\.\S+) (--.*?) > ", page)
    assert shown
    settings = stack.load(root / "configs/medical.yaml").server
    ours = launch.command(settings, Path("socket"), "galen-engine")
    module = ours.index("-m") + 1
    assert shown[1] == ours[module]
    words = shlex.split(shown[2].replace("$((8100 + gpu))", "0"))
    expected = flags(ours[module + 1 :]) | {"--model": f"$PWD/{settings.model}"}
    # The extension is a file of ours, which others may lack and a GPU does not need.
    del expected["--uds"], expected["--worker-extension-cls"]
    expected |= {"--host": "127.0.0.1", "--port": "0"}
    assert flags(words) == expected
    exported = re.search(r"export (VLLM_.*)", page)
    assert exported
    variables = dict(word.split("=") for word in exported[1].split())
    wanted = launch.environment(settings)
    assert variables == {name: wanted[name] for name in variables}


def test_the_gateway_takes_the_addresses_shown(root: Path, page: str) -> None:
    """As an override and as YAML, the same engines."""
    override = re.search(r"'(server\.engines=[^']+)'", page)
    assert override
    set_so = stack.load(root / "configs/medical.yaml", [override[1]]).server.engines
    written = re.search(r"engines: (\[[^\]]+\])", page)
    assert written
    assert list(set_so) == yaml.safe_load(written[1])


def test_every_alert_is_explained(root: Path, page: str) -> None:
    """The page lists those that there are, and no others."""
    groups = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"]
    names = [rule["alert"] for group in groups for rule in group["rules"]]
    assert re.findall(r"^\| `(Galen\w+)`", page, re.MULTILINE) == names
