"""The demo model: a Qwen3 of about a million parameters with a tokenizer of its own.

It knows nothing until SFT has trained it. It exists so that the whole loop can be rehearsed on a
laptop; what it says is worthless as medicine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from galen.transcript import THINK_CLOSE, THINK_OPEN
from trainer.data import reader
from trainer.data.example import Kind
from trainer.recipes import DemoModel, Founding, Tuning

START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"
_SPECIAL = (PADDING, START_OF_TURN, END_OF_TURN)
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def start(recipe: Tuning, kind: Kind) -> Path:
    """The folder of a run's new model; it is made once, so that a resumed run starts from it."""
    assert isinstance(recipe, Founding)
    assert recipe.demo_model
    folder = recipe.folder / "start"
    if not folder.is_dir():
        draft = recipe.folder / ".start.partial"
        shutil.rmtree(draft, ignore_errors=True)
        build(recipe.demo_model, texts(recipe, kind), draft, recipe.seed)
        draft.rename(folder)
    return folder


def texts(recipe: Founding, kind: Kind) -> list[str]:
    """What the tokenizer is learnt from: the rows to train on."""
    return reader.read(
        recipe.train, kind, lambda each: each.text or f"{each.question}\n{each.answer}"
    )


def build(shape: DemoModel, texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write a freshly initialised model and a tokenizer learnt from `texts` into `folder`."""
    tokenizer = train_tokenizer(texts, shape.vocabulary)
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(_config(shape, tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A BPE tokenizer over whole characters with Qwen3's turn and reasoning tokens.

    Tokens are the characters and recurring phrases of `texts`; what never occurred there falls back
    to bytes, so that every text round-trips. A model so small would often tear characters apart if
    they were bytes to begin with.
    """
    # As in Qwen3, the reasoning tags are single tokens that stay visible when text is decoded.
    tags = [AddedToken(t, special=False, normalized=False) for t in (THINK_OPEN, THINK_CLOSE)]
    bpe = Tokenizer(_model(list(texts), vocabulary - len(_SPECIAL) - len(tags)))
    bpe.pre_tokenizer = _clauses()
    bpe.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    bpe.add_special_tokens(list(_SPECIAL))
    bpe.add_tokens(tags)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        extra_special_tokens=[START_OF_TURN],
        chat_template=CHAT_TEMPLATE.read_text("utf-8"),
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def _model(texts: Sequence[str], size: int) -> models.BPE:
    """Merges learnt from `texts`, and the 256 byte tokens that unknown characters fall back to."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _clauses()
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size - 256, min_frequency=3, max_token_length=8, show_progress=False
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    vocabulary = dict(learnt["vocab"])
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    merges = [tuple(pair) for pair in learnt["merges"]]
    return models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True)


def _clauses() -> pre_tokenizers.PreTokenizer:
    """No token reaches over a punctuation mark or a line break."""
    return pre_tokenizers.Split(Regex(r"[\s，。！？：；、]"), "isolated")


def _config(shape: DemoModel, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.hidden * 3,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
