"""A model's scores of held-out rows, without a judge and without writing anything.

A language model is asked how likely it finds answers that others wrote, in nats per token, so that
long answers count as much as short ones. A reward model scores them. Both tell a better answer from
a worse one. Shapes: B sequences, T tokens, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from trl.trainer.utils import selective_log_softmax

from trainer.data import tokens
from trainer.data.example import Example
from trainer.data.tokens import Encoded
from trainer.model import load_policy, load_scorer, load_tokenizer

MOST_LOGITS = 2**28
"""Of one batch: a gigabyte in float32."""


@dataclass(frozen=True, slots=True)
class Scores:
    logprobs: list[float]
    """Mean log-probability of a token, for each answer to learn from; empty for a reward model."""
    margins: list[float]
    """For each pair: the better answer's score less the worse one's; a language model's score is
    its mean log-probability of a token."""


@torch.no_grad()
def score(folder: Path, examples: Sequence[Example], *, is_reward: bool) -> Scores:
    """The scores of the model in `folder`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(folder)
    model = (load_scorer(folder) if is_reward else load_policy(folder)).to(device).eval()
    measure = _rewards if is_reward else _mean_logprobs
    encoded = [list(tokens.sequences(tokenizer, example)) for example in examples]
    rows = [row for group in encoded for row in group]
    width = 1 if is_reward else len(tokenizer)
    found = iter(_measured(model, rows, int(tokenizer.pad_token_id), width, measure))
    logprobs, margins = [], []
    for example, group in zip(examples, encoded, strict=True):
        values = [next(found) for _ in group]
        if example.kind == "preference":
            margins.append(values[0] - values[1])
            logprobs.append(values[0])
        else:
            logprobs += values
    return Scores([] if is_reward else logprobs, margins)


Measure = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


def _measured(
    model: nn.Module, rows: Sequence[Encoded], pad: int, width: int, measure: Measure
) -> list[float]:
    """One figure a row. Rows of like length share a batch, so that little of it is padding."""
    device = next(model.parameters()).device
    values = [0.0] * len(rows)
    for batch in _batches([len(row.input_ids) for row in rows], width):
        total = max(len(rows[index].input_ids) for index in batch)
        ids_BT = torch.full((len(batch), total), pad)
        attention_BT, learnt_BT = torch.zeros_like(ids_BT), torch.zeros(ids_BT.shape)
        for place, index in enumerate(batch):
            length = len(rows[index].input_ids)
            ids_BT[place, :length] = torch.tensor(rows[index].input_ids)
            attention_BT[place, :length] = 1
            learnt_BT[place, :length] = torch.tensor(rows[index].completion_mask)
        found_B = measure(model, *(each.to(device) for each in (ids_BT, attention_BT, learnt_BT)))
        for index, value in zip(batch, found_B.tolist(), strict=True):
            values[index] = value
    return values


def _batches(lengths: Sequence[int], width: int, most: int = 16) -> Iterator[list[int]]:
    """Indices in the order of their lengths, in batches that fit `MOST_LOGITS`."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (
            len(batch) == most or (len(batch) + 1) * lengths[index] * width > MOST_LOGITS
        ):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _mean_logprobs(
    model: nn.Module, ids_BT: Tensor, attention_BT: Tensor, learnt_BT: Tensor
) -> Tensor:
    logits_BTV: Tensor = model(input_ids=ids_BT, attention_mask=attention_BT).logits
    logprobs_BT: Tensor = selective_log_softmax(logits_BTV[:, :-1].float(), ids_BT[:, 1:])
    learnt_BT = learnt_BT[:, 1:]
    return (logprobs_BT * learnt_BT).sum(dim=1) / learnt_BT.sum(dim=1)


def _rewards(model: nn.Module, ids_BT: Tensor, attention_BT: Tensor, _: Tensor) -> Tensor:
    rewards_B1: Tensor = model(input_ids=ids_BT, attention_mask=attention_BT).logits
    return rewards_B1[:, 0].float()
