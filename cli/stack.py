"""A stack file: the settings of the three services, and the recipes that `galen up` runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from galen import digest
from galen.errors import RecipeError
from galen.settings import Settings, apply_overrides, read_yaml, validated
from judge.settings import JudgeSettings
from server.settings import ServerSettings
from webui.settings import WebuiSettings

DEFAULT_STACK = Path("configs/demo.yaml")


class StackConfig(Settings):
    name: str
    notice: str = ""
    """What a person should know before it starts, such as how long it takes."""
    server: ServerSettings
    judge: JudgeSettings = JudgeSettings()
    webui: WebuiSettings = WebuiSettings()
    """By default its two addresses come from `server` and `judge`."""
    qualify: Path | None = None
    """Labelled answers to examine the judge's teacher with, before training."""
    data: Path | None = None
    """Recipe of the training sets. They are made once, before anything else runs."""
    prepare: tuple[Path, ...] = ()
    """Recipes that run before the services start, in this order; they make the model."""
    train: tuple[Path, ...] = ()
    """Recipes that need the services."""
    compare: Path | None = None
    """Recipe of the final comparison."""

    def ports(self) -> dict[str, tuple[str, int]]:
        """Host and port of each service."""
        return {
            "judge": (self.judge.host, self.judge.port),
            "server": (self.server.host, self.server.port),
            "webui": (self.webui.host, self.webui.port),
        }

    def marks(self) -> dict[str, str]:
        """SHA-256 of each service's settings."""
        services = {"judge": self.judge, "server": self.server, "webui": self.webui}
        return {
            name: digest.of_json(each.model_dump(mode="json")) for name, each in services.items()
        }

    def urls(self) -> dict[str, str]:
        """URL of each service for a user on this machine."""
        return {name: url_of(host, port) for name, (host, port) in self.ports().items()}


def url_of(host: str, port: int) -> str:
    """A URL that reaches a service on this machine; all addresses means loopback."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"http://{reachable}:{port}"


def load(path: Path, overrides: Sequence[str] = ()) -> StackConfig:
    """Read a stack file. Raises `RecipeError`, which names every wrong field."""
    fields = apply_overrides(read_yaml(path), overrides)
    stack = validated(StackConfig, fields, str(path))
    webui: dict[str, Any] = dict(fields.get("webui") or {})
    urls = stack.urls()
    webui.setdefault("server_url", urls["server"])
    webui.setdefault("judge_url", urls["judge"])
    return validated(StackConfig, {**fields, "webui": webui}, str(path))


def ports_must_differ(stack: StackConfig) -> None:
    """Raises `RecipeError` if two services have the same port."""
    seen: dict[int, str] = {}
    for name, (_, port) in stack.ports().items():
        if port in seen:
            raise RecipeError(f"{seen[port]}.port and {name}.port are both {port}; change one")
        seen[port] = name
