"""Laws of the policy's tensors, on a toy Qwen3 that is made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from galen import transcript
from galen.errors import Conflict, RecipeError
from trainer import demo_model, model
from trainer.merge import merge
from trainer.model import (
    add_lora,
    completion_ids,
    completion_logprobs,
    load_policy,
    load_tokenizer,
    merged_state,
    pack,
    prompt_ids,
)
from trainer.recipes import DemoModel, Lora

TEXTS = ["头痛两天怎么办？建议尽快就医检查。"] * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "model"
    demo_model.build(DemoModel(vocabulary=400, hidden=64, layers=2), TEXTS, path, seed=3)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_every_text_round_trips_through_the_demo_tokenizer(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    """Characters that the corpus lacks fall back to bytes and come back whole."""
    if any(token in text for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")):
        return
    assert text == tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_prompt_and_completion_are_the_template_of_the_whole_conversation(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """What SFT trains on is what the chat template writes, token for token."""
    said = transcript.of("先看有无危险信号。", "建议就医。")
    parts = prompt_ids(tokenizer, "头痛？", "你是医生") + completion_ids(tokenizer, said)
    messages = [
        {"role": "system", "content": "你是医生"},
        {"role": "user", "content": "头痛？"},
        {"role": "assistant", "content": said.render()},
    ]
    whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    assert parts == whole[: len(parts)]
    assert tokenizer.decode(whole[len(parts) :]) == "\n"


def test_earlier_reasoning_is_left_out_of_a_longer_conversation(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """As in Qwen3, only what follows the last question keeps its reasoning."""
    messages = [
        {"role": "user", "content": "头痛？"},
        {"role": "assistant", "content": "<think>\n想\n</think>\n\n就医"},
        {"role": "user", "content": "还有？"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert "<think>" not in text
    assert text.endswith("<|im_start|>assistant\n")


def test_logprobs_of_a_padded_batch_are_those_of_each_row_alone(folder: Path) -> None:
    """Padding and other rows change nothing, and padding itself is 0."""
    policy = load_policy(folder).eval()
    prompts, completions = [[1, 2, 3], [4]], [[5, 6], [7, 8, 9, 10]]
    with torch.no_grad():
        batch_BC = completion_logprobs(policy, pack(prompts, completions, pad=0))
        for row, (p, c) in enumerate(zip(prompts, completions, strict=True)):
            logits = policy(input_ids=torch.tensor([p + c])).logits[0].log_softmax(-1)
            alone = [float(logits[len(p) - 1 + t, token]) for t, token in enumerate(c)]
            assert batch_BC[row, : len(c)].tolist() == pytest.approx(alone, abs=1e-4)
            assert not batch_BC[row, len(c) :].any()


def test_a_head_in_chunks_gives_the_same_logprobs_and_gradients(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three completion tokens at a time, or all at once."""
    batch = pack([[1, 2, 3], [4]], [[5, 6], [7, 8, 9, 10]], pad=0)
    found = []
    for tokens in (3, 100):
        monkeypatch.setattr(model, "MOST_LOGITS", tokens * 400)
        policy = load_policy(folder, train_all=True)
        logprobs_BC = completion_logprobs(policy, batch, temperature=0.7)
        logprobs_BC.square().sum().backward()
        gradients = [weight.grad.flatten() for weight in policy.parameters()]
        found.append((logprobs_BC.detach(), torch.cat(gradients)))
    torch.testing.assert_close(*found)


def moved_adapter(folder: Path) -> PeftModel:
    """The toy with an adapter that changes what it says."""
    torch.manual_seed(0)
    policy = add_lora(load_policy(folder), Lora(r=8, alpha=16, dropout=0.0))
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return policy.eval()


def test_merging_keeps_every_logit(folder: Path, tmp_path: Path) -> None:
    """The merged folder loads by path alone and says what base and adapter say together."""
    policy = moved_adapter(folder)
    policy.save_pretrained(tmp_path / "adapter")
    out = merge([tmp_path / "adapter"], tmp_path / "merged", base=folder)
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(out)(input_ids=ids).logits
        assert torch.allclose(policy(input_ids=ids).logits, merged, atol=1e-4)
    assert load_tokenizer(out).chat_template == load_tokenizer(folder).chat_template
    with pytest.raises(Conflict, match="already there"):
        merge([tmp_path / "adapter"], out, base=folder)


def test_the_merged_state_equals_pefts_own_merge(folder: Path, tmp_path: Path) -> None:
    """Publishing leaves the policy as it is and still gives what `merge_and_unload` gives."""
    policy = moved_adapter(folder)
    state = merged_state(policy)
    policy.save_pretrained(tmp_path / "adapter")
    merged = load_file(
        merge([tmp_path / "adapter"], tmp_path / "out", base=folder) / "model.safetensors"
    )
    for name, tensor in merged.items():
        assert torch.allclose(state[name], tensor, atol=1e-5), name
    assert any(module.__class__.__name__ == "Linear" for module in policy.modules())


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    """The message says which folder and what to do."""
    with pytest.raises(RecipeError, match=str(tmp_path)):
        load_policy(tmp_path)


@pytest.mark.parametrize("broken", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_corrupt_adapter_is_refused_in_one_line(
    folder: Path, tmp_path: Path, broken: str
) -> None:
    """The message names the adapter, and nothing is written."""
    moved_adapter(folder).save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / broken).write_bytes(b"{")
    with pytest.raises(RecipeError, match="adapter"):
        merge([tmp_path / "adapter"], tmp_path / "out", base=folder)
    assert not (tmp_path / "out").exists()


def test_a_conversation_without_tools_has_no_word_about_them(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """What SFT writes and what is served to a plain question is the same, tools or no tools."""
    messages = [
        {"role": "system", "content": "你是医生"},
        {"role": "user", "content": "头痛？"},
        {"role": "assistant", "content": "就医"},
    ]
    expected = (
        "<|im_start|>system\n你是医生<|im_end|>\n<|im_start|>user\n头痛？<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n就医<|im_end|>\n"
    )
    for none in (None, []):
        text = tokenizer.apply_chat_template(messages, tools=none, tokenize=False)
        assert text == expected


def test_tools_are_offered_called_and_answered_in_turns(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Offers stand below the instruction, a call in the assistant's turn, results in one of the
    user's; a call's arguments are JSON, whether they come as text or as an object."""
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "北京"}}}
    again = {"type": "function", "function": {"name": "weather", "arguments": '{"city": 1}'}}
    messages = [
        {"role": "system", "content": "你是医生"},
        {"role": "user", "content": "天气？"},
        {"role": "assistant", "content": "查一下", "tool_calls": [call, again]},
        {"role": "tool", "content": "晴"},
        {"role": "tool", "content": "无"},
    ]
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    text = tokenizer.apply_chat_template(
        messages, tools=[tool], tokenize=False, add_generation_prompt=True
    )
    instruction, _, turns = text.partition("<|im_start|>user\n天气？<|im_end|>\n")
    assert instruction.startswith("<|im_start|>system\n你是医生\n\n# Tools\n")
    assert f"<tools>\n{json.dumps(tool)}\n</tools>" in instruction
    assert turns == (
        "<|im_start|>assistant\n<think>\n\n</think>\n\n查一下\n"
        '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"city": 1}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n晴\n</tool_response>\n"
        "<tool_response>\n无\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
