"""How each kind of endpoint wants to be asked for a verdict.

They agree on OpenAI's route and differ in the rest: reasoning models take no temperature and count
tokens under another name, some think unless told not to, some wrap their JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from galen.settings import Settings
from judge.rubrics.rubric import Rubric
from judge.teacher.reply import QUOTATION, REASON, object_schema


class Profile(Settings):
    """The fields of a request beside model and messages, and how its reply is read."""

    token_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """None sends none."""
    form: Literal["json_object", "json_schema", "plain"] = "json_object"
    """What the endpoint is told of the reply's form; `plain` leaves it to the prompt."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request."""
    unwraps: bool = False
    """Whether a leading thought and a fence around the JSON are taken off."""

    def sampling(self, max_tokens: int) -> dict[str, Any]:
        """All fields of a request that can change a verdict, but for model and messages."""
        fields: dict[str, Any] = {self.token_field: max_tokens, **self.extra_body}
        if self.temperature is not None:
            fields["temperature"] = self.temperature
        if self.form != "plain":
            fields["response_format"] = {"type": self.form}
        return fields

    def read(self, text: str) -> str:
        """The reply's JSON, if the profile unwraps it."""
        if not self.unwraps:
            return text
        text = text.rpartition("</think>")[2].strip()
        fenced = _FENCED.fullmatch(text)
        return fenced[1] if fenced else text


_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*)\n[ \t]*```", re.DOTALL | re.IGNORECASE)

ProfileName = Literal[
    "generic", "deepseek", "openai-reasoning", "dashscope", "openrouter", "vllm", "plain"
]
PROFILES: Mapping[ProfileName, Profile] = {
    "generic": Profile(),
    "deepseek": Profile(extra_body={"thinking": {"type": "disabled"}}),
    "openai-reasoning": Profile(
        token_field="max_completion_tokens", temperature=None, form="json_schema"
    ),
    "dashscope": Profile(extra_body={"enable_thinking": False}),
    "openrouter": Profile(unwraps=True),
    "vllm": Profile(
        form="json_schema",
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
        unwraps=True,
    ),
    "plain": Profile(form="plain", unwraps=True),
}
_BY_HOST: Mapping[str, ProfileName] = {
    "deepseek.com": "deepseek",
    "aliyuncs.com": "dashscope",
    "openrouter.ai": "openrouter",
}
_REASONS = re.compile(r"(?:gpt-5|o[1-9])(?:$|[-.])")


def profile_for(host: str, model: str) -> Profile:
    """The profile of a known endpoint, else the generic one."""
    for domain, name in _BY_HOST.items():
        if host == domain or host.endswith(f".{domain}"):
            return PROFILES[name]
    if host.endswith("openai.com") and _REASONS.match(model):
        return PROFILES["openai-reasoning"]
    return PROFILES["generic"]


def reply_schema(rubric: Rubric) -> dict[str, Any]:
    """The JSON schema of a rubric's reply: `judge.teacher.reply` reads the same."""
    danger = object_schema({"evidence": QUOTATION, "present": {"type": "boolean"}})
    entry = object_schema(
        {
            "why": REASON,
            "evidence": QUOTATION,
            "score": {"type": "number", "minimum": 0, "maximum": 1},
        }
    )
    dangers = (
        {"dangers": object_schema(dict.fromkeys(rubric.dangers, danger))} if rubric.dangers else {}
    )
    return object_schema({**dangers, **dict.fromkeys(rubric.dimensions, entry)})
