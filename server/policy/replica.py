"""One engine as the gateway sees it: its calls, the versions it holds, its load."""

from __future__ import annotations

from server.engines.api import EngineApi
from server.engines.connections import Connections
from server.engines.engine import Engine
from server.policy.loaders import AdapterLoader, Loader, MergedLoader
from server.settings import ServerSettings


class Replica:
    """`label` names it in metrics and messages; `outstanding` counts the requests that it has."""

    def __init__(
        self, label: str, engine: Engine, connections: Connections, settings: ServerSettings
    ) -> None:
        self.label = label
        self.engine = engine
        self.connections = connections
        self.api = EngineApi(engine, connections, settings.step_limit_s)
        self.loader: Loader = (
            AdapterLoader(engine, self.api, settings)
            if settings.adapters
            else MergedLoader(engine, self.api, settings)
        )
        self.outstanding = 0

    def is_ready(self) -> bool:
        return self.engine.problem is None

    def holds(self, version: str) -> bool:
        return version in self.loader.engine_names
