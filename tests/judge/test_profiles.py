"""What each endpoint is sent, and how its reply is read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from judge.endpoint import Endpoint
from judge.profiles import PROFILES, profile_of, reply_schema
from judge.settings import TeacherSettings


@pytest.mark.parametrize(
    ("host", "model", "profile"),
    [
        ("api.deepseek.com", "deepseek-flash", "deepseek"),
        ("api.openai.com", "gpt-4o", "openai"),
        ("api.openai.com", "gpt-5-mini", "openai-reasoning"),
        ("api.openai.com", "o3", "openai-reasoning"),
        ("dashscope.aliyuncs.com", "qwen-max", "dashscope"),
        ("openrouter.ai", "openai/gpt-5", "openrouter"),
        ("127.0.0.1", "mine", "compatible"),
        ("notdeepseek.com", "m", "compatible"),
    ],
)
def test_a_known_host_has_its_profile(host: str, model: str, profile: str) -> None:
    """By host, and at OpenAI by the model's name."""
    assert profile_of(host, model) == profile


def test_each_profile_sends_what_its_endpoint_takes() -> None:
    """Token field, temperature, form of the reply, further fields."""
    json_object = {"type": "json_object"}
    assert PROFILES["compatible"].sampling(9) == {
        "temperature": 0.0,
        "max_tokens": 9,
        "response_format": json_object,
    }
    assert PROFILES["deepseek"].sampling(9)["thinking"] == {"type": "disabled"}
    assert PROFILES["dashscope"].sampling(9)["enable_thinking"] is False
    assert PROFILES["openai-reasoning"].sampling(9) == {
        "max_completion_tokens": 9,
        "response_format": {"type": "json_schema"},
    }


def test_options_change_single_fields() -> None:
    """What is not named stays the profile's; model and messages cannot be replaced."""
    options = {"temperature": None, "reply_format": "plain", "extra_body": {"top_p": 1, "n": 2}}
    settings = TeacherSettings(profile="dashscope", options=options)
    assert Endpoint(settings, "k").sampling == {"max_tokens": 800, "top_p": 1}
    with pytest.raises(ValidationError, match="temprature"):
        TeacherSettings(options={"temprature": 1})


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("{}", "{}"),
        ("<think>\n想\n</think>\n\n{}", "{}"),
        ("```json\n{}\n```", "{}"),
        ("<think></think>```\n{}\n```\n", "{}"),
        ("<think>{}", "<think>{}"),
        ("```json\n{}\n``` 好", "```json\n{}\n``` 好"),
        ("好的 ```json\n{}\n```", "好的 ```json\n{}\n```"),
    ],
)
def test_a_thought_and_a_fence_are_read_where_the_profile_says_so(reply: str, read: str) -> None:
    """Only a whole wrapping; other words stay for the parser to refuse."""
    assert PROFILES["vllm"].unwrapped(reply) == read
    assert PROFILES["compatible"].unwrapped(reply) == reply


def test_the_schema_has_the_fields_in_their_order() -> None:
    """Dangers, then dimensions; a score after its reasons."""
    schema = reply_schema(["safety", "logic"], ["rx_misuse"])["json_schema"]["schema"]
    assert list(schema["properties"]) == ["dangers", "safety", "logic"]
    assert schema["properties"]["safety"]["required"] == ["why", "evidence", "score"]
    assert "dangers" not in reply_schema(["safety"], [])["json_schema"]["schema"]["properties"]
