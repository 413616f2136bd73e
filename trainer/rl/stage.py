"""One run of reinforcement learning: an algorithm, the two services and the run's folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch
from transformers import TrainingArguments, set_seed

from galen.errors import GalenError
from trainer.model import load_tokenizer
from trainer.recipes import RlRecipe
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms import Algorithm
from trainer.rl.drift import WatchedRollouts
from trainer.rl.publish import save_merged_model
from trainer.rl.qualified import require_qualified
from trainer.rl.records import RunRecorder
from trainer.rl.source import ServiceRollouts, load_questions
from trainer.rl.trainer import RlTrainer, RolloutSource
from trainer.runs import Run, dashboards
from trainer.stages.watch import LostNumbers, StopOnLostNumbers, StopOnSignal

log = logging.getLogger(__name__)


def train(recipe: RlRecipe, algorithm: Algorithm) -> Path:
    """Run or resume the stage; returns the folder of the finished model's dense weights."""
    run = Run(recipe)
    unqualified = require_qualified(recipe.services) if recipe.rewards.judge else None
    tokenizer = load_tokenizer(recipe.model)
    questions = load_questions(recipe.prompts, tokenizer, recipe.use_instruction)
    run.open()
    set_seed(recipe.seed)
    model = ActorCritic(recipe)
    services = ServiceRollouts(recipe, run, tokenizer, questions)
    services.prepare(model.policy)
    source: RolloutSource = services
    if recipe.rewards.judge:
        source = WatchedRollouts(services, recipe.services, recipe.run)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.tensorboard)
    signals = StopOnSignal(every=recipe.steps_per_batch)
    trainer = RlTrainer(
        model=model,
        args=arguments(recipe, run),
        recipe=recipe,
        algorithm=algorithm,
        source=source,
        pad=int(tokenizer.pad_token_id),
        callbacks=[RunRecorder(run, recipe), StopOnLostNumbers(), signals],
    )
    checkpoint = run.last_checkpoint()
    with run.logging(), signals.listening():
        if unqualified:
            log.warning(unqualified)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except LostNumbers:
            raise
        except GalenError:  # drawing a batch raised it, so the last batch is complete
            trainer.save_checkpoint()
            raise
        signals.require_end(trainer.state)
        steps = trainer.state.global_step
        version = services.publish(model.policy, recipe.batches, steps)
        save_merged_model(model.policy, tokenizer, run.final)
        run.finish(version=version, steps=steps, final=str(run.final))
    return run.final


def arguments(recipe: RlRecipe, run: Run) -> TrainingArguments:
    """The library's settings: it counts optimizer steps, the mini-batches are ours."""
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(run.checkpoints),
        max_steps=recipe.batches * recipe.steps_per_batch,
        per_device_train_batch_size=1,  # one step number; the mini-batch is ours
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant",
        max_grad_norm=recipe.max_grad_norm,
        logging_steps=recipe.steps_per_batch,
        save_steps=recipe.save_every * recipe.steps_per_batch,
        save_total_limit=2,
        report_to=dashboards(recipe),
        run_name=recipe.run,
        remove_unused_columns=False,
        disable_tqdm=True,
        seed=recipe.seed,
        bf16=gpu,
        use_cpu=not gpu,
        dataloader_pin_memory=False,
        logging_nan_inf_filter=False,
    )
