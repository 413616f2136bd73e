"""EleutherAI's `lm-eval` as a client of the server, with the task files that the project ships.

It lives in an environment of its own, whose command `GALEN_LM_EVAL` names.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.real_server import KEYS, Server

pytestmark = [pytest.mark.engine, pytest.mark.prove, pytest.mark.timeout(600)]

ROWS = 3
FOREIGN = ("PYTHONPATH", "VIRTUAL_ENV")
"""Of this environment, and not of the harness's."""


def samples_of(
    server: Server, out: Path, model: str, route: str, task: str, *more: str
) -> list[dict[str, Any]]:
    """What the harness kept of each row."""
    command = os.environ.get("GALEN_LM_EVAL")
    if not command:
        pytest.skip("GALEN_LM_EVAL names no lm-eval; docs/evaluation.md says how to install it")
    arguments = f"model=policy,base_url={server.http.base_url}{route},num_concurrent=2"
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environment = {**kept, "OPENAI_API_KEY": KEYS["user"], "HF_HUB_OFFLINE": "1"}
    words = [
        *(command, "--model", model, "--model_args", ",".join([arguments, *more])),
        *("--include_path", "configs/lm-eval", "--tasks", task, "--limit", str(ROWS)),
        *("--gen_kwargs", "max_gen_toks=16", "--log_samples", "--output_path", str(out)),
        *(["--apply_chat_template"] if "chat" in model else []),
    ]
    environment["HF_HOME"] = str(out / "cache")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = out.rglob(f"samples_{task}_*.jsonl")
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return sorted(found, key=lambda row: int(row["doc_id"]))


def test_lm_eval_reads_the_letters_probability(server: Server, tmp_path: Path) -> None:
    """Through `local-completions`: what it read is what the server says of the same token."""
    tokenizer = f"tokenizer={server.model}"
    task, route = "galen_exam_choice", "/v1/completions"
    rows = samples_of(server, tmp_path, "local-completions", route, task, tokenizer)
    assert len(rows) == ROWS
    for row in rows:
        read = [float(answer[0][0]) for answer in row["resps"]]
        own = [ends_with(server, row["arguments"][key]) for key in row["arguments"]]
        assert read == pytest.approx(own, abs=1e-3)


def ends_with(server: Server, asked: dict[str, str]) -> float:
    """The log-probability of a choice after its context, in nats."""
    text = asked["arg_0"] + asked["arg_1"]
    answer = server.complete(
        prompt=text, max_tokens=1, echo=True, logprobs=1, add_special_tokens=False
    )
    logprobs: list[float] = answer.raise_for_status().json()["choices"][0]["logprobs"][
        "token_logprobs"
    ]
    return logprobs[-2]


def test_lm_eval_reads_what_the_model_writes(server: Server, tmp_path: Path) -> None:
    """Through `local-chat-completions`: its answers are those of the API to the same chats."""
    task, route = "galen_exam_written", "/v1/chat/completions"
    rows = samples_of(server, tmp_path, "local-chat-completions", route, task)
    assert len(rows) == ROWS
    for row in rows:
        messages = json.loads(row["arguments"]["gen_args_0"]["arg_0"][0])
        body = {"model": "policy", "messages": messages, "max_tokens": 16, "temperature": 0}
        answer = server.http.post(route, json=body).raise_for_status().json()
        assert row["resps"][0][0] == (answer["choices"][0]["message"]["content"] or "")
