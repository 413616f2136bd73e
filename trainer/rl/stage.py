"""One run of reinforcement learning: an algorithm, the two services and the run's folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from galen import digest
from galen.errors import GalenError
from trainer import processes
from trainer.model import load_tokenizer
from trainer.recipes import OpdRecipe, RlRecipe
from trainer.rl import preflight
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms import Algorithm
from trainer.rl.drift import WatchedRollouts
from trainer.rl.publish import save_merged_model
from trainer.rl.qualified import require_qualified
from trainer.rl.records import RunRecorder
from trainer.rl.replay import StoredRollouts
from trainer.rl.rollouts.questions import load_questions
from trainer.rl.rollouts.shared import SharedRollouts, by_first
from trainer.rl.source import ServiceRollouts
from trainer.rl.teacher import require_same_tokens
from trainer.rl.trainer import RlTrainer, RolloutSource
from trainer.runs import Run, dashboards
from trainer.stages.watch import LostNumbers, StopOnLostNumbers, StopOnSignal

log = logging.getLogger(__name__)

WAIT_S = 24 * 3600
"""Seconds for which the other processes wait for the first one's rollouts."""


def train(recipe: RlRecipe, algorithm: Algorithm) -> Path:
    """Run or resume the stage; returns the folder of the finished model's dense weights."""
    run = Run(recipe)
    _join_others()
    unqualified = None
    if recipe.rewards.judge:
        unqualified = by_first(lambda: require_qualified(recipe.services))
    tokenizer = load_tokenizer(recipe.model)
    questions, held_out = (
        load_questions(files, tokenizer, recipe.use_instruction) if files else []
        for files in (recipe.prompts, recipe.held_out)
    )
    if isinstance(recipe, OpdRecipe):
        by_first(lambda: require_same_tokens(recipe.teacher, tokenizer))
    by_first(run.open)
    set_seed(recipe.seed)
    model = ActorCritic(recipe)
    services = ServiceRollouts(recipe, run, tokenizer, questions, held_out)
    by_first(lambda: services.prepare(model.policy))
    source: RolloutSource = services
    if recipe.rewards.judge:
        source = WatchedRollouts(services, recipe.services, recipe.run)
    pad = int(tokenizer.pad_token_id)
    trainer, signals = _trainer(recipe, run, model, algorithm, SharedRollouts(source), pad)
    if recipe.preflight and run.last_checkpoint() is None:
        with trainer.accelerator.autocast():  # and on the device that the trainer has chosen
            preflight.require_room(model, recipe, algorithm, questions, pad)
    with run.logging(), signals.listening(), services:
        if unqualified:
            log.warning(unqualified)
        _learn(trainer, run)
        signals.require_end(trainer.state)
        by_first(lambda: _finish(run, services, model, tokenizer, trainer.state.global_step))
    return run.final


def _finish(
    run: Run,
    services: ServiceRollouts,
    model: ActorCritic,
    tokenizer: PreTrainedTokenizerBase,
    steps: int,
) -> None:
    """Publish and save what was learnt, and mark the run as finished."""
    assert isinstance(run.recipe, RlRecipe)
    batches = run.recipe.batches
    version = services.publish(model.policy, batches, steps)
    facts: dict[str, Any] = {**services.look(batches), **_template(tokenizer)}
    if best := services.best.now:
        log.info("the best version is %s, by %s %+.3f", best.version, best.by, best.score)
        facts["best"] = best.version
    save_merged_model(model.policy, tokenizer, run.final)
    run.finish(version=version, steps=steps, final=str(run.final), **facts)
    services.forget()


def _template(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """For the manifest: the checksum of the template by which the questions were asked."""
    return {"template": digest.of_json(str(tokenizer.chat_template))}


def _join_others() -> None:
    """Meet the run's other processes, if there are any."""
    PartialState(cpu=not torch.cuda.is_available())


def replay(recipe: RlRecipe, algorithm: Algorithm, past: Path) -> Path:
    """Learn again from the rollouts of the run in `past`, without any service.

    On the same machine the weights are equal byte for byte. Returns their folder.
    """
    run = Run(recipe)
    tokenizer = load_tokenizer(recipe.model)
    _join_others()
    by_first(run.open)
    set_seed(recipe.seed)
    model = ActorCritic(recipe)
    pad = int(tokenizer.pad_token_id)
    trainer, signals = _trainer(recipe, run, model, algorithm, StoredRollouts(past), pad)
    with run.logging(), signals.listening():
        _learn(trainer, run)
        signals.require_end(trainer.state)
        if processes.is_first():
            save_merged_model(model.policy, tokenizer, run.final)
            steps = trainer.state.global_step
            run.finish(steps=steps, final=str(run.final), **_template(tokenizer))
        trainer.accelerator.wait_for_everyone()
    return run.final


def _trainer(
    recipe: RlRecipe,
    run: Run,
    model: ActorCritic,
    algorithm: Algorithm,
    source: RolloutSource,
    pad: int,
) -> tuple[RlTrainer, StopOnSignal]:
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.tensorboard)
    signals = StopOnSignal(every=recipe.steps_per_batch)
    recorders = [RunRecorder(run, recipe)] if processes.is_first() else []
    trainer = RlTrainer(
        model=model,
        args=arguments(recipe, run),
        recipe=recipe,
        algorithm=algorithm,
        source=source,
        pad=pad,
        callbacks=[*recorders, StopOnLostNumbers(), signals],
    )
    return trainer, signals


def _learn(trainer: RlTrainer, run: Run) -> None:
    """Train from the last checkpoint; what stops it between batches leaves another.

    Before the first step there is none: a corrected recipe may begin anew in the run's folder.
    """
    checkpoint = run.last_checkpoint()
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except LostNumbers:
        raise
    except GalenError:  # drawing a batch raised it, so the last batch is complete
        if trainer.state.global_step:
            trainer.save_checkpoint()
        raise


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
        ddp_timeout=WAIT_S,
    )
