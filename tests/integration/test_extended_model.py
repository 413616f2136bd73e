"""A model with domain words as tokens is served like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from server.settings import EngineSettings
from tests.integration.real_server import (
    VLLM_FIRST,
    Backend,
    gap,
    logprobs_of,
    running,
    settings_for,
)
from trainer.extend_tokenizer import extend

pytestmark = [pytest.mark.engine, pytest.mark.prove]
WORDS = ["胸主动脉", "心绞痛发作"]
TEXT = "患者胸主动脉，心绞痛发作三天，建议尽快就医。"


@pytest.mark.parametrize("backend", VLLM_FIRST)
def test_the_engine_reads_the_new_tokens_as_the_trainer_does(
    tmp_path: Path, backend: Backend
) -> None:
    """As few tokens for a text, and the same log-probabilities for them."""
    settings = settings_for(tmp_path, engine=EngineSettings(backend=backend))
    model = tmp_path / "extended"
    extend(settings.model, WORDS, model)
    ids = AutoTokenizer.from_pretrained(model)(TEXT)["input_ids"]
    with running(settings.model_copy(update={"model": model})) as server:
        answer = server.complete("base", prompt=ids, prompt_logprobs=0).raise_for_status().json()
        read = server.complete("base", prompt=TEXT).raise_for_status().json()["usage"]
    rows = zip(answer["choices"][0]["prompt_logprobs"][1:], ids[1:], strict=True)
    served = [row[str(token)]["logprob"] for row, token in rows]
    (own,) = logprobs_of(AutoModelForCausalLM.from_pretrained(model), [ids])
    assert read["prompt_tokens"] == len(ids)
    assert gap(served, own) < 0.02
