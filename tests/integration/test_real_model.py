"""A real model behind three chat templates: what its server calls reasoning, answer and JSON.

The model's folder comes from `GALEN_REAL_MODEL`: Qwen2.5-0.5B-Instruct or one of its kin, whose
template knows of no thoughts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from galen.transcript import Opening, parse
from server.settings import EngineSettings, ServerSettings
from tests.integration.real_server import Server, free_port, running

pytestmark = [pytest.mark.engine, pytest.mark.prove, pytest.mark.timeout(1200)]

TOKENS = 24
QWEN3 = Path(__file__).parents[3] / "shared" / "data" / "qwen3_tokenizer"
ADVICE = {
    "type": "object",
    "properties": {"advice": {"type": "string", "maxLength": 20}, "urgent": {"type": "boolean"}},
    "required": ["advice", "urgent"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "advice", "schema": ADVICE}}
PLAIN = "感冒要多喝水吗？用一句话回答。"
ASKED_TO_THINK = (
    "先在<think>和</think>之间写一句思考，然后写一句答案，只按此格式：<think>思考</think>答案\n\n"
    "问题：感冒要多喝水吗？"
)
OFF = {"enable_thinking": False}


@dataclass(frozen=True)
class Case:
    """A server, and what its template opens with these switches."""

    server: Server
    switches: dict[str, Any]
    opening: Opening
    constrained: bool
    """Whether a schema binds from the first token."""

    def body(self, question: str, **more: Any) -> dict[str, Any]:
        return {
            "model": "policy",
            "messages": [{"role": "user", "content": question}],
            "chat_template_kwargs": self.switches,
            **more,
        }

    def chat(self, question: str, **more: Any) -> dict[str, Any]:
        body = self.body(question, temperature=0, max_tokens=TOKENS, **more)
        answer = self.server.http.post("/v1/chat/completions", json=body, timeout=600)
        message: dict[str, Any] = answer.raise_for_status().json()["choices"][0]["message"]
        return message

    def streamed(self, question: str) -> tuple[str, str]:
        body = self.body(question, temperature=0, max_tokens=TOKENS, stream=True)
        reasoning = content = ""
        with self.server.http.stream(
            "POST", "/v1/chat/completions", json=body, timeout=600
        ) as lines:
            for line in lines.iter_lines():
                if line.startswith("data: {"):
                    delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
                    reasoning += delta.get("reasoning") or ""
                    content += delta.get("content") or ""
        return reasoning, content

    def written(self, question: str) -> str:
        """The completion as the model writes it, tags and all."""
        ids = self.server.http.post("/tokenize", json=self.body(question)).json()["tokens"]
        body = {"prompt": ids, "temperature": 0, "max_tokens": TOKENS, "skip_special_tokens": False}
        answer = self.server.http.post("/v1/completions", json=body, timeout=600)
        text: str = answer.raise_for_status().json()["choices"][0]["text"]
        return text.removesuffix("<|im_end|>")


def with_template(model: Path, name: str, folder: Path) -> Path:
    """The real weights, behind the model's own template or another."""
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    if name == "Qwen3":
        for path in (folder / "chat_template.jinja", *folder.glob("tokenizer*")):
            path.unlink()
        for other in QWEN3.iterdir():
            if other.name != "config.json" and not (folder / other.name).exists():
                (folder / other.name).symlink_to(other.resolve())
    if name == "opened":
        template = folder / "chat_template.jinja"
        own = template.read_text("utf-8")
        template.unlink()
        template.write_text(f"{own}{{% if add_generation_prompt %}}<think>\n{{% endif %}}", "utf-8")
    return folder


@pytest.fixture(scope="module", params=["own", "Qwen3", "opened"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server]]:
    model = os.environ.get("GALEN_REAL_MODEL")
    if not model:
        pytest.skip("GALEN_REAL_MODEL names no folder with a real model")
    if request.param == "Qwen3" and not QWEN3.is_dir():
        pytest.skip("Qwen3's tokenizer is not beside this checkout (../shared/data)")
    folder = tmp_path_factory.mktemp("real")
    settings = ServerSettings(
        model=with_template(Path(model), request.param, folder / "base"),
        port=free_port(),
        state=folder / "state",
        versions_root=folder,
        engine=EngineSettings(max_model_len=1024, threads=1, kv_cache_bytes=2**28),
    )
    with running(settings) as started:
        yield request.param, started


@pytest.fixture(params=[{}, OFF], ids=["on", "off"])
def case(request: pytest.FixtureRequest, server: tuple[str, Server]) -> Case:
    name, started = server
    switches: dict[str, Any] = request.param
    if name == "Qwen3":
        opening = Opening.CLOSED if switches else Opening.NOTHING
        return Case(started, switches, opening, constrained=bool(switches))
    if switches:
        pytest.skip("the template has no switch")
    opened = name == "opened"
    opening = Opening.THOUGHT if opened else Opening.NOTHING
    return Case(started, switches, opening, constrained=not opened)


@pytest.mark.parametrize("question", [PLAIN, ASKED_TO_THINK])
def test_what_the_model_wrote_is_split_by_what_the_template_opened(
    case: Case, question: str
) -> None:
    """The API's two fields, whole and streamed, are `parse` of the raw completion."""
    expected = parse(case.written(question), case.opening)
    message = case.chat(question)
    whole = (message["reasoning"] or "", (message["content"] or "").strip())
    reasoning, content = case.streamed(question)
    print(f"\n{case.opening.value}: {whole}")
    assert whole == (expected.reasoning, expected.answer)
    assert (reasoning, content.strip()) == whole


def test_a_schema_holds_where_no_thought_comes_first(case: Case) -> None:
    """From the first token, so that this server can be a judge's teacher."""
    if not case.constrained:
        pytest.skip("a thinking model's schema begins after its thought")
    message = case.chat(PLAIN, response_format=FORMAT, max_completion_tokens=60)
    print(f"\n{case.opening.value}: {message['content']}")
    assert message["reasoning"] is None
    assert set(json.loads(message["content"])) == {"advice", "urgent"}


def test_other_apis_give_the_same_answer(case: Case) -> None:
    """`/v1/responses` and `/v1/messages` split the same text alike."""
    expected = parse(case.written(PLAIN), case.opening)
    switches = {"chat_template_kwargs": case.switches, "temperature": 0, "model": "policy"}
    response = case.server.http.post(
        "/v1/responses", json={"input": PLAIN, "max_output_tokens": TOKENS, **switches}, timeout=600
    ).json()
    items = {item["type"]: item["content"][0]["text"] for item in response["output"]}
    assert items.get("reasoning", "") == expected.reasoning
    assert items.get("message", "").strip() == expected.answer
    messages = [{"role": "user", "content": PLAIN}]
    answer = case.server.http.post(
        "/v1/messages", json={"messages": messages, "max_tokens": TOKENS, **switches}, timeout=600
    ).json()
    blocks = {block["type"]: block for block in answer["content"]}
    assert blocks.get("thinking", {}).get("thinking", "") == expected.reasoning
    assert blocks.get("text", {}).get("text", "").strip() == expected.answer
