"""How vLLM is started: its command line and its environment."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from server.engines.machine import is_cpu_build
from server.settings import EngineSettings, ServerSettings

_PASSED_ON = re.compile(
    r"(PATH|HOME|USER|LOGNAME|TMPDIR|LANG|TZ|CC|CXX|MAX_JOBS|VIRTUAL_ENV|TOKENIZERS_PARALLELISM"
    r"|HF_HOME|HF_HUB_OFFLINE|SSL_CERT_(FILE|DIR)|PYTHON[A-Z0-9_]*"
    r"|(LC|LD|XDG|MALLOC|OMP|GOMP|KMP|MKL|OPENBLAS|CUDA|CUBLAS|CUBLASLT|NVIDIA|NCCL|HIP|HSA|ROCR"
    r"|TRANSFORMERS|TORCH|TORCHINDUCTOR|PYTORCH|TRITON|FLASHINFER|VLLM)_[A-Z0-9_]+)"
)
"""What an engine may read from the gateway's environment; everything else is left out."""
_SECRET_NAME = re.compile(
    r"(KEY|TOKEN(?!S|_THRESHOLD)|SECRET|CREDENTIAL|AUTHORIZATION|_PASS|_PAT|PWD)S?(?![A-Z])"
    r"|PASSW(OR)?D|PASSPHRASE|CONNECTION_STRING"
)
"""vLLM's own settings count pieces of text as TOKENS, or compare them with a TOKEN_THRESHOLD."""
_SECRET_VALUE = re.compile(r"://[^/\s]*:[^/\s]*@")
"""A URL with a password."""
SOCKETS_VARIABLE = "VLLM_RPC_BASE_PATH"
"""The folder for the sockets between vLLM's own processes."""

# In vLLM's developer mode every refused request is logged with a trace that holds its prompt.
_SWITCHES = ("--disable-uvicorn-access-log", "--no-log-error-stack", "--enable-auto-tool-choice")


def command(settings: ServerSettings, socket: Path, served_name: str) -> list[str]:
    """The command line of an engine for these settings: vLLM's OpenAI server or the simple one.

    It listens on `socket` only, which must not exist yet.
    """
    engine, adapters = settings.engine, settings.adapters
    options = {
        "--model": str(settings.model.resolve()),
        "--served-model-name": served_name,
        "--uds": str(socket),
        "--dtype": engine.dtype,
        "--max-model-len": str(engine.max_model_len),
    }
    if adapters:
        # One more than are loaded, so that a new one is probed while all the others serve.
        most = adapters.max_loaded + 1
        options["--max-lora-rank"] = str(adapters.max_rank)
        options |= {"--max-loras": str(most), "--max-cpu-loras": str(2 * most)}
    module, switches = "server.simple", list[str]()
    if engine.backend == "vllm":
        # The `vllm` command of the CPU wheel looks up a distribution name that it does not have.
        module = "vllm.entrypoints.launchers.api_server.entry"
        options |= _vllm_options(engine)
        switches = [*_SWITCHES, *(["--enforce-eager"] if engine.enforce_eager is True else [])]
        switches += ["--enable-lora"] if adapters else []
    words = [word for pair in options.items() for word in pair]
    return [sys.executable, "-P", "-m", module, *words, *switches, *engine.arguments]


def environment(settings: ServerSettings) -> dict[str, str]:
    """The engine's environment: what it may read of this one, plus what vLLM needs."""
    wanted = {name: v for name, v in os.environ.items() if _is_passed_on(name, v)}
    # The engine imports its plugins from the same Galen as this gateway.
    root = str(Path(__file__).parents[3])
    wanted |= {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, wanted.get("PYTHONPATH")])),
        "VLLM_SERVER_DEV_MODE": "1",  # pause, resume and collective_rpc
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if settings.engine.threads != "auto":
        wanted["OMP_NUM_THREADS"] = str(settings.engine.threads)
    if settings.adapters:
        wanted["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if is_cpu_build():
        wanted.setdefault("VLLM_TARGET_DEVICE", "cpu")
        # A thread that waits for another by spinning takes the core that the other needs.
        wanted.setdefault("OMP_WAIT_POLICY", "passive")
    return wanted


def _vllm_options(engine: EngineSettings) -> dict[str, str]:
    options = {
        # At its end vLLM logs the name of any program on its port, even if it does not use one.
        "--port": "0",
        # Else the model's own temperature and top_p fill in whatever a request leaves out.
        "--generation-config": "vllm",
        "--load-format": "safetensors",  # else it would unpickle what it finds without them
        "--logprobs-mode": "processed_logprobs",
        "--reasoning-parser": "galen",
        "--reasoning-parser-plugin": "server.engines.plugins.reasoning_plugin",
        "--tool-call-parser": "hermes",  # Qwen3 calls tools as Hermes models do
        "--scheduling-policy": "priority",
        "--worker-extension-cls": "server.engines.plugins.worker_plugin.ReloadExtension",
    }
    if isinstance(engine.kv_cache_bytes, int):
        options["--kv-cache-memory-bytes"] = str(engine.kv_cache_bytes)
    return options


def _is_passed_on(name: str, value: str) -> bool:
    is_secret = _SECRET_NAME.search(name) or _SECRET_VALUE.search(value)
    return bool(_PASSED_ON.fullmatch(name)) and not is_secret
