"""A toy policy before both fake services, with its source of rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from galen import digest
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of
from tests.fakes.rows import write_jsonl
from trainer.model import load_tokenizer
from trainer.recipes import PpoRecipe, Services
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.rollouts.questions import load_questions
from trainer.rl.source import ServiceRollouts
from trainer.runs import Run


@dataclass
class Loop:
    """A toy policy before both fake services."""

    recipe: PpoRecipe
    server: LoopPolicyServer
    judge: LoopJudge
    model: ActorCritic
    source: ServiceRollouts


@contextmanager
def looped(toy: Path, tmp_path: Path) -> Iterator[Loop]:
    prompts = tmp_path / "prompts.jsonl"
    write_jsonl(prompts, [row_of(f"q{i}", f"头痛第{i}天怎么办？") for i in range(3)])
    with LoopPolicyServer(digest.of_folder(toy)) as server, LoopJudge() as judge:
        recipe = PpoRecipe(
            stage="ppo",
            run="r",
            runs=tmp_path,
            model=toy,
            prompts=(prompts,),
            lora=None,
            publish="merged",
            services=Services(server=server.url, judge=judge.url, concurrency=1),
            batch_size=4,
            mini_batch_size=2,
            patience_s=0.0,
        )
        Run(recipe).folder.mkdir()
        torch.manual_seed(0)
        model = ActorCritic(recipe).eval()
        with source_of(recipe, model) as source:
            yield Loop(recipe, server, judge, model, source)


def source_of(recipe: PpoRecipe, model: ActorCritic) -> ServiceRollouts:
    """What a life of the trainer begins with."""
    tokenizer = load_tokenizer(recipe.model)
    questions = load_questions(recipe.prompts, tokenizer, use_instruction=True)
    held_out = load_questions(recipe.held_out, tokenizer, True) if recipe.held_out else []
    source = ServiceRollouts(recipe, Run(recipe), tokenizer, questions, held_out)
    source.prepare(model.policy)
    return source
