"""Laws of a tokenizer that learns domain words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from galen.errors import Conflict, InvalidInput, RecipeError
from trainer import extend_tokenizer as extending
from trainer.fit import ADAPTER_CONFIG

QWEN = Path(__file__).parents[3] / "shared" / "data" / "qwen3_tokenizer"
WORDS = ["心绞痛发作", "胸主动脉", "metoprolol"]
TEXT = "头痛两天了，怎么办？"
"""Without any of the words."""


def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)


def logits(folder: Path, text: str) -> tuple[list[int], torch.Tensor]:
    tokenizer, model = loaded(folder)
    ids = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return ids["input_ids"][0].tolist(), model(**ids).logits[0]


def remade(toy: Path, folder: Path, **config: Any) -> Path:
    """The toy with other settings and fresh weights."""
    tokenizer, model = loaded(toy)
    for name, value in config.items():
        setattr(model.config, name, value)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(model.config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=["tied", "untied", "spare rows"])
def base(request: pytest.FixtureRequest, toy: Path, tmp_path: Path) -> Path:
    if request.param == "tied":
        return toy
    if request.param == "untied":
        return remade(toy, tmp_path / "base", tie_word_embeddings=False)
    return remade(toy, tmp_path / "base", vocab_size=len(loaded(toy)[0]) + 5)


def test_a_word_begins_as_the_mean_of_its_pieces(base: Path, tmp_path: Path) -> None:
    """In the embeddings, and in the output head where that is another tensor."""
    found = extending.extend(base, WORDS, tmp_path / "out")
    assert found.added == tuple(WORDS)
    (before, old), (after, new) = loaded(base), loaded(tmp_path / "out")
    assert len(after) == found.tokens_after == found.tokens_before + 3 == len(before) + 3
    assert new.config.vocab_size == max(old.config.vocab_size, len(after))
    for word in WORDS:
        (id,), pieces = after(word)["input_ids"], before(word)["input_ids"]
        for name in ("get_input_embeddings", "get_output_embeddings"):
            was, now = (getattr(model, name)().weight for model in (old, new))
            assert torch.allclose(now[id], was[pieces].mean(dim=0), atol=1e-6)


def test_text_without_the_words_reads_as_before(base: Path, tmp_path: Path) -> None:
    """The same ids, and for every old token the same logit; all are finite."""
    extending.extend(base, WORDS, tmp_path / "out")
    (old_ids, old), (ids, new) = logits(base, TEXT), logits(tmp_path / "out", TEXT)
    known = len(AutoTokenizer.from_pretrained(base))
    assert ids == old_ids
    assert torch.equal(new[:, :known], old[:, :known])
    assert torch.isfinite(logits(tmp_path / "out", "".join(WORDS))[1]).all()


def test_text_with_the_words_takes_fewer_tokens(toy: Path, tmp_path: Path) -> None:
    """A word in Latin letters counts only where it stands alone; the longest word wins."""
    extending.extend(toy, [*WORDS, "心绞痛", "mg"], tmp_path / "out")
    before, after = (AutoTokenizer.from_pretrained(each) for each in (toy, tmp_path / "out"))
    text = "心绞痛发作时"
    assert after.tokenize(text)[0] == "心绞痛发作"
    rate = extending.tokens_per_character
    assert rate(after, text) < rate(before, text)
    assert "mg" not in after.tokenize("smgx")
    assert "mg" in after.tokenize("5 mg,")
    assert after.decode(after(text)["input_ids"]) == text


def test_words_that_are_tokens_already_are_left(toy: Path, tmp_path: Path) -> None:
    """They are named; a list of nothing else is refused."""
    assert extending.extend(toy, ["头痛", "胸主动脉"], tmp_path / "out").known == ("头痛",)
    with pytest.raises(InvalidInput, match="nothing to add"):
        extending.extend(toy, ["头痛"], tmp_path / "other")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("心 绞痛", "holds white space"),
        ("字" * 33, "longer than 32"),
        ("痛<|im_end|>", r"holds the mark <\|im_end\|>"),
        ("想<think>想", "holds the mark <think>"),
    ],
)
def test_what_can_be_no_token_is_refused(toy: Path, tmp_path: Path, word: str, reason: str) -> None:
    """All at once, before any weights are read."""
    with pytest.raises(InvalidInput, match=reason):
        extending.extend(toy, [word, "胸主动脉"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes alone, as the base of Qwen's and GPT-2's tokenizers."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe = Tokenizer(models.BPE({each: n for n, each in enumerate(sorted(alphabet))}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


def test_a_word_that_would_not_be_read_back_is_refused() -> None:
    """A byte-level tokenizer takes the letters of such a word for bytes when it decodes."""
    tokenizer = byte_tokenizer()
    extending.add_words(tokenizer, ["心绞痛"])
    with pytest.raises(InvalidInput, match="'café': the tokenizer would not read them back"):
        extending.add_words(tokenizer, ["café"])


def test_what_is_no_plain_model_is_refused(toy: Path, tmp_path: Path) -> None:
    """An adapter, a quantised model, an empty folder; each says what to do."""
    out = tmp_path / "out"
    with pytest.raises(RecipeError, match="no model there"):
        extending.extend(tmp_path, WORDS, out)
    (tmp_path / ADAPTER_CONFIG).write_text("{}")
    with pytest.raises(RecipeError, match="merge it first"):
        extending.extend(tmp_path, WORDS, out)
    quantised = tmp_path / "quantised"
    shutil.copytree(toy, quantised)
    config = json.loads((quantised / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq"}
    (quantised / "config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError, match="is quantised"):
        extending.extend(quantised, WORDS, out)


def test_a_folder_that_is_not_empty_is_not_written_over(toy: Path, tmp_path: Path) -> None:
    """Neither is a file."""
    with pytest.raises(Conflict, match="already there"):
        extending.extend(toy, WORDS, toy)


def test_more_words_than_tokens_are_refused(toy: Path) -> None:
    """Nobody's domain has so many; the list is some dictionary."""
    tokenizer = AutoTokenizer.from_pretrained(toy)
    words = [f"词{n}号" for n in range(len(tokenizer) + 1)]
    with pytest.raises(InvalidInput, match="choose the frequent ones"):
        extending.pieces_of(tokenizer, words)


def test_a_word_list_has_comments_and_no_doubles(tmp_path: Path) -> None:
    """One word a line."""
    path = tmp_path / "words.txt"
    path.write_text("# heart\n心绞痛\n\n胸主动脉 \n心绞痛\n", "utf-8")
    assert extending.read_words(path) == ["心绞痛", "胸主动脉"]


@pytest.fixture(scope="module")
def qwen() -> Any:
    if not QWEN.is_dir():
        pytest.skip(f"{QWEN} is not here: sample data for local runs")
    tokenizer = AutoTokenizer.from_pretrained(QWEN)
    extending.add_words(tokenizer, list(extending.pieces_of(tokenizer, WORDS)))
    return tokenizer


PARTS = st.lists(
    st.sampled_from([*WORDS, "心绞", "痛", " ", "metoprolo", "l", "\n", "é", "😀", "x"])
)


@given(parts=PARTS)
def test_every_text_comes_back_from_the_real_tokenizer(qwen: Any, parts: Sequence[str]) -> None:
    """Qwen3's, with the words in any surroundings."""
    text = "".join(parts)
    assert qwen.decode(qwen(text)["input_ids"], clean_up_tokenization_spaces=False) == text
