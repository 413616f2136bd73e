"""The policy in the trainer: weights, tokenizer, chat prompt, adapters, log-probabilities.

Shapes: B sequences, T tokens of prompt and completion (padded on the right), C completion tokens,
H hidden units, N = B × C.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedTokenizerBase,
)
from trl.trainer.utils import (
    disable_dropout_in_model,
    entropy_from_logits,
    selective_log_softmax,
)

from galen.errors import RecipeError
from galen.transcript import Transcript
from trainer.memory import MOST_LOGITS
from trainer.recipes import Lora

M_MMAP_THRESHOLD = -3
"""Of glibc's `mallopt`."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`. Raises `RecipeError` if it has no chat template."""
    _require_model(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:
        raise RecipeError(
            f"{folder}: the tokenizer has no chat template; use a chat model's folder"
        )
    return tokenizer


def load_policy(
    folder: Path, *, train_all: bool = False, bits: Literal[4, 8] | None = None
) -> nn.Module:
    """The causal language model in `folder`, without dropout.

    On a GPU it is bf16, unless all of it is trained: bf16 would round small updates away. `bits`
    quantizes its linear layers, which needs CUDA.
    """
    _require_model(folder)
    model: nn.Module = AutoModelForCausalLM.from_pretrained(folder, **_loading(train_all, bits))
    return _made_ready(model)


def load_scorer(
    folder: Path, *, train_all: bool = False, bits: Literal[4, 8] | None = None
) -> nn.Module:
    """The model in `folder` with one score for a sequence, without dropout.

    A language model gets a new score head. The rest is as for `load_policy`.
    """
    tokenizer = load_tokenizer(folder)
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, pad_token_id=tokenizer.pad_token_id, **_loading(train_all, bits)
    )
    return _made_ready(model)


def prefers_bf16(model: nn.Module) -> bool:
    """Whether bfloat16 is quicker here: on a GPU, or on a CPU that has it for a real model.

    A model of a few million parameters loses more by the casts than it wins.
    """
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return torch.cuda.is_available() or bool(has_bf16 and _is_real(model))


def _is_real(model: nn.Module) -> bool:
    return sum(weight.numel() for weight in model.parameters()) > 100_000_000


def _made_ready(model: nn.Module) -> nn.Module:
    disable_dropout_in_model(model)
    if _is_real(model) and not torch.cuda.is_available() and sys.platform == "linux":
        # glibc keeps freed blocks of up to 32 MB in pieces that later ones do not fit: 2 GB with
        # Qwen2.5-0.5B. Those above the threshold go back to the system at once.
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
    return model


def _loading(train_all: bool, bits: Literal[4, 8] | None) -> dict[str, Any]:
    """Precision of the weights. Raises `RecipeError` for quantization without CUDA."""
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if gpu and not train_all else torch.float32
    if bits is None:
        return {"dtype": dtype}
    if not gpu or find_spec("bitsandbytes") is None:
        lacks = "a CUDA GPU" if not gpu else "bitsandbytes (pip install bitsandbytes)"
        raise RecipeError(f"`quantize: {bits}` needs {lacks}; leave it out here")
    config = BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"dtype": dtype, "quantization_config": config}


def _require_model(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise RecipeError(
            f"{folder}: no model there (config.json is missing); run the stage before this one, "
            "or bring a model: galen models get NAME"
        )


def add_lora(model: nn.Module, lora: Lora, task: str = "CAUSAL_LM") -> PeftModel:
    """Add LoRA to every linear layer but the output head, so that tied embeddings stay tied.

    For another `task` of PEFT, such as `SEQ_CLS`, the new head is trained whole.
    """
    config = LoraConfig(
        task_type=task,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
    )
    policy = get_peft_model(model, config)
    # PEFT stores the module names as a set. Sorted, an adapter's settings, and so a version's
    # checksum, are the same in every process.
    found = policy.peft_config["default"]
    found.target_modules = sorted(found.target_modules)
    return policy


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, question: str, instruction: str = ""
) -> list[int]:
    """Token ids of a conversation up to the start of the assistant's answer."""
    system = [{"role": "system", "content": instruction}] if instruction else []
    messages = [*system, {"role": "user", "content": question}]
    encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return list(encoded["input_ids"])


def completion_ids(tokenizer: PreTrainedTokenizerBase, transcript: Transcript) -> list[int]:
    """Token ids of the assistant's answer, with the token that ends it."""
    text = transcript.render() + str(tokenizer.eos_token)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True, slots=True)
class Sequences:
    """Prompts and completions padded into one batch.

    Column t of the completion arrays belongs to the t-th completion token.
    """

    ids_BT: Tensor
    attention_BT: Tensor
    positions_BC: Tensor
    """Index in T at which the model predicts each completion token: one before the token itself."""
    mask_BC: Tensor
    """1.0 on real completion tokens."""

    def to(self, device: torch.device) -> Sequences:
        return Sequences(*(getattr(self, name).to(device) for name in self.__slots__))

    def rows(self, index: Tensor) -> Sequences:
        """The rows in `index`, without the padding that none of them needs."""
        total = int(self.attention_BT[index].sum(dim=1).max())
        width = int(self.mask_BC[index].sum(dim=1).max())
        return Sequences(
            self.ids_BT[index, :total],
            self.attention_BT[index, :total],
            self.positions_BC[index, :width].clamp(max=total - 1),
            self.mask_BC[index, :width],
        )


def pack(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int
) -> Sequences:
    """Join prompts with completions, padded on the right; masks come from lengths, not `pad`."""
    total = max(len(p) + len(c) for p, c in zip(prompts, completions, strict=True))
    width = max(len(c) for c in completions)
    size = len(prompts)
    ids_BT = torch.full((size, total), pad, dtype=torch.long)
    attention_BT = torch.zeros((size, total), dtype=torch.long)
    mask_BC = torch.zeros((size, width))
    starts_B1 = torch.tensor([[len(p)] for p in prompts])
    for row, (p, c) in enumerate(zip(prompts, completions, strict=True)):
        ids_BT[row, : len(p) + len(c)] = torch.tensor([*p, *c])
        attention_BT[row, : len(p) + len(c)] = 1
        mask_BC[row, : len(c)] = 1.0
    positions_BC = (starts_B1 - 1 + torch.arange(width)).clamp(max=total - 1)
    return Sequences(ids_BT, attention_BT, positions_BC, mask_BC)


def completion_logprobs(model: nn.Module, batch: Sequences, temperature: float = 1.0) -> Tensor:
    """log π(token) for each completion token, (B, C); 0 on padding."""

    def chosen(logits_nV: Tensor, targets_n: Tensor) -> Tensor:
        logprobs_n: Tensor = selective_log_softmax(logits_nV, targets_n)
        return logprobs_n.unsqueeze(0)

    return _of_tokens(model, batch, temperature, chosen)[0]


def logprobs_and_entropy(
    model: nn.Module, batch: Sequences, temperature: float = 1.0, *, learns_entropy: bool = False
) -> tuple[Tensor, Tensor]:
    """log π(token) for each completion token and the entropy of π there, both (B, C); 0 on padding.

    The entropy has a gradient only with `learns_entropy`.
    """

    def chosen(logits_nV: Tensor, targets_n: Tensor) -> Tensor:
        entropy_n = entropy_from_logits(logits_nV if learns_entropy else logits_nV.detach())
        return torch.stack([selective_log_softmax(logits_nV, targets_n), entropy_n])

    logprobs_BC, entropy_BC = _of_tokens(model, batch, temperature, chosen)
    return logprobs_BC, entropy_BC


def _of_tokens(
    model: nn.Module,
    batch: Sequences,
    temperature: float,
    read: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """What `read` makes of the logits (n, V) and tokens (n), as (k, B, C); 0 on padding.

    Only completion tokens go through the output head, `MOST_LOGITS` at a time. The backward pass
    computes a chunk's logits again, so a long row never has its tokens × vocabulary in memory.
    """
    causal: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden_BTH: Tensor = causal.base_model(
        input_ids=batch.ids_BT, attention_mask=batch.attention_BT, use_cache=False
    ).last_hidden_state
    head = causal.get_output_embeddings()
    rows_B1 = torch.arange(len(batch.ids_BT), device=batch.ids_BT.device).unsqueeze(1)
    hidden_NH = hidden_BTH[rows_B1, batch.positions_BC].flatten(0, 1)
    targets_N = batch.ids_BT.roll(-1, dims=1)[rows_B1, batch.positions_BC].flatten()

    def found(hidden_nH: Tensor, targets_n: Tensor) -> Tensor:
        return read(head(hidden_nH).float() / temperature, targets_n)

    size = max(1, MOST_LOGITS // head.weight.shape[0])
    if len(targets_N) <= size:
        found_kN = found(hidden_NH, targets_N)
    else:
        chunks = zip(torch.split(hidden_NH, size), torch.split(targets_N, size), strict=True)
        parts = [checkpoint(found, *chunk, use_reentrant=False) for chunk in chunks]
        found_kN = torch.cat(parts, dim=1)
    return found_kN.view(-1, *batch.mask_BC.shape) * batch.mask_BC


def completion_values(critic: nn.Module, batch: Sequences) -> Tensor:
    """Value of the state before each completion token, (B, C); 0 on padding."""
    values_BT: Tensor = critic(input_ids=batch.ids_BT, attention_mask=batch.attention_BT).logits
    return values_BT.squeeze(-1).float().gather(1, batch.positions_BC) * batch.mask_BC


def merged_state(policy: nn.Module) -> dict[str, Tensor]:
    """The policy's dense weights with its adapters merged, in fp32; the policy is not changed."""
    if not isinstance(policy, PeftModel):
        return {name: tensor.detach() for name, tensor in policy.state_dict().items()}
    base = policy.get_base_model()
    state = {
        name.replace(".base_layer.", "."): tensor.detach().float()
        for name, tensor in base.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in base.named_modules():
        if hasattr(layer, "get_delta_weight"):
            delta: Any = layer.get_delta_weight("default")
            state[f"{name}.weight"] = state[f"{name}.weight"] + delta.detach().float()
    return state
