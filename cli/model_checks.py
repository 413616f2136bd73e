"""The two checks of `galen doctor` that need a model: its chat template and a tiny generation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from cli.checks import Check
from cli.stack import StackConfig
from cli.up import answers
from galen import transcript
from galen.errors import GalenError
from trainer import recipes
from trainer.demo_model import build
from trainer.model import completion_ids, load_tokenizer, prompt_ids
from trainer.recipes import DemoModel

QUESTION = "感冒了怎么办？"
SPOKEN = transcript.of("先看症状轻重。", "多休息；发热三天不退请就医。")


@contextmanager
def model_folder(stack: StackConfig) -> Iterator[Path | None]:
    """The stack's own model, or the one that it is made from; a toy if the demo model is not made
    yet; None if the model is missing."""
    logging.disable_progress_bar()
    loaded = [recipes.load(path) for path in stack.prepare if path.is_file()]
    starts = [recipe.model for recipe in loaded if recipe.model]
    for folder in (stack.server.model, *starts):
        if (folder / "config.json").is_file():
            yield folder
            return
    if starts or not loaded:
        yield None
        return
    with tempfile.TemporaryDirectory() as scratch:
        toy = DemoModel(vocabulary=400, hidden=64, layers=1, heads=1, kv_heads=1)
        build(toy, [QUESTION, SPOKEN.render()], Path(scratch), seed=0)
        yield Path(scratch)


def template(folder: Path) -> Check:
    """A transcript is the same after it was tokenized, decoded and parsed behind a prompt."""
    name = "chat template"
    try:
        tokenizer = load_tokenizer(folder)
        prompt = prompt_ids(tokenizer, QUESTION)
        written = completion_ids(tokenizer, SPOKEN)
        whole = tokenizer.decode([*prompt, *written])
        read = transcript.parse(tokenizer.decode(written, skip_special_tokens=True))
    except (GalenError, OSError, ValueError) as error:
        return Check(name, False, str(error), f"replace the tokenizer in {folder}")
    asked = whole.partition(transcript.THINK_OPEN)[0]
    if QUESTION not in asked:
        return Check(name, False, "the prompt does not hold the question", _TEMPLATE_ADVICE)
    if (read.reasoning, read.answer) != (SPOKEN.reasoning, SPOKEN.answer):
        return Check(name, False, "reasoning and answer do not come back", _TEMPLATE_ADVICE)
    return Check(name, True, "reasoning and answer come back as they went in")


_TEMPLATE_ADVICE = "use a Qwen3 tokenizer, whose template keeps <think> and </think>"


def generation(stack: StackConfig, folder: Path) -> Check:
    """A few tokens from the server if it is up, else from the model in this process."""
    url = stack.urls()["server"]
    return _ask_server(url) if answers(f"{url}/readyz") else _generate_here(folder)


def _ask_server(url: str) -> Check:
    key = os.environ.get("GALEN_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {
        "model": "policy",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 4,
    }
    try:
        response = httpx.post(
            f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
        )
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return Check("generation", False, f"{url} wants a key", "export GALEN_KEY=<a secret>")
        response.raise_for_status()
        tokens = int(response.json()["usage"]["completion_tokens"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        advice = "look into .galen/logs/server.log"
        return Check("generation", False, f"{url}: {type(error).__name__}", advice)
    return Check("generation", tokens > 0, f"{tokens} tokens from {url}")


def _generate_here(folder: Path) -> Check:
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    prompt = torch.tensor([prompt_ids(tokenizer, QUESTION)])
    with torch.inference_mode():
        written = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=4,
            min_new_tokens=4,
            do_sample=False,
        )
    tokens = written.shape[1] - prompt.shape[1]
    return Check("generation", tokens == 4, f"{tokens} tokens here; the server is not up")
