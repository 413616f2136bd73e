"""What vLLM is told of reasoning, answers and grammars, on real templates and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from galen.transcript import THINK_CLOSE, THINK_OPEN, Opening, parse
from server.engines.plugins.reasoning import TemplateReasoning

_TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
_BEGIN = "{% if add_generation_prompt %}<|im_start|>assistant\n"
PLAIN = f"{_TURNS}{_BEGIN}{{% endif %}}"
"""Knows of no thoughts, as Qwen2.5's."""
OPENED = f"{_TURNS}{_BEGIN}<think>\n{{% endif %}}"
"""Opens the thought in the prompt, as DeepSeek-R1's."""
SWITCHED = (
    f"{_TURNS}{_BEGIN}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
"""Thinks unless it is switched off, as Qwen3's."""
OFF = {"enable_thinking": False, "add_generation_prompt": True, "continue_final_message": False}
QWEN3 = Path(__file__).parents[5] / "shared" / "data" / "qwen3_tokenizer"
ASK = [{"role": "user", "content": "What does <think> mean? 头痛"}]


def toy_tokenizer(*, tags: bool, special: bool = False) -> Any:
    """One token a byte, and one for each tag where the vocabulary has `tags`."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    toy = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    toy.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    toy.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=toy, eos_token="<|im_end|>")
    if tags:
        made.add_tokens([THINK_OPEN, THINK_CLOSE], special_tokens=special)
    return made


@pytest.fixture(scope="module", params=["tags are tokens", "tags are letters", "Qwen3"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param != "Qwen3":
        return toy_tokenizer(tags=request.param == "tags are tokens")
    if not QWEN3.is_dir():
        pytest.skip("Qwen3's tokenizer is not beside this checkout (../shared/data)")
    return AutoTokenizer.from_pretrained(QWEN3)


def reader(
    tokenizer: Any, template: str, switches: dict[str, Any] | None, *, in_core: bool = False
) -> TemplateReasoning:
    tokenizer.chat_template = template
    return TemplateReasoning(tokenizer, switches, in_core=in_core)


def prompt_ids(tokenizer: Any, switches: dict[str, Any]) -> list[int]:
    shown = {**switches, "add_generation_prompt": True}
    return list(tokenizer.apply_chat_template(ASK, return_dict=True, **shown)["input_ids"])


CASES = [
    (PLAIN, {}, Opening.NOTHING, True),
    (PLAIN, {"enable_thinking": True}, Opening.NOTHING, True),
    (OPENED, {}, Opening.THOUGHT, False),
    (SWITCHED, {}, Opening.NOTHING, False),
    (SWITCHED, OFF, Opening.CLOSED, True),
]


@pytest.mark.parametrize(("template", "switches", "opening", "constrained"), CASES)
def test_a_grammar_holds_from_the_first_token_unless_a_thought_comes_before_it(
    tokenizer: Any, template: str, switches: dict[str, Any], opening: Opening, constrained: bool
) -> None:
    """The template says so before there is a prompt, and the prompt says the same."""
    core = reader(tokenizer, template, switches, in_core=True)
    assert (core.opening, core.starts_constrained()) == (opening, constrained)
    assert core.is_reasoning_end(prompt_ids(tokenizer, switches)) is constrained
    assert core.opening is opening


@pytest.mark.parametrize("tokenizer", ["Qwen3"], indirect=True)
@pytest.mark.parametrize(
    ("switches", "opening", "constrained"),
    [
        ({}, Opening.NOTHING, False),
        ({"enable_thinking": True}, Opening.NOTHING, False),
        (OFF, Opening.CLOSED, True),
    ],
)
def test_qwen3s_own_template_is_read_in_both_positions_of_its_switch(
    tokenizer: Any, switches: dict[str, Any], opening: Opening, constrained: bool
) -> None:
    """Qwen3 opens nothing where it may think, and an empty thought where it may not."""
    own = json.loads((QWEN3 / "tokenizer_config.json").read_text("utf-8"))["chat_template"]
    core = reader(tokenizer, own, switches, in_core=True)
    assert (core.opening, core.starts_constrained()) == (opening, constrained)
    assert core.is_reasoning_end(prompt_ids(tokenizer, switches)) is constrained


def test_a_prompt_of_no_conversation_is_constrained_at_once(tokenizer: Any) -> None:
    """What `/v1/completions` is asked for is no chat, even if the model has a template."""
    core = reader(tokenizer, SWITCHED, None, in_core=True)
    assert core.is_reasoning_end(tokenizer.encode("JSON:", add_special_tokens=False))
    assert not core.is_reasoning_end(tokenizer.encode("<think>\n", add_special_tokens=False))


@pytest.mark.parametrize(("template", "switches", "opening", "constrained"), CASES)
def test_the_api_server_looks_for_a_thought_in_every_text(
    tokenizer: Any, template: str, switches: dict[str, Any], opening: Opening, constrained: bool
) -> None:
    """A model may think although its template knows nothing of it: whole and in pieces alike."""
    for text in ("<think>想</think>答", "想</think>答", "答 ", "<think>想"):
        whole = reader(tokenizer, template, switches)
        assert not whole.is_reasoning_end(prompt_ids(tokenizer, switches))
        reasoning, answer = whole.extract_reasoning(text, SimpleNamespace())
        expected = parse(text, opening)
        assert (reasoning or "", (answer or "").strip()) == (expected.reasoning, expected.answer)
        stream = reader(tokenizer, template, switches)
        pieces = [*map(stream.feed, text), stream.finish()]
        assert "".join(piece.reasoning for piece in pieces) == (reasoning or "")
        assert "".join(piece.answer for piece in pieces) == (answer or "")


def test_every_choice_goes_on_from_the_prompt(tokenizer: Any) -> None:
    """vLLM has one parser a choice, and shows the prompt to the first one alone."""
    first, second, other = (reader(tokenizer, PLAIN, {}) for _ in range(3))
    prompt = "<|im_start|>assistant\n<think>\nso"
    first.is_reasoning_end(tokenizer.encode(prompt, add_special_tokens=False))
    request = SimpleNamespace()
    for parser in (first, second):
        assert parser.extract_reasoning("far</think>答", request) == ("far", "答")
    forged = SimpleNamespace(galen_opening="thought")
    assert other.extract_reasoning("far</think>答", forged) == (None, "far</think>答")


@pytest.mark.parametrize(
    ("template", "text", "answer"),
    [(PLAIN, "", ""), (PLAIN, "<think>想", None), (PLAIN, "<think>想</think>", None)],
)
def test_content_is_null_only_after_a_thought(
    tokenizer: Any, template: str, text: str, answer: str | None
) -> None:
    """A model that says nothing at all has said the empty string, as in OpenAI's API."""
    assert reader(tokenizer, template, {}).extract_reasoning(text, SimpleNamespace())[1] == answer


@pytest.mark.parametrize(("template", "switches", "opening", "constrained"), CASES)
@pytest.mark.parametrize("field", ["response_format", "structured_outputs", "tools", None])
def test_a_chats_grammar_is_let_loose_where_no_thought_comes(
    tokenizer: Any,
    template: str,
    switches: dict[str, Any],
    opening: Opening,
    constrained: bool,
    field: str | None,
) -> None:
    """Without it the first tokens of a model that never thinks would be free."""
    request = SimpleNamespace(_grammar_from_parser=False, **({field: [1]} if field else {}))
    adjusted = reader(tokenizer, template, switches).adjust_request(request)
    assert adjusted._grammar_from_parser is (constrained and field is not None)


def test_tags_that_are_special_tokens_stay_in_the_text() -> None:
    """Else vLLM would leave them out, and nothing would tell the thought from the answer."""
    for special in (True, False):
        request = SimpleNamespace(skip_special_tokens=True)
        reader(toy_tokenizer(tags=True, special=special), PLAIN, {}).adjust_request(request)
        assert request.skip_special_tokens is not special


@given(st.text(alphabet="ab想<>/think ", max_size=12), st.integers(1, 4))
def test_the_end_of_a_thought_is_seen_in_the_new_tokens(text: str, size: int) -> None:
    """Once, in the step that brings the last token of the tag, whether it is one token or eight."""
    for tags in (True, False):
        toy = toy_tokenizer(tags=tags)
        core = reader(toy, OPENED, {}, in_core=True)
        before = toy.encode(f"{THINK_OPEN}{text.replace(THINK_CLOSE, '')}")
        ids = [*before, *toy.encode(f"{THINK_CLOSE} b")]
        seen = [
            end
            for end in range(size, len(ids) + size, size)
            if core.is_reasoning_end_streaming(ids[:end], ids[end - size : end])
        ]
        assert seen[0] >= len(before)
        assert THINK_CLOSE in toy.decode(ids[: seen[0]])


@pytest.mark.parametrize(
    ("template", "text", "tokens"),
    [
        (PLAIN, "answer", 0),
        (PLAIN, "<think>abc</think>answer", 3),
        (OPENED, "abc</think>answer", 3),
        (OPENED, "abc", 3),
    ],
)
def test_reasoning_tokens_are_those_between_the_tags(template: str, text: str, tokens: int) -> None:
    """Counted whether or not the vocabulary has the tags as tokens."""
    for tags in (True, False):
        toy = toy_tokenizer(tags=tags)
        whole = reader(toy, template, {})
        whole.extract_reasoning(text, SimpleNamespace())
        assert whole.count_reasoning_tokens(toy.encode(text)) == tokens


def test_the_answers_tokens_begin_after_the_tag() -> None:
    """In the step in which a thought ends, vLLM's tool parser gets what comes after it."""
    toy = toy_tokenizer(tags=True)
    parser = reader(toy, OPENED, {})
    assert parser.extract_content_ids(toy.encode("ab</think>c")) == toy.encode("c")
    assert parser.extract_content_ids(toy.encode("c")) == toy.encode("c")


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{% if %}", None])
def test_a_template_that_cannot_be_rendered_opens_nothing(template: str | None) -> None:
    """The parser is made before the conversation is refused, and must not fail first."""
    toy = toy_tokenizer(tags=True)
    toy.chat_template = template
    assert TemplateReasoning(toy, {}, in_core=False).opening is Opening.NOTHING
