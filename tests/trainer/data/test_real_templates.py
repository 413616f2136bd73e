"""Qwen's own templates: what is served is what was trained, token for token.

The templates' texts are written here once more by hand, and what data, training, rollouts and
server make of a conversation is held against them. The tokenizers lie beside the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from galen import transcript
from server.engines.plugins.reasoning import TemplateReasoning
from server.simple.model import Model
from server.simple.protocol import ChatRequest
from server.simple.tokenizer import Tokenizer
from trainer import model
from trainer.data import tokens
from trainer.data.example import Message

BESIDE = Path(__file__).parents[4]
FOLDERS = {
    "Qwen3": BESIDE / "shared" / "data" / "qwen3_tokenizer",
    "Qwen2.5": Path(os.environ.get("GALEN_REAL_MODEL") or BESIDE / "models" / "qwen2.5-0.5b"),
}
DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
END = "<|im_end|>"


@dataclass(frozen=True)
class Turn:
    """A question with its answer, and what was thought in between, if anything."""

    question: str
    thought: str
    answer: str

    @property
    def written(self) -> str:
        """As a row of data has it."""
        thought = f"<think>\n{self.thought}\n</think>\n\n" if self.thought else ""
        return thought + self.answer


@dataclass(frozen=True)
class Family:
    name: str
    tokenizer: Any
    server: Tokenizer

    def prompt(self, system: str, before: Sequence[Turn], question: str) -> str:
        """The template's text, by hand. A client sends back answers without their thoughts."""
        if self.name == "Qwen2.5":
            system = system or DEFAULT
        said = [("system", system)] if system else []
        for turn in before:
            said += [("user", turn.question), ("assistant", turn.answer)]
        said.append(("user", question))
        shown = "".join(f"<|im_start|>{role}\n{text}{END}\n" for role, text in said)
        return f"{shown}<|im_start|>assistant\n"

    def completion(self, turn: Turn) -> str:
        """What the model is to write. Qwen3 writes a thought even where there is none."""
        if turn.thought or self.name == "Qwen3":
            return f"<think>\n{turn.thought}\n</think>\n\n{turn.answer}{END}"
        return f"{turn.answer}{END}"

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module", params=FOLDERS)
def family(request: pytest.FixtureRequest) -> Family:
    folder = FOLDERS[request.param]
    if not (folder / "tokenizer_config.json").is_file():
        pytest.skip(f"{request.param}'s tokenizer is not beside this checkout ({folder})")
    stand_in = SimpleNamespace(vocabulary=200_000, most=100_000, end_ids=frozenset())
    server = Tokenizer(folder, cast("Model", stand_in))
    return Family(request.param, AutoTokenizer.from_pretrained(folder), server)


LETTERS = "头痛两天怎么办？请就医。Ab 1%\n"
TAGGED = [*LETTERS, "<think>", "</think>", "`<answer>`", "\n\n"]
PLAIN = st.text(LETTERS, min_size=1, max_size=12).map(lambda text: text.strip() or "好")
TEXTS = st.lists(st.sampled_from(TAGGED), max_size=12).map(lambda parts: "".join(parts).strip())
TURNS = st.lists(st.builds(Turn, TEXTS, PLAIN | st.just(""), PLAIN), min_size=1, max_size=4)
SYSTEMS = PLAIN | st.just("")


def messages_of(system: str, turns: Sequence[Turn]) -> list[Message]:
    said = [Message("system", system)] if system else []
    for turn in turns:
        said += [Message("user", turn.question), Message("assistant", turn.written)]
    return said


def served(family: Family, system: str, before: Sequence[Turn], question: str) -> list[int]:
    """The prompt's token ids as the server has them, asked by a client that keeps the answers."""
    messages = [{"role": "system", "content": system}] if system else []
    for turn in before:
        messages += [
            {"role": "user", "content": turn.question},
            {"role": "assistant", "content": turn.answer, "reasoning": turn.thought or None},
        ]
    messages.append({"role": "user", "content": question})
    text = family.server.render(ChatRequest(model="policy", messages=messages))
    return family.server.prompt_ids(text, special=False)


@settings(max_examples=30)
@given(system=SYSTEMS, turns=TURNS)
def test_what_is_learnt_are_the_assistants_turns_after_the_prompts_that_are_served(
    family: Family, system: str, turns: list[Turn]
) -> None:
    """Of each turn the whole completion and nothing else, behind the server's very ids."""
    found = []
    for encoded in tokens.encode(family.tokenizer, messages_of(system, turns)):
        start = 0
        for part, is_learnt in tokens.parts(encoded.input_ids, encoded.completion_mask):
            if is_learnt:
                found.append((encoded.input_ids[:start], part))
            start += len(part)
    by_hand = [
        (
            family.ids(family.prompt(system, turns[:index], turn.question)),
            family.ids(family.completion(turn)),
        )
        for index, turn in enumerate(turns)
    ]
    assert found == by_hand
    assert [prompt for prompt, _ in found] == [
        served(family, system, turns[:index], turn.question) for index, turn in enumerate(turns)
    ]


@settings(max_examples=30)
@given(system=SYSTEMS, turns=TURNS)
def test_pairs_and_rollouts_have_the_same_prompt(
    family: Family, system: str, turns: list[Turn]
) -> None:
    """Preferences after it, PPO from it."""
    *before, last = turns
    asked = [*messages_of(system, before), Message("user", last.question)]
    by_hand = family.prompt(system, before, last.question)
    said = tokens.answered(family.tokenizer, asked, last.written)
    assert said == (by_hand, family.completion(last))
    assert tokens.prompt_ids(family.tokenizer, asked) == family.ids(by_hand)
    if not before:
        first = model.prompt_ids(family.tokenizer, last.question, system)
        assert first == family.ids(by_hand)


@settings(max_examples=30)
@given(turn=st.builds(Turn, TEXTS, PLAIN | st.just(""), PLAIN))
def test_what_was_learnt_is_read_back_as_the_data_had_it(family: Family, turn: Turn) -> None:
    """The server finds the thought and the answer again in the tokens, neither cut nor doubled."""
    learnt = family.ids(family.completion(turn))
    text = family.server.decode(learnt)
    prompt = family.prompt("", [], turn.question)
    read = transcript.parse(text, transcript.opening_of(prompt))
    assert (read.reasoning, read.answer) == (turn.thought, turn.answer)
    parser = TemplateReasoning(family.tokenizer, {}, in_core=False)
    reasoning, answer = parser.extract_reasoning(text, SimpleNamespace())
    assert ((reasoning or "").strip(), (answer or "").strip()) == (turn.thought, turn.answer)
