"""The demo model: a Qwen3 of about two million parameters with a tokenizer of its own.

It knows nothing until SFT has trained it. It exists so that the whole loop can be rehearsed on a
laptop; what it says is worthless as medicine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from galen.transcript import THINK_CLOSE, THINK_OPEN
from trainer.recipes import DemoModel

END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def build(shape: DemoModel, texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write a freshly initialised model and a tokenizer learnt from `texts` into `folder`."""
    tokenizer = train_tokenizer(texts, shape.vocabulary)
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(_config(shape, tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with Qwen3's turn and reasoning tokens: every text round-trips."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = [PADDING, "<|im_start|>", END_OF_TURN]
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary - 2,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    # As in Qwen3, the reasoning tags are single tokens that stay visible when text is decoded.
    bpe.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in (THINK_OPEN, THINK_CLOSE)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        extra_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE.read_text("utf-8"),
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


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
