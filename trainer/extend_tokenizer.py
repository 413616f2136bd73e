"""A model whose tokenizer knows a list of domain words as single tokens.

A new word's embedding is the mean of those of the tokens that it was written in before, and so is
its row of the output head. The model then reads texts with the words nearly as before, in fewer
tokens; further training makes the new tokens its own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from galen.errors import Conflict, InvalidInput, RecipeError
from galen.records import read_text_lines
from trainer import fit

LONGEST = 32
"""Characters of a word; a longer one is a sentence."""
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Extension:
    added: tuple[str, ...]
    known: tuple[str, ...]
    """Words of the list that were single tokens before; nothing is done for them."""
    tokens_before: int
    tokens_after: int


def read_words(path: Path) -> list[str]:
    """One word a line; a line that begins with # is a comment. Raises `InvalidInput`."""
    lines = [line for line in read_text_lines(path) if not line.startswith("#")]
    return list(dict.fromkeys(lines))


def extend(base: Path, words: Sequence[str], out: Path) -> Extension:
    """Write the model in `base` to `out`, with `words` as tokens.

    Raises `InvalidInput`, which names every unusable word, `RecipeError` for a model that cannot be
    extended, `Conflict` if `out` is not empty.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise Conflict(f"{out}: already there; choose another folder or delete it")
    _require_extensible(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    before = len(tokenizer)
    pieces = pieces_of(tokenizer, words)
    known = tuple(word for word in words if word not in pieces)
    if not pieces:
        raise InvalidInput("every word of the list is a single token already; nothing to add")
    add_words(tokenizer, list(pieces))
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    grow(model, len(tokenizer), {tokenizer.convert_tokens_to_ids(w): p for w, p in pieces.items()})
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    if out.exists():
        out.rmdir()
    draft.rename(out)
    return Extension(tuple(pieces), known, before, len(tokenizer))


def pieces_of(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> dict[str, list[int]]:
    """Each word that is more than one token, with these tokens' ids.

    Raises `InvalidInput`, which names every word that can be no token.
    """
    marks = [str(mark) for mark in tokenizer.get_added_vocab()]
    pieces: dict[str, list[int]] = {}
    problems = []
    for word in words:
        ids = list(tokenizer(word, add_special_tokens=False)["input_ids"])
        if problem := _problem(tokenizer, word, ids, marks):
            problems.append(f"{word[:_SHOWN]!r}: {problem}")
        elif len(ids) > 1:
            pieces[word] = ids
    if problems:
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        lines = "\n".join(f"  {problem}" for problem in problems[:20])
        raise InvalidInput(f"{len(problems)} words can be no token\n{lines}{more}")
    if len(pieces) > len(tokenizer):
        raise InvalidInput(
            f"{len(pieces)} words are more than the tokenizer has tokens; choose the frequent ones"
        )
    return pieces


def add_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> None:
    """Make each word a token. One in Latin letters counts only where it stands alone.

    Raises `InvalidInput` for a word that the tokenizer could not read back.
    """
    tokenizer.add_tokens(
        [AddedToken(word, single_word=bool(re.search("[A-Za-z]", word))) for word in words]
    )
    broken = [word for word in words if not _comes_back(tokenizer, word)]
    if broken:
        named = ", ".join(repr(word[:_SHOWN]) for word in broken[:20])
        raise InvalidInput(f"{named}: the tokenizer would not read them back; leave them out")


def grow(model: nn.Module, size: int, pieces: dict[int, list[int]]) -> None:
    """Give the model rows for `size` tokens. Each id of `pieces` gets the mean of its pieces' rows,
    in the embeddings and, unless it is the same tensor, in the output head.

    Spare rows, as many models have behind their last token, are used first.
    """
    anyhow: Any = model
    embeddings = anyhow.get_input_embeddings().weight
    if size > embeddings.shape[0]:
        anyhow.resize_token_embeddings(size, mean_resizing=False)
    head = anyhow.get_output_embeddings()
    with torch.no_grad():
        for table in _tables(anyhow.get_input_embeddings(), head):
            for new, ids in pieces.items():
                table[new] = table[ids].float().mean(dim=0).to(table.dtype)


def tokens_per_character(tokenizer: PreTrainedTokenizerBase, text: str) -> float:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"]) / max(len(text), 1)


def _tables(embeddings: nn.Module, head: nn.Module | None) -> list[Tensor]:
    """The weights with a row for each token; tied ones once."""
    found = [embeddings.weight]
    if head is not None and head.weight is not embeddings.weight:
        found.append(head.weight)
    if head is not None and getattr(head, "bias", None) is not None:
        found.append(head.bias)
    return [table for table in found if isinstance(table, Tensor)]


def _require_extensible(base: Path) -> None:
    if (base / fit.ADAPTER_CONFIG).is_file():
        raise RecipeError(f"{base}: an adapter; merge it first: galen merge {base} OUT")
    if not (base / fit.MODEL_CONFIG).is_file():
        raise RecipeError(f"{base}: no model there ({fit.MODEL_CONFIG} is missing)")
    if fit.read_json(base / fit.MODEL_CONFIG).get("quantization_config"):
        raise RecipeError(f"{base}: is quantised; extend the model that it was made from")


def _problem(
    tokenizer: PreTrainedTokenizerBase, word: str, ids: list[int], marks: Sequence[str]
) -> str | None:
    if re.search(r"\s", word):
        return "holds white space; a token of this kind is one word"
    if len(word) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if held := next((mark for mark in marks if mark in word and mark != word), None):
        return f"holds the mark {held}"
    if not ids or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids):
        return "holds characters that the tokenizer does not know"
    return None


def _comes_back(tokenizer: PreTrainedTokenizerBase, word: str) -> bool:
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    return len(ids) == 1 and str(tokenizer.decode(ids)) == word
