"""The record of what `galen up` started, for `galen down` and `galen status`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cli.processes import Started, is_alive
from galen.errors import GalenError

STATE = Path(".galen/stack.json")
"""Relative to the folder that `galen` runs in, like every path of a stack file."""
DEFAULT_SERVER = "http://127.0.0.1:8000"
DEFAULT_JUDGE = "http://127.0.0.1:8001"
SERVICES = ("judge", "server", "webui")


class StackState(BaseModel):
    """What `galen up` has started."""

    model_config = ConfigDict(frozen=True)

    config: Path
    marks: dict[str, str] = {}
    """SHA-256 of each service's settings when it was started."""
    rehearsal: bool = False
    processes: tuple[Started, ...] = ()
    """Services and a running stage, in order of their start."""
    starter: Started | None = None
    """The `galen up` that is still running."""

    def service(self, name: str) -> Started | None:
        return next((each for each in self.processes if each.name == name), None)

    def is_up(self) -> bool:
        """Whether every service runs."""
        found = [self.service(name) for name in SERVICES]
        return all(each is not None and is_alive(each) for each in found)

    def is_starting(self) -> bool:
        return self.starter is not None and is_alive(self.starter)


def read() -> StackState | None:
    """The record, or None when nothing was started here."""
    if not STATE.is_file():
        return None
    try:
        return StackState.model_validate_json(STATE.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise GalenError(
            f"{STATE} cannot be read, so it is unknown what was started here; stop the processes "
            "by hand and delete the file"
        ) from None


def server_url() -> str:
    """URL of the policy server that runs here, else the default one."""
    running = read()
    server = running.service("server") if running else None
    return server.url if server and server.url else DEFAULT_SERVER


def judge_url() -> str:
    """URL of the judge that runs here, else the default one."""
    running = read()
    judge = running.service("judge") if running else None
    return judge.url if judge and judge.url else DEFAULT_JUDGE


def write(state: StackState) -> None:
    """Replace the record atomically."""
    STATE.parent.mkdir(parents=True, exist_ok=True)
    draft = STATE.with_name(f".{STATE.name}.partial")
    draft.write_text(state.model_dump_json(indent=2), "utf-8")
    draft.replace(STATE)


def forget() -> None:
    STATE.unlink(missing_ok=True)
