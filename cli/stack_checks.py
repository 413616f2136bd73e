"""The checks of a stack file by `galen doctor`: models, data, memory, teacher, keys, disk.

Each check answers in one line; none loads torch.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from cli.checks import Check, disk
from cli.stack import StackConfig
from galen.errors import GalenError
from galen.keys import KeyRing, is_loopback
from judge.settings import KEY_VARIABLE
from server.engines import model_folder
from trainer import fit, memory, recipes
from trainer.recipes import Founding, Recipe, Tuning
from trainer.runs import data_of

SLOW = 1_000_000_000
"""Models with more parameters than this train for weeks on a CPU."""
SPARE = 1.5e9
"""Bytes that an engine takes besides weights and cache."""
CACHE = 2e9
"""Bytes of a cache whose size the engine chooses."""


def everything(stack: StackConfig, environment: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Every check of what the stack file names."""
    loaded = []
    for path in (*stack.prepare, *stack.train, *((stack.compare,) if stack.compare else ())):
        try:
            loaded.append(recipes.load(path))
        except GalenError as error:
            yield Check("recipe", False, error.message.partition("\n")[0], f"mend {path}")
    yield from models(stack, loaded)
    yield data(loaded)
    yield fits_memory(stack, loaded, gpus(), psutil.virtual_memory().total)
    yield teacher(stack, loaded, environment)
    yield keys(stack)
    yield addresses(stack)
    yield disk(shutil.disk_usage(Path.cwd()).free, needed_gb(stack, loaded))


def models(stack: StackConfig, loaded: Sequence[Recipe]) -> Iterator[Check]:
    """Each model's folder that no recipe of the stack makes."""
    made = {recipe.folder / "final" for recipe in loaded}
    named = [stack.server.model, *(recipe.model for recipe in loaded if recipe.model)]
    wanted = list(dict.fromkeys(folder for folder in named if folder not in made))
    for folder in wanted:
        yield model(folder)
    if not wanted:
        yield Check("model", True, f"{stack.server.model}, made by this stack")


def model(folder: Path) -> Check:
    """Whether a folder holds a model that can be served: settings, weights, tokenizer, template."""
    owner = "Qwen" if folder.name.startswith("Qwen") else "OWNER"
    advice = f"galen models get {owner}/{folder.name} (see its --help), or name another folder"
    try:
        problem = model_folder.check(folder)
        shapes = fit.shapes_of(folder)
    except GalenError as error:
        return Check("model", False, error.message, advice)
    if problem:
        chat = "name the folder of a chat model (its name often ends in Instruct)"
        return Check("model", False, problem, chat)
    count = sum(math.prod(shape) for shape in shapes.values())
    return Check("model", True, f"{folder}: {count / 1e6:,.0f} M parameters")


def data(loaded: Sequence[Recipe]) -> Check:
    """The files that the recipes read."""
    files = list(dict.fromkeys(path for recipe in loaded for path in data_of(recipe)))
    missing = [str(path) for path in files if not path.is_file() or not path.stat().st_size]
    if missing:
        advice = "put the corpus there; data/README.md has its fields"
        return Check("data", False, f"missing or empty: {', '.join(missing)}", advice)
    return Check("data", True, f"{len(files)} files")


def fits_memory(
    stack: StackConfig, loaded: Sequence[Recipe], gpu_bytes: Sequence[int], ram_bytes: int
) -> Check:
    """Whether the largest stage and the engine fit together into the GPU, or else the memory."""
    on_gpu = bool(gpu_bytes)
    room = max(gpu_bytes) if on_gpu else ram_bytes
    place = f"{'GPU' if on_gpu else 'memory'} of {room / 1e9:.0f} GB"
    needs, shape = 0.0, None
    for recipe in loaded:
        shape = _shape_of(stack, recipe) or shape
        if shape is None:
            continue
        engine = 0.0 if isinstance(recipe, Tuning) else _engine_bytes(stack, shape, on_gpu)
        needs = max(needs, engine + memory.training_bytes(recipe, shape, on_gpu=on_gpu))
    parameters = shape.parameters if shape else _by_name(stack, loaded)
    if not on_gpu and parameters >= SLOW:
        size = f"{parameters / 1e9:.1f} B parameters"
        advice = "use a machine with one, and `make up GPU=1`, or a smaller model"
        return Check("memory", False, f"no GPU found; on a CPU {size} train for weeks", advice)
    if shape is None:
        is_demo = any(isinstance(r, Founding) and r.demo_model for r in loaded)
        known = (
            "a demo model takes little" if is_demo else "the need is known once the model is there"
        )
        return Check("memory", True, f"{place}; {known}")
    if on_gpu and stack.train and not stack.server.engines and _cache(stack) is None:
        detail = "the engine takes most of the GPU, and the trainer needs some of it"
        return Check(
            "memory", False, detail, "set server.engine.kv_cache_bytes, such as 6442450944"
        )
    detail = f"about {needs / 1e9:.1f} GB needed at most, {place}"
    if needs <= room:
        return Check("memory", True, detail)
    smaller = "`batch_size`, `max_length`, `max_new_tokens`, `mini_batch_size`"
    return Check("memory", False, detail, f"lower {smaller} or `critic.layers`, or use LoRA")


def teacher(stack: StackConfig, loaded: Sequence[Recipe], environment: Mapping[str, str]) -> Check:
    """Whether the judge has a teacher, or all recipes accept the mock."""
    asking = [recipe for recipe in loaded if not isinstance(recipe, Tuning)]
    if environment.get(KEY_VARIABLE, "").strip():
        settings = stack.judge.teacher.with_environment(environment)
        return Check("teacher", True, f"{settings.model} at {settings.base_url}")
    strict = [recipe.run for recipe in asking if not recipe.services.allow_mock]
    if strict:
        advice = f"export {KEY_VARIABLE}=…, and for another teacher JUDGE_BASE_URL and JUDGE_MODEL"
        return Check("teacher", False, f"no key, and {strict[0]} takes no mock", advice)
    return Check("teacher", True, "the mock, which is for rehearsals")


def keys(stack: StackConfig) -> Check:
    """The files of keys; a service that other machines can reach must have one."""
    files = {
        "server": stack.server.keys_file,
        "judge": stack.judge.keys_file,
        "webui": stack.webui.keys_file,
    }
    count = 0
    for name, file in files.items():
        host, _ = stack.ports()[name]
        try:
            ring = KeyRing.load(file)
        except GalenError as error:
            return Check("keys", False, f"{name}: {error.message}", "see docs/access.md")
        if not ring and not is_loopback(host):
            detail = f"{name} would listen on {host} without keys, and refuses to"
            return Check("keys", False, detail, f"name {name}.keys_file or set GALEN_KEYS")
        count += bool(ring)
    if count and not os.environ.get("GALEN_KEY"):
        detail = f"asked for by {count} of 3 services, and GALEN_KEY is not set"
        return Check("keys", False, detail, "export GALEN_KEY=<an admin's secret>, for the page")
    return Check("keys", True, f"asked for by {count} of 3 services" if count else "none asked for")


def addresses(stack: StackConfig) -> Check:
    """Whether server and page listen on the same kind of address."""
    open_server, open_page = (
        not is_loopback(host) for host in (stack.server.host, stack.webui.host)
    )
    if open_server == open_page:
        return Check(
            "addresses", True, f"server on {stack.server.host}, page on {stack.webui.host}"
        )
    only, other = ("server", "webui") if open_server else ("webui", "server")
    detail = f"{only} is reached from other machines, {other} from this one only"
    return Check("addresses", True, detail, f"if both should be, set {other}.host as well")


def needed_gb(stack: StackConfig, loaded: Sequence[Recipe]) -> float:
    """Disk for what the recipes write, by the size of their model."""
    total = 0.0
    for recipe in loaded:
        shape = _shape_of(stack, recipe)
        if shape and isinstance(recipe, Tuning):
            total += shape.parameters * (2 + (2 * memory.ADAM if recipe.lora is None else 0))
        elif shape and isinstance(recipe, recipes.RlRecipe):
            copies = recipe.keep_versions + 2 if recipe.publish == "merged" else 1
            total += 2 * copies * shape.parameters
    return max(2.0, total / 1e9)


def gpus() -> list[int]:
    """Bytes of memory of each NVIDIA GPU; empty without one."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [int(line) * 2**20 for line in found.stdout.split() if line.isdecimal()]


def _shape_of(stack: StackConfig, recipe: Recipe) -> memory.Shape | None:
    """The shape of a recipe's model, or of one that it will be made from."""
    for folder in (recipe.model, stack.server.model):
        if folder and (folder / fit.MODEL_CONFIG).is_file():
            try:
                return memory.shape_of(fit.read_json(folder / fit.MODEL_CONFIG))
            except (GalenError, KeyError, TypeError, ValueError):
                return None
    return None


def _by_name(stack: StackConfig, loaded: Sequence[Recipe]) -> float:
    """Parameters by the size in a folder's name, as in Qwen3-1.7B; 0 where there is none."""
    for folder in (*(recipe.model for recipe in loaded), stack.server.model):
        if folder and (size := re.search(r"(\d+(?:\.\d+)?)B\b", folder.name)):
            return float(size[1]) * 1e9
    return 0.0


def _engine_bytes(stack: StackConfig, shape: memory.Shape, on_gpu: bool) -> float:
    if stack.server.engines:
        return 0.0
    weights = shape.parameters * (2 if on_gpu else 4)
    return weights + (_cache(stack) or CACHE) + SPARE


def _cache(stack: StackConfig) -> int | None:
    """Bytes of the engine's cache; None where the engine chooses."""
    cache = stack.server.engine.kv_cache_bytes
    return cache if isinstance(cache, int) else None
