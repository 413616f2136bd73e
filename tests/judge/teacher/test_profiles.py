"""Endpoints are asked as each of them wants it."""

from __future__ import annotations

import asyncio
import json

import jsonschema
import pytest

from judge.rubrics.rubric import RubricRegistry
from judge.teacher.calls.limits import Pace
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.profiles import PROFILES, Profile, profile_for, reply_schema
from judge.teacher.verdict import Client
from judge.text.case import Case
from tests.fakes.account import FREE

SAFETY = RubricRegistry.load().get("medical-safety")


@pytest.mark.parametrize(
    ("host", "model", "name"),
    [
        ("api.deepseek.com", "deepseek-flash", "deepseek"),
        ("dashscope.aliyuncs.com", "qwen3-max", "dashscope"),
        ("openrouter.ai", "any/model", "openrouter"),
        ("api.openai.com", "gpt-5-mini", "openai-reasoning"),
        ("api.openai.com", "gpt-4.1", "generic"),
        ("127.0.0.1", "mine", "generic"),
        ("notdeepseek.com", "m", "generic"),
    ],
)
def test_a_known_endpoint_has_its_profile(host: str, model: str, name: str) -> None:
    """By its host, and where that decides by its model."""
    assert profile_for(host, model) is PROFILES[name]  # type: ignore[index]  # one of its keys


def test_a_reasoning_model_gets_no_temperature() -> None:
    """It refuses one, and counts its tokens under another name."""
    sampling = PROFILES["openai-reasoning"].sampling(800)
    assert sampling == {
        "max_completion_tokens": 800,
        "response_format": {"type": "json_schema"},
    }


@pytest.mark.parametrize(
    "text", ["{}", "```json\n{}\n```", "<think>想想{</think>\n{}", "想想</think>\n```\n{}\n```"]
)
def test_a_thought_and_a_fence_are_taken_off(text: str) -> None:
    """Where the profile says so, and nowhere else."""
    assert PROFILES["plain"].read(text) == "{}"
    assert Profile().read(text) == text


async def test_the_schema_is_what_the_reader_reads() -> None:
    """A valid verdict fits it; one without its dangers does not."""
    case = Case("嗓子痛两天，怎么办？", "嗓子痛可能与咽炎有关，高烧不退请就医。")
    verdict = await MockTeacher().judge(SAFETY, case, Client("test", FREE))
    reply = json.loads(verdict.reply)
    jsonschema.validate(reply, reply_schema(SAFETY))
    del reply["dangers"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(reply, reply_schema(SAFETY))


async def test_calls_are_spread_over_the_minute() -> None:
    """Six hundred a minute are a tenth of a second apart; so are as many tokens."""
    clock = asyncio.get_running_loop().time
    for pace, tokens in ((Pace(1200, None), 1), (Pace(None, 120_000), 100)):
        began = clock()
        for _ in range(3):
            await pace.wait(tokens)
        assert clock() - began >= 0.09
