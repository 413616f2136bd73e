"""Policy, critic and reference in one module: one optimizer, one checkpoint and one wrapper."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForTokenClassification
from transformers.utils import logging as transformers_logging
from trl.trainer.utils import disable_dropout_in_model

from trainer.model import Sequences, add_lora, completion_values, load_policy, logprobs_and_entropy
from trainer.recipes import Critic, PpoRecipe, RlRecipe
from trainer.rl.algorithms.streams import Now

_WEIGHTS = "actor_critic.safetensors"


class ActorCritic(nn.Module):
    """The trained policy, the critic where the algorithm has one, and the reference that KL is
    measured from.

    With LoRA the reference is the policy with its adapters disabled, otherwise a frozen copy.
    """

    def __init__(self, recipe: RlRecipe) -> None:
        super().__init__()
        self._learns_entropy = recipe.entropy_coefficient > 0
        policy = load_policy(recipe.model, train_all=recipe.lora is None)
        is_copied = recipe.needs_reference and not recipe.lora
        frozen = copy.deepcopy(policy).requires_grad_(False).eval() if is_copied else None
        self.policy = add_lora(policy, recipe.lora) if recipe.lora else policy
        disable_dropout_in_model(self.policy)  # dropout would make probability ratios random
        if recipe.publish == "merged":
            # Swapping merged weights cannot change the engine's packed output head: freeze it.
            for name, parameter in self.policy.named_parameters():
                if "embed_tokens" in name or "lm_head" in name:
                    parameter.requires_grad_(False)
        self.critic = (
            load_critic(recipe.critic, recipe.model) if isinstance(recipe, PpoRecipe) else None
        )
        self._frozen = [frozen] if frozen is not None else []  # a list keeps it out of checkpoints

    def forward(self, batch: Sequences, temperature: float) -> Now:
        """log π, its entropy and, with a critic, V of each completion token."""
        logprobs_BC, entropy_BC = logprobs_and_entropy(
            self.policy, batch, temperature, learns_entropy=self._learns_entropy
        )
        values_BC = completion_values(self.critic, batch) if self.critic is not None else None
        return Now(logprobs_BC, entropy_BC, values_BC)

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """The policy before training."""
        if self._frozen:
            device = next(self.policy.parameters()).device  # the Trainer moves only what it knows
            yield self._frozen[0].to(device)
            return
        assert isinstance(self.policy, PeftModel)
        with self.policy.disable_adapter():
            yield self.policy

    def save(self, folder: Path) -> None:
        """Write the trained parameters; the others come from the model's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            n: p.detach().cpu().contiguous() for n, p in self.named_parameters() if p.requires_grad
        }
        save_file(state, folder / _WEIGHTS)

    def load(self, folder: Path) -> None:
        state = load_file(folder / _WEIGHTS)
        own = {name: p for name, p in self.named_parameters() if p.requires_grad}
        assert own.keys() == state.keys(), "the recipe's hash guards this"
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])


def load_critic(critic: Critic, policy_folder: Path) -> nn.Module:
    """A token classifier with one label; its head is zero, so V starts at 0."""
    folder = critic.model or policy_folder
    config = AutoConfig.from_pretrained(folder, num_labels=1)
    if critic.layers:
        config.num_hidden_layers = critic.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: critic.layers]
    shown = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would warn that the head is new, as intended
    model: nn.Module = AutoModelForTokenClassification.from_pretrained(
        folder, config=config, dtype=torch.float32
    )
    transformers_logging.set_verbosity(shown)
    disable_dropout_in_model(model)
    head = model.get_submodule("score")
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return model
