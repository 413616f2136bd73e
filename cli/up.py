"""`galen up`: from a stack file to three running services, one line a step."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from cli import processes, state
from cli.processes import Started
from cli.progress import Progress, Say
from cli.stack import StackConfig, ports_must_differ
from galen.errors import Conflict, GalenError, InvalidInput, RecipeError
from galen.keys import KeyRing
from trainer import recipes, runs

GALEN = (sys.executable, "-m", "cli.main")
"""How a step calls `galen`."""
LOGS = Path(".galen/logs")
CARD = "data_card.md"
NEEDED_GB = 2.0
"""Disk space for a rehearsal: runs, versions, logs."""
STOP_LIMIT_S = 20.0
READY_LIMIT_S = 120.0
"""For the judge and the web page; the server adds what its engine may take."""
POLL_S = 0.2


class Bringer:
    """One run of `galen up`. It records each process before it waits for it, so that `galen down`
    finds it even if this command is killed. `galen` is the command of its steps."""

    def __init__(
        self,
        stack: StackConfig,
        config: Path,
        overrides: Sequence[str],
        progress: Progress,
        galen: Sequence[str] = GALEN,
    ) -> None:
        self._stack = stack
        self._config = config
        self._overrides = [part for override in overrides for part in ("--set", override)]
        self._progress = progress
        self._galen = galen
        self._processes: tuple[Started, ...] = ()

    def bring_up(self) -> None:
        """Run every step; whatever ends it early stops what it has started."""
        try:
            self._steps()
        except BaseException:
            processes.stop(self._processes, STOP_LIMIT_S)
            state.forget()
            raise
        self._record(starter=None)

    def _steps(self) -> None:
        """A service starts as early as it can, while steps that do not need it run."""
        stack = self._stack
        self._record(starter=processes.this_process("up"))
        if stack.data is not None:
            self._make_data(stack.data)
        judge = self._begin("judge")
        if stack.qualify is not None:
            self._await(judge, READY_LIMIT_S)
            self._examine(stack.qualify)
        for path in stack.prepare:
            self._run(path, "train")
        server, page = self._begin("server"), self._begin("webui")
        if stack.qualify is None:
            self._await(judge, READY_LIMIT_S)
        self._await(server, stack.server.engine.start_limit_s + READY_LIMIT_S)
        for path in stack.train:
            self._run(path, "train")
        if stack.compare is not None:
            self._run(stack.compare, "compare")
        self._await(page, READY_LIMIT_S)

    def _begin(self, name: str) -> Started:
        command = [name, "serve", str(self._config), *self._overrides]
        return self._start(name, command, self._stack.urls()[name])

    def _await(self, service: Started, limit_s: float) -> None:
        """Wait until a service is ready."""
        assert service.url is not None, "a service has an address"
        url = ready_url(service.name, service.url)
        with self._progress.step(f"start {service.name}") as say:
            deadline = time.monotonic() + limit_s
            while (problem := problem_at(url)) is not None:
                self._refuse_dead_services()
                if time.monotonic() > deadline:
                    raise GalenError(
                        f"{service.name} was not ready within {limit_s:.0f} s; its log: "
                        f"{service.log}"
                    )
                say(problem or last_line(service.log))
                time.sleep(POLL_S)

    def _refuse_dead_services(self) -> None:
        """Raise what a service has ended with, whichever step is waited for."""
        for each in self._processes:
            if each.url and processes.exit_code(each) is not None:
                raise failed(each)

    def _make_data(self, path: Path) -> None:
        """Make the training sets, unless their card, which is written last, is there."""
        card = recipes.load_data(path).out / CARD
        if card.is_file():
            self._progress.note("data", f"is there already: {card.parent}")
            return
        with self._progress.step("data") as say:
            self._finish(self._start("data", ["data", "prepare", str(path)]), say)

    def _run(self, path: Path, command: str) -> None:
        """Run one recipe in a process of its own, unless it has been run to its end."""
        overrides = service_overrides(path, self._stack)
        recipe = recipes.load(path, overrides)
        if runs.is_finished(recipe):
            self._progress.note(recipe.run, f"is there already: {recipe.folder}")
            return
        arguments = [part for override in overrides for part in ("--set", override)]
        with self._progress.step(recipe.run) as say:
            self._finish(self._start(recipe.run, [command, str(path), *arguments]), say)

    def _examine(self, labels: Path) -> None:
        """Have the judge's teacher examined, once, under each rubric that a recipe judges by.

        One that fails is no reason to stop here: each recipe says whether that will do for it.
        """
        judge = self._stack.urls()["judge"]
        for rubric in rubrics_of(self._stack):
            name = f"examine-{rubric}"
            options = ["--rubric", rubric, "--judge", judge, "--once"]
            out = ["--out", f"runs/qualification/{rubric}"]
            with self._progress.step(f"examine judge, {rubric}") as say:
                started = self._start(name, ["judge", "qualify", str(labels), *options, *out])
                self._finish(started, say)
            for line in _last_lines(started.log):
                if line.startswith("teacher "):
                    self._progress.note("examined", line.removeprefix("teacher").strip())

    def _finish(self, started: Started, say: Say) -> None:
        """Wait for a step's process to end, or raise what it ended with."""
        while (code := processes.exit_code(started)) is None:
            self._refuse_dead_services()
            say(last_line(started.log))
            time.sleep(POLL_S)
        self._processes = tuple(each for each in self._processes if each != started)
        self._record(starter=processes.this_process("up"))
        if code:
            raise failed(started)

    def _start(self, name: str, arguments: Sequence[str], url: str | None = None) -> Started:
        command = [*self._galen, *arguments]
        started = processes.start(name, command, LOGS / f"{name}.log", url)
        self._processes = (*self._processes, started)
        self._record(starter=processes.this_process("up"))
        return started

    def _record(self, starter: Started | None) -> None:
        state.write(
            state.StackState(
                config=self._config,
                marks=self._stack.marks(),
                rehearsal=self._stack.webui.rehearsal,
                processes=self._processes,
                starter=starter,
            )
        )


def check_before(stack: StackConfig) -> None:
    """Refuse what would fail half-way: a clash of ports, a full disk, a missing recipe."""
    ports_must_differ(stack)
    for name, (host, port) in stack.ports().items():
        if not processes.is_free(host, port):
            holder = processes.holder_of(port) or "another process"
            raise Conflict(
                f"port {port} ({name}) is taken by {holder}: stop that, or run `galen down` if it "
                f"is Galen's, or choose another port with --set {name}.port=…"
            )
    files = {"server": stack.server.keys_file, "judge": stack.judge.keys_file}
    asking = [name for name, file in files.items() if KeyRing.load(file)]
    if asking and not os.environ.get("GALEN_KEY"):
        raise InvalidInput(
            f"{' and '.join(asking)} will ask for keys, and GALEN_KEY is not set, so the page and "
            "the recipes could not ask them: export GALEN_KEY=<an admin's secret>"
        )
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    if free_gb < NEEDED_GB:
        raise GalenError(
            f"{free_gb:.1f} GB of disk are free, {NEEDED_GB:.0f} GB are needed: make room first"
        )
    if stack.data is not None:
        recipes.load_data(stack.data)
    compare = (stack.compare,) if stack.compare else ()
    for path in (*stack.prepare, *stack.train, *compare):
        recipes.load(path)
    if stack.qualify is not None and not stack.qualify.is_file():
        raise RecipeError(
            f"qualify: no file {stack.qualify}; name labelled answers or leave it out"
        )
    if not stack.prepare and not stack.server.model.is_dir():
        raise RecipeError(
            f"server.model: no folder {stack.server.model}; put the model's files there or name "
            "its folder with --set server.model=…"
        )


def rubrics_of(stack: StackConfig) -> list[str]:
    """The rubrics that the stack's recipes judge by."""
    compare = (stack.compare,) if stack.compare else ()
    loaded = [recipes.load(path) for path in (*stack.train, *compare)]
    named = [each.services.rubric for each in loaded if not isinstance(each, recipes.Tuning)]
    return list(dict.fromkeys(named))


def service_overrides(path: Path, stack: StackConfig) -> list[str]:
    """Overrides that make a recipe talk to this stack's services, where it names others."""
    recipe = recipes.load(path)
    if isinstance(recipe, recipes.Tuning):
        return []
    urls = stack.urls()
    named = {"server": recipe.services.server, "judge": recipe.services.judge}
    return [
        f"services.{service}={urls[service]}"
        for service, url in named.items()
        if urlsplit(url).port != urlsplit(urls[service]).port
    ]


def ready_url(name: str, url: str) -> str:
    """Where a service says that it is ready; the page is once it answers."""
    return f"{url}/healthz" if name == "webui" else f"{url}/readyz"


def answers(url: str) -> bool:
    """Whether `url` says that it is well within two seconds."""
    return problem_at(url) is None


def problem_at(url: str) -> str | None:
    """Why a service is not ready, in its own words; empty if it does not say, None if it is."""
    try:
        response = httpx.get(url, timeout=2.0, trust_env=False)
        if response.status_code < 400:
            return None
        return str(response.json()["error"]["message"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ""


def failed(started: Started) -> GalenError:
    """Why a process ended: its own message if it ended with one, else its last line."""
    lines = _last_lines(started.log)
    heads = [number for number, line in enumerate(lines) if line.startswith("galen: ")]
    said = "\n".join(lines[heads[-1] :]).removeprefix("galen: ") if heads else "".join(lines[-1:])
    return GalenError(
        f"{started.name} ended early: {said or 'it said nothing'}\n  its whole log: {started.log}"
    )


def last_line(log: Path | None) -> str:
    """The last line that a process has written."""
    return "".join(_last_lines(log)[-1:])


def _last_lines(log: Path | None) -> list[str]:
    """The end of a log, without blank lines or what a progress bar wrote over."""
    if log is None or not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        tail = file.read().decode("utf-8", errors="replace")
    lines = (line.rpartition("\r")[2].rstrip() for line in tail.split("\n"))
    return ["".join(c for c in line if c.isprintable()) for line in lines if line]
