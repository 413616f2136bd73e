"""OpenAI's newer API, `/v1/responses`, through the `openai` SDK."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.integration.sdk.clients import CALL_TOKENS, FLAT_TOOL, NO_THINKING, PLAIN, Clients, Place

pytestmark = pytest.mark.engine


def test_a_response_whole_and_streamed(clients: Clients) -> None:
    """The newer API: output items, usage, events in order; the version is named in each."""
    body: dict[str, Any] = {"model": "policy", "input": "头痛", "max_output_tokens": 24}
    extra = {"seed": 3, **PLAIN}
    answer = clients.openai.responses.create(**body, extra_body=extra)
    assert (answer.object, answer.model) == ("response", "policy@base")
    assert answer.output_text
    assert (answer.status, answer.usage.output_tokens) == ("incomplete", 24)
    events = list(clients.openai.responses.create(**body, extra_body=extra, stream=True))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == answer.output_text
    assert events[-1].response.model == "policy@base"


def test_a_response_fits_a_schema_or_calls_a_tool(clients: Clients) -> None:
    """The SDK's own parsing, and a forced call."""
    parsed = clients.openai.responses.parse(
        model="policy",
        input="头痛",
        text_format=Place,
        max_output_tokens=600,
        extra_body={"seed": 1, **NO_THINKING},
    )
    assert isinstance(parsed.output_parsed, Place)
    called = clients.openai.responses.create(
        model="policy",
        input="头痛",
        tools=[FLAT_TOOL],
        tool_choice={"type": "function", "name": "weather"},
        max_output_tokens=CALL_TOKENS,
        extra_body={"seed": 1, **NO_THINKING},
    )
    calls = [item for item in called.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather"]
    assert json.loads(calls[0].arguments)["city"] in ("a", "b")


@pytest.mark.parametrize("field", ["previous_response_id", "store", "background"])
def test_responses_are_not_kept_and_say_so(clients: Clients, field: str) -> None:
    """Rather than that a client believes that they are."""
    value: Any = "resp_1" if field == "previous_response_id" else True
    with pytest.raises(openai.UnprocessableEntityError, match="not kept") as caught:
        clients.openai.responses.create(model="policy", input="头痛", **{field: value})
    assert caught.value.param == field
    for ask in (clients.openai.responses.retrieve, clients.openai.responses.cancel):
        with pytest.raises(openai.NotFoundError, match="no such route"):
            ask("resp_1")
