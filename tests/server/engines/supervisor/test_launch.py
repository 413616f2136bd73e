"""vLLM's command line, its environment, and the reason that its log gives."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from galen.keys import KEYS_VARIABLE
from server.engines.supervisor import launch
from server.settings import AdapterSettings, EngineSettings, ServerSettings
from server.simple.__main__ import parser

SOCKET = Path("/tmp/galen-0/engine")


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_the_command_serves_as_rollouts_need_it(tmp_path: Path) -> None:
    """Log-probabilities after temperature, no sampling defaults of the model's own."""
    words = launch.command(ServerSettings(model=tmp_path), SOCKET, "engine-1")
    assert option(words, "--logprobs-mode") == "processed_logprobs"
    assert option(words, "--generation-config") == "vllm"
    assert option(words, "--served-model-name") == "engine-1"
    assert option(words, "--model") == str(tmp_path.resolve())
    assert "--enable-lora" not in words


@pytest.mark.parametrize("backend", ["vllm", "transformers"])
def test_the_engine_listens_on_its_socket_alone(
    tmp_path: Path, backend: Literal["vllm", "transformers"]
) -> None:
    """No host is named, and no port that could be had."""
    settings = ServerSettings(model=tmp_path, engine=EngineSettings(backend=backend))
    words = launch.command(settings, SOCKET, "engine")
    assert option(words, "--uds") == str(SOCKET)
    assert "--host" not in words
    assert "--port" not in words or option(words, "--port") == "0"


def test_the_engine_reads_no_pickles_and_runs_no_code_of_others(tmp_path: Path) -> None:
    """By its own default it would unpickle what it finds without safetensors."""
    words = launch.command(ServerSettings(model=tmp_path), SOCKET, "engine")
    assert option(words, "--load-format") == "safetensors"
    assert "--trust-remote-code" not in words
    assert "--trust-request-chat-template" not in words


def test_the_engine_is_told_to_log_no_prompts(tmp_path: Path) -> None:
    """Its developer mode, which the gateway needs, would log each refused request's words."""
    settings = ServerSettings(model=tmp_path)
    assert launch.environment(settings)["VLLM_SERVER_DEV_MODE"] == "1"
    words = launch.command(settings, SOCKET, "engine")
    assert "--no-log-error-stack" in words
    assert not {"--enable-log-requests", "--enable-log-outputs"} & set(words)


def test_adapters_have_a_slot_more_than_are_loaded(tmp_path: Path) -> None:
    """So that a new one is probed while all the others serve."""
    settings = ServerSettings(model=tmp_path, adapters=AdapterSettings(max_rank=8, max_loaded=2))
    words = launch.command(settings, SOCKET, "engine")
    assert "--enable-lora" in words
    assert option(words, "--max-lora-rank") == "8"
    assert option(words, "--max-loras") == "3"
    assert launch.environment(settings)["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"


def test_the_simple_engine_is_started_by_one_setting(tmp_path: Path) -> None:
    """`backend: transformers`; its own command line takes what it is started with."""
    engine = EngineSettings(backend="transformers", max_model_len=512, dtype="float32")
    settings = ServerSettings(model=tmp_path, engine=engine)
    words = launch.command(settings, SOCKET, "engine-1")
    assert words[:4] == [sys.executable, "-P", "-m", "server.simple"]
    given = parser().parse_args(words[4:])
    assert (given.model, given.served_model_name, given.uds) == (tmp_path, "engine-1", SOCKET)
    assert (given.dtype, given.max_model_len) == ("float32", 512)
    path = launch.environment(settings)["PYTHONPATH"].split(os.pathsep)
    assert (Path(path[0]) / "server/simple/__main__.py").is_file()


def test_adapters_need_vllm(tmp_path: Path) -> None:
    """The simple engine has none, which is said before anything is started."""
    engine = EngineSettings(backend="transformers")
    with pytest.raises(ValidationError, match="adapters"):
        ServerSettings(model=tmp_path, engine=engine, adapters=AdapterSettings())


def test_an_operators_arguments_come_last(tmp_path: Path) -> None:
    """There they win over ours."""
    engine = EngineSettings(enforce_eager=False, kv_cache_bytes=None, arguments=("--seed", "7"))
    words = launch.command(ServerSettings(model=tmp_path, engine=engine), SOCKET, "engine")
    assert words[-2:] == ["--seed", "7"]
    assert "--enforce-eager" not in words
    assert "--kv-cache-memory-bytes" not in words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GALEN_KEY", "secret"),
        (KEYS_VARIABLE, "secret"),
        ("GALEN_ENGINE_KEY", "secret"),
        ("DEEPSEEK_API_KEY", "secret"),
        ("VLLM_API_KEY", "secret"),
        ("HF_TOKEN", "secret"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("PGPASSWORD", "secret"),
        ("MYSQL_PWD", "secret"),
        ("DB_PASS", "secret"),
        ("GITHUB_PAT", "secret"),
        ("HUGGINGFACETOKEN", "secret"),
        ("MYKEY", "secret"),
        ("LDAP_BIND", "secret"),
        ("AZURE_STORAGE_CONNECTION_STRING", "secret"),
        ("JUDGE_AUTHORIZATION", "secret"),
        ("VLLM_S3_SECRET", "secret"),
        ("VLLM_HF_TOKEN", "secret"),
        ("VLLM_DB_PASS", "secret"),
        ("google_application_credentials", "secret"),
        ("JUDGE_DATABASE_URL", "postgresql://galen:secret@db/galen"),
        ("VLLM_CACHE_ROOT", "s3://galen:secret@store/cache"),
        ("HTTPS_PROXY", "http://proxy:3128"),
    ],
)
def test_the_engine_gets_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Keys, tokens and passwords stay with those who need them, whatever bears them."""
    monkeypatch.setenv(name, value)
    assert name not in launch.environment(ServerSettings(model=tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LD_PRELOAD", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES", "LC_ALL"),
        *("VLLM_MAX_BAD_WORDS_TOTAL_TOKENS", "VLLM_MULTI_STREAM_GEMM_TOKEN_THRESHOLD"),
    ],
)
def test_the_engine_keeps_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What Python, torch and CUDA read, and an operator's settings of vLLM."""
    monkeypatch.setenv(name, "7")
    assert launch.environment(ServerSettings(model=tmp_path))[name] == "7"


def test_an_operator_may_choose_how_threads_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU that others share they sleep; on one of its own, spinning is a little quicker."""
    settings = ServerSettings(model=tmp_path)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert launch.environment(settings).get("OMP_WAIT_POLICY") in ("passive", None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert launch.environment(settings)["OMP_WAIT_POLICY"] == "active"


def test_the_engine_asks_no_hub_and_has_the_routes_that_it_needs(tmp_path: Path) -> None:
    """It loads from a folder, and takes adapters while it runs only where they are served."""
    environment = launch.environment(ServerSettings(model=tmp_path))
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in environment
