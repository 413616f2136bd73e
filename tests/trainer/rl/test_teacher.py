"""Laws of a teacher's grades."""

from __future__ import annotations

from pathlib import Path

import pytest

from galen.errors import RecipeError, UpstreamFailed
from tests.fakes.grading_engine import GradingEngine
from trainer.model import load_tokenizer
from trainer.recipes.opd import Teacher
from trainer.rl import teacher as teachers


async def test_each_written_token_gets_its_grade() -> None:
    """The prompt's tokens get none."""
    with GradingEngine([]) as engine:
        async with teachers.grader(Teacher(url=engine.url, model="t"), at_once=1) as grade:
            found = [await grade((1, 2, 3), written) for written in ((5, 6), (9,))]
        (first, _) = engine.asked("POST", "/v1/completions")
    assert found == [[-5.0, -6.0], [-9.0]]
    assert first == {"model": "t", "prompt": [1, 2, 3, 5, 6], "max_tokens": 1, "prompt_logprobs": 0}


async def test_an_endpoint_that_grades_nothing_is_named() -> None:
    """Most others ignore what they do not know."""
    with GradingEngine([]) as engine:
        engine.grades_prompts = False
        async with teachers.grader(Teacher(url=engine.url, model="t"), at_once=1) as grade:
            with pytest.raises(UpstreamFailed, match="must be a vLLM server"):
                await grade((1, 2, 3), (5, 6, 7))


def test_another_tokenizer_is_refused(toy: Path) -> None:
    """The same one is not."""
    tokenizer = load_tokenizer(toy)
    same = tokenizer(teachers.SAMPLE, add_special_tokens=False)["input_ids"]
    with GradingEngine(list(same)) as engine:
        teachers.require_same_tokens(Teacher(url=engine.url, model="t"), tokenizer)
        engine.tokens = [1, 2, 3]
        with pytest.raises(RecipeError, match="another tokenizer"):
            teachers.require_same_tokens(Teacher(url=engine.url, model="t"), tokenizer)
