"""How endpoints differ in what they take and how they reply; a profile for each common one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import Field

from galen.settings import Settings

ProfileName = Literal[
    "compatible", "deepseek", "openai", "openai-reasoning", "dashscope", "openrouter", "vllm"
]
_OURS = frozenset({"model", "messages", "stream", "n"})
_WRAPPED = re.compile(
    r"\s*(?:<think>(?:(?!</?think>).)*+</think>\s*)?"
    r"(?:```(?:json)?[ \t]*\n(?P<fenced>.*?)\n\s*```\s*)?",
    re.DOTALL,
)


class Profile(Settings):
    """What a request holds beside model and messages, and how its reply is read."""

    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """None sends none: some reasoning models refuse the field."""
    reply_format: Literal["json_object", "json_schema", "plain"] = "json_object"
    wrapped: bool = False
    """Read a reply whose JSON follows a closed thought or stands in a fence."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request; they win over the profile's."""

    def sampling(self, max_tokens: int) -> dict[str, Any]:
        """The fields of a request but model, messages and the schema."""
        sent: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        sent[self.tokens_field] = max_tokens
        if self.reply_format != "plain":
            sent["response_format"] = {"type": self.reply_format}
        return sent | {name: value for name, value in self.extra_body.items() if name not in _OURS}

    def unwrapped(self, reply: str) -> str:
        """The reply without a leading thought and the fence around all of the rest.

        Nothing else is removed: words beside the JSON stay, and the parser refuses them.
        """
        if not self.wrapped or (found := _WRAPPED.match(reply)) is None:
            return reply
        if found["fenced"] is not None:
            return found["fenced"] if found.end() == len(reply) else reply
        return reply[found.end() :]


PROFILES: Mapping[ProfileName, Profile] = {
    "compatible": Profile(),
    "deepseek": Profile(extra_body={"thinking": {"type": "disabled"}}),
    "openai": Profile(tokens_field="max_completion_tokens", reply_format="json_schema"),
    "openai-reasoning": Profile(
        tokens_field="max_completion_tokens", temperature=None, reply_format="json_schema"
    ),
    "dashscope": Profile(wrapped=True, extra_body={"enable_thinking": False}),
    "openrouter": Profile(wrapped=True),
    "vllm": Profile(
        reply_format="json_schema",
        wrapped=True,
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
    ),
}
_HOSTS: Mapping[str, ProfileName] = {
    "deepseek.com": "deepseek",
    "openai.com": "openai",
    "aliyuncs.com": "dashscope",
    "openrouter.ai": "openrouter",
}
_REASONS = re.compile(r"o[1-9]|gpt-[5-9]")


def profile_of(host: str, model: str) -> ProfileName:
    """The profile of a known host, else `compatible`. A vLLM cannot be told by its address."""
    for known, name in _HOSTS.items():
        if host == known or host.endswith(f".{known}"):
            return "openai-reasoning" if name == "openai" and _REASONS.match(model) else name
    return "compatible"


def reply_schema(dimensions: Collection[str], dangers: Collection[str]) -> dict[str, Any]:
    """The JSON schema of a reply, for endpoints that hold a model to one; fields in their order."""
    text = {"type": "string"}
    entry = _object({"why": text, "evidence": text, "score": {"type": "number"}})
    asked = _object({"evidence": text, "present": {"type": "boolean"}})
    parts = {"dangers": _object(dict.fromkeys(dangers, asked))} if dangers else {}
    whole = _object({**parts, **dict.fromkeys(dimensions, entry)})
    return {
        "type": "json_schema",
        "json_schema": {"name": "verdict", "strict": True, "schema": whole},
    }


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
