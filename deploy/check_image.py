"""Run what the Dockerfile does, without Docker.

    .venv/bin/python deploy/check_image.py                  the sources exist, the commands parse
    .venv/bin/python deploy/check_image.py --build judge    also the lines up to a target, in a
                                                            folder of their own (minutes, gigabytes)

The lines are read from the Dockerfile itself. Left out are the ones that change the machine
(apt-get, useradd) and the change of user.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_HERE = re.compile(r"apt-get|useradd")
"""Commands that would change this machine."""
OWNER = re.compile(r"&& chown -R \w+ [\w. ]+")


@dataclass
class Stage:
    """One `FROM … AS name`: its parent and its instructions, in order."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def parse(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order."""
    stages: dict[str, Stage] = {}
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            stages[name] = Stage(name, parent)
            current = stages[name]
        elif word:
            current.steps.append((word, rest.strip()))
    return stages


def steps_of(stages: dict[str, Stage], target: str) -> Iterator[tuple[str, str]]:
    """Every instruction that makes `target`, its parents' first."""
    stage = stages[target]
    if stage.parent in stages:
        yield from steps_of(stages, stage.parent)
    yield from stage.steps


def last(stages: dict[str, Stage], target: str, word: str) -> str | None:
    """The argument of the last `word` instruction that applies to `target`."""
    return next((rest for w, rest in reversed([*steps_of(stages, target)]) if w == word), None)


def command_of(stages: dict[str, Stage], target: str) -> list[str]:
    """What a container of `target` runs."""
    entry, command = last(stages, target, "ENTRYPOINT"), last(stages, target, "CMD")
    return [*json.loads(entry or "[]"), *json.loads(command or "[]")]


def allowed(ignore: str) -> list[str]:
    """What `.dockerignore` lets into an image: it forbids all and names the rest."""
    return [line[1:] for line in ignore.splitlines() if line.startswith("!")]


def copied(source: str, names: Sequence[str]) -> list[str]:
    """The files and folders that `COPY source` takes, as `.dockerignore` leaves them."""
    if source == ".":
        return [name for name in names if (ROOT / name).exists()]
    top = source.partition("/")[0]
    return [source] if any(fnmatch(top, name) for name in names) else []


def problems(stages: dict[str, Stage], names: Sequence[str]) -> Iterator[str]:
    """What would make a build or a start fail: a missing source, a command that does not parse."""
    for stage in stages.values():
        for word, rest in stage.steps:
            source = rest.split()[0]
            if word == "COPY" and not all(
                (ROOT / s).exists() for s in copied(source, names) or [""]
            ):
                yield f"{stage.name}: COPY {source}: no such file"
            if word == "COPY" and not copied(source, names):
                yield f"{stage.name}: COPY {source}: .dockerignore leaves it out"
    for target in ("judge", "server", "webui", "trainer"):
        _, *arguments = command_of(stages, target)
        done = subprocess.run(
            [sys.executable, *arguments, "--help"], cwd=ROOT, capture_output=True, check=False
        )
        if done.returncode:
            yield f"{target}: CMD {' '.join(arguments)} does not parse"


def build(stages: dict[str, Stage], target: str, names: Sequence[str], app: Path) -> None:
    """Do what `docker build --target` does, with `app` in the place of /app."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    for word, rest in steps_of(stages, target):
        if word == "ENV":
            for name, value in re.findall(r"(\w+)=(\S+)", rest):
                value = value.replace("/app", str(app)).replace("$PATH", environment["PATH"])
                environment[name] = value
        elif word == "COPY":
            source, destination = rest.split()
            for name in copied(source, names):
                _copy(name, app / (name if source == "." else destination))
        elif word == "RUN" and not NOT_HERE.search(rest):
            print(f"RUN {rest}", flush=True)
            subprocess.run(OWNER.sub("", rest), shell=True, cwd=app, env=environment, check=True)
    command = [*command_of(stages, target), "--help"]
    print(" ".join(command), flush=True)
    subprocess.run(command, cwd=app, env=environment, check=True, stdout=subprocess.DEVNULL)


def _copy(name: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if (ROOT / name).is_dir():
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, destination, ignore=ignore, dirs_exist_ok=True)
    else:
        shutil.copy2(ROOT / name, destination)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the Dockerfile without Docker")
    parser.add_argument("--build", metavar="TARGET", help="run the lines up to this target")
    target: str | None = parser.parse_args().build
    stages = parse((ROOT / "Dockerfile").read_text("utf-8"))
    names = allowed((ROOT / ".dockerignore").read_text("utf-8"))
    found = list(problems(stages, names))
    print("\n".join(found) or "Dockerfile: every source is there, every command parses")
    if found:
        return 1
    if target is not None:
        with tempfile.TemporaryDirectory() as folder:
            build(stages, target, names, Path(folder) / "app")
    return 0


if __name__ == "__main__":
    sys.exit(main())
