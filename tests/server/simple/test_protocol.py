"""What a request may say: what would be ignored is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from server.simple.protocol import BadRequest, ChatRequest

CHAT = {"messages": [{"role": "user", "content": "头痛"}]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{}]),
        ("tool_choice", "required"),
        ("response_format", {"type": "json_object"}),
        ("structured_outputs", {"regex": "a"}),
        ("frequency_penalty", 0.5),
        ("repetition_penalty", 1.1),
        ("logit_bias", {"1": 5}),
        ("min_tokens", 3),
        ("prompt_logprobs", 1),
        ("echo", True),
        ("logprobs", True),
        ("stop", ["。"]),
        ("min_p", 0.1),
        ("a_field_of_tomorrow", "x"),
    ],
)
def test_a_field_that_would_be_ignored_is_refused_by_name(field: str, value: Any) -> None:
    """The answer would be another than the caller believes."""
    with pytest.raises(BadRequest, match=field) as refused:
        ChatRequest.model_validate({**CHAT, field: value})
    assert (refused.value.status, refused.value.param) == (400, field)


def test_null_and_empty_values_are_as_good_as_absent() -> None:
    """SDKs send them for what was not set."""
    plain = ChatRequest.model_validate(CHAT)
    absent = {"tools": [], "presence_penalty": 0.0, "logit_bias": None, "user": "me"}
    absent |= {"temperature": None, "stop": None, "n": None, "seed": None}
    assert ChatRequest.model_validate({**CHAT, **absent}) == plain
