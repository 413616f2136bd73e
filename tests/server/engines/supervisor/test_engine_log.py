"""What the problem says while the engine starts, and why it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.engines.supervisor.engine_log import STAGES, StartUp, last_error
from server.engines.supervisor.leash import FIRST_LINE

LOG = """\
Triton is installed, but doesn't include CPU backend. Disabling Triton.
(APIServer pid=1) INFO 11-21 18:51:39 [api_utils.py:286] non-default args: {'host': '127.0.0.1'}
(APIServer pid=1) INFO 11-21 18:51:39 [model.py:733] Resolved architecture: Qwen3ForCausalLM
(APIServer pid=1) WARNING 11-21 18:51:39 [vllm.py:1703] Enforce eager set, disabling torch.compile
(EngineCore pid=2) INFO 11-21 18:51:52 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with
(EngineCore pid=2) INFO 11-21 18:51:53 [cpu_model_runner.py:68] Starting to load model base...
Loading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?, ?it/s]
(EngineCore pid=2) INFO 11-21 18:51:53 [default_loader.py:501] Loading weights took 0.01 seconds
(EngineCore pid=2) INFO 11-21 18:51:54 [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens
(EngineCore pid=2) INFO 11-21 18:51:55 [core.py:402] init engine (profile, warmup model) took 1 s
(APIServer pid=1) INFO 11-21 18:51:56 [entry.py:140] Starting vLLM server on http://127.0.0.1:1
"""
"""As vLLM 0.32 writes it on a CPU, without lines that tell no stage."""


def test_stages_follow_the_log(tmp_path: Path) -> None:
    """Line by line, in the order in which vLLM goes through them."""
    file, start_up = tmp_path / "engine.log", StartUp(tmp_path / "engine.log")
    seen: list[str | None] = [start_up.stage]
    written = FIRST_LINE
    for line in LOG.encode().splitlines(keepends=True):
        written += line
        file.write_bytes(written)
        if (stage := start_up.stage) != seen[-1]:
            seen.append(stage)
    on_a_cpu = [words for _, words in STAGES if words not in ("compiling", "recording CUDA graphs")]
    assert seen == [None, *on_a_cpu]


def test_a_stage_is_not_forgotten_when_the_log_moves_on(tmp_path: Path) -> None:
    """The furthest counts, also once its line is out of sight."""
    file, start_up = tmp_path / "engine.log", StartUp(tmp_path / "engine.log")
    file.write_bytes(b"Starting to load model\n")
    assert start_up.stage == "loading the weights"
    file.write_bytes(FIRST_LINE + b"non-default args\n")
    assert start_up.stage == "loading the weights"


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (b"Starting to load model\n", "the engine is starting: loading the weights, 12 s"),
        (b"words that nobody knows\n", "the engine is starting for 12 s"),
    ],
)
def test_the_problem_in_words(tmp_path: Path, log: bytes, told: str) -> None:
    """With seconds; and with seconds alone where the log's words are not known."""
    (tmp_path / "engine.log").write_bytes(log)
    assert StartUp(tmp_path / "engine.log").describe(12.3) == told


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "its log is empty"),
        ("starting\nstill starting\n", "still starting"),
        (
            "(EngineCore pid=1) ERROR 11-21 12:00:00 [core.py:1] ValueError: No available memory\n"
            "(APIServer pid=2) RuntimeError: Engine core failed. See root cause above.\n",
            "ValueError: No available memory",
        ),
        (
            "ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, max_model_len (9) is too large\n"
            "    For further information visit a page\n",
            "ValidationError: 1 validation error for ModelConfig: "
            "Value error, max_model_len (9) is too large",
        ),
        ("usage: entry.py\nentry.py: error: unrecognized: --x\n", "error: unrecognized: --x"),
        (
            "OSError: [Errno 98] Address already in use\n"
            "(A pid=1) WARNING 11-21 12:00:00 [utils.py:1] fallback. Exception: no primitive\n",
            "OSError: [Errno 98] Address already in use",
        ),
    ],
)
def test_the_reason_is_the_last_error_that_is_no_consequence(
    tmp_path: Path, log: str, reason: str
) -> None:
    """Warnings are no errors, and 'see above' is no reason."""
    (tmp_path / "engine.log").write_text(log, "utf-8")
    assert last_error(tmp_path / "engine.log") == reason


def test_a_missing_log_is_said(tmp_path: Path) -> None:
    """Rather than raised."""
    assert last_error(tmp_path / "engine.log") == "it left no log"


def test_the_reason_is_found_behind_a_full_log(tmp_path: Path) -> None:
    """A log that was begun because the one before was full goes on with it; the log of another
    life does not."""
    (tmp_path / "engine.log.1").write_bytes(b"ValueError: the reason\n")
    (tmp_path / "engine.log").write_bytes(b"bye\n")
    assert last_error(tmp_path / "engine.log") == "ValueError: the reason"
    (tmp_path / "engine.log").write_bytes(FIRST_LINE + b"bye\n")
    assert last_error(tmp_path / "engine.log") == "bye"
