"""The checks of `galen doctor`. A check reports what it finds and does not raise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from cli import processes, state
from cli.stack import StackConfig

LOCKS = Path(__file__).resolve().parents[1] / "requirements"
TRAPS = ("torchvision", "torchaudio", "torchcodec")
"""Companions of torch whose ordinary builds break a CPU torch."""
SERVICES_ONLY = ("base",)
"""Lock files of an environment without torch, which can run no model."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str
    advice: str = ""
    """What to do; empty when all is well."""


def python(version: tuple[int, ...]) -> Check:
    found = ".".join(map(str, version[:3]))
    ok = (3, 11) <= version[:2] <= (3, 13)
    return Check("Python", ok, found, "" if ok else "use 3.11–3.13: make up PYTHON=python3.11")


def pinned(locks: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Distribution -> version, from lock files."""
    versions: dict[str, str] = {}
    for name in names:
        for line in (locks / f"{name}.lock").read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                package, _, version = line.partition("==")
                versions[package] = version
    return versions


def packages(locks: Path, names: tuple[str, ...]) -> Check:
    """Whether the installed versions are those of the lock files."""
    wanted = pinned(locks, names)
    wrong = [
        f"{package} {found or 'missing'} (pinned {version})"
        for package, version in wanted.items()
        if (found := installed(package)) != version
    ]
    traps = [name for name in TRAPS if installed(name)] if "cpu" in names else []
    wrong += [f"{name} (breaks a CPU torch)" for name in traps]
    if not wrong:
        return Check("packages", True, f"{len(wanted)} as pinned")
    shown = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
    return Check("packages", False, shown, "rm .venv/galen-installed && make up")


def installed(package: str) -> str | None:
    """The installed version without its build's tag, so that 2.13.0+cpu is 2.13.0."""
    try:
        return distribution(package).version.partition("+")[0]
    except PackageNotFoundError:
        return None


def lock_names() -> tuple[str, ...]:
    """The lock files that this environment was installed from."""
    kind_file = Path(sys.prefix) / "galen-kind"
    kind = kind_file.read_text("utf-8") if kind_file.is_file() else "cpu"
    return {"services": SERVICES_ONLY, "gpu": ("base", "torch", "train")}.get(
        kind, ("base", "torch", "train", "cpu")
    )


def ports(stack: StackConfig, running: state.StackState | None) -> Iterator[Check]:
    """Each port is free, or used by the service that belongs there."""
    for name, (host, port) in stack.ports().items():
        ours = running.service(name) if running else None
        if ours is not None and processes.is_alive(ours) and ours.url == stack.urls()[name]:
            yield Check(f"port {port}", True, f"{name} listens (pid {ours.pid})")
        elif processes.is_free(host, port):
            yield Check(f"port {port}", True, f"free for {name}")
        else:
            holder = processes.holder_of(port) or "another process"
            advice = f"stop it, or choose another: --set {name}.port=…"
            yield Check(f"port {port}", False, f"taken by {holder}; {name} needs it", advice)


def disk(free_bytes: int, needed_gb: float) -> Check:
    free_gb = free_bytes / 1e9
    ok = free_gb >= needed_gb
    advice = "" if ok else f"make room: this stack writes about {needed_gb:.0f} GB"
    return Check("disk", ok, f"{free_gb:.1f} GB free", advice)


def everything_light(stack: StackConfig) -> Iterator[Check]:
    """The checks that load no model."""
    yield python(tuple(sys.version_info[:3]))
    yield packages(LOCKS, lock_names())
    yield from ports(stack, state.read())
