"""Whatever is sent to the judge, it answers with a clear error that names no value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from galen.keys import KeyRing
from judge.schemas import MAX_ITEMS, MAX_TEXT
from tests.judge.conftest import AppMaker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
WORDS = "病人之言"
ITEM = {"id": "a", "prompt": WORDS, "response": WORDS}
BODY = {"rubric": "medical", "items": [ITEM]}
VOTE = {
    "prompt": WORDS,
    "response_a": WORDS,
    "response_b": WORDS,
    "model_a": "a",
    "model_b": "b",
    "vote": "a",
}
JSON = {"Content-Type": "application/json"}


def is_clear(response: httpx.Response, status: int, param: str | None = None) -> bool:
    """Whether an answer is an error in OpenAI's shape that repeats nothing of a patient's."""
    error = response.json()["error"]
    assert response.status_code == status, error
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert WORDS not in response.text
    assert param is None or error["param"] == param
    return True


def nested(depth: int) -> str:
    return f'{{"rubric": {"[" * depth}{"]" * depth}, "items": [{json.dumps(ITEM)}]}}'


NOT_JSON = {
    "nothing": "",
    "white space": "  \n",
    "a word": WORDS,
    "cut off": json.dumps(BODY)[:-1],
    "single quotes": "{'rubric': 'medical'}",
    "a trailing comma": json.dumps(BODY)[:-1] + ",}",
    "two values": json.dumps(BODY) * 2,
    "too deep": nested(100_000),
    "a huge number": json.dumps(BODY)[:-1] + f', "step": {"9" * 5000}}}',
}


@pytest.mark.parametrize("path", ["/v1/score", "/v1/feedback"])
@pytest.mark.parametrize("what", NOT_JSON)
async def test_what_is_not_json(what: str, path: str, http: httpx.AsyncClient) -> None:
    """Is told apart from JSON that is wrong; a body that is missing is a missing field."""
    response = await http.post(path, content=NOT_JSON[what], headers=JSON)
    assert is_clear(response, 422 if what == "nothing" else 400)
    if what != "nothing":
        assert response.json()["error"]["code"] == "malformed_json"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1", "gb18030"])
async def test_another_encoding(encoding: str, http: httpx.AsyncClient) -> None:
    """JSON is UTF-8; what else Python's reader can make out is read, the rest refused."""
    text = json.dumps(BODY | {"rubric": "é"}, ensure_ascii=encoding == "latin-1")
    content = text.replace("\\u00e9", "é").encode(encoding)
    response = await http.post("/v1/score", content=content, headers=JSON)
    assert response.status_code in {400, 404}
    assert is_clear(response, response.status_code)


@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null", "true", "NaN", "Infinity", "[{}]"])
async def test_json_that_is_no_object(body: str, http: httpx.AsyncClient) -> None:
    """The body as a whole is at fault."""
    assert is_clear(await http.post("/v1/score", content=body, headers=JSON), 422)


def talk(*turns: Any) -> dict[str, Any]:
    """The item as a conversation, in place of its prompt."""
    item = {name: value for name, value in ITEM.items() if name != "prompt"}
    messages = [{"role": role, "content": text} for role, text in turns]
    return {"items": [item | {"messages": messages}]}


def graded(*criteria: tuple[Any, Any]) -> dict[str, Any]:
    """The item with these criteria, each a text and its points."""
    return {"items": [ITEM | {"criteria": [{"text": t, "points": p} for t, p in criteria]}]}


WRONG = {
    "no criteria at all": (graded(), "items.0.criteria"),
    "no positive points": (graded((WORDS, -1), ("b", -2)), "items.0.criteria"),
    "a criterion of 0 points": (graded((WORDS, 0), ("b", 1)), "items.0.criteria"),
    "points that are a word": (graded((WORDS, WORDS)), "items.0.criteria.0.points"),
    "points that are no number": (graded((WORDS, float("nan"))), "items.0.criteria.0.points"),
    "points without end": (graded((WORDS, float("inf"))), "items.0.criteria.0.points"),
    "a criterion without a word": (graded((" ", 1)), "items.0.criteria.0.text"),
    "a criterion that is too long": (graded(("长" * 2001, 1)), "items.0.criteria.0.text"),
    "a criterion twice": (graded((WORDS, 1), (f"{WORDS} ", 2)), "items.0.criteria"),
    "too many criteria": (graded(*((str(n), 1) for n in range(65))), "items.0.criteria"),
    "criteria that are a word": ({"items": [ITEM | {"criteria": WORDS}]}, "items.0.criteria"),
    "a conversation of nothing": (talk(), "items.0.messages"),
    "a conversation that is a word": (
        {"items": [ITEM | {"prompt": None, "messages": WORDS}]},
        "items.0.messages",
    ),
    "a conversation that ends on the assistant's turn": (
        talk(("user", WORDS), ("assistant", WORDS)),
        "items.0.messages",
    ),
    "a conversation of a system message alone": (talk(("system", WORDS)), "items.0.messages"),
    "a role that is none": (talk(("human", WORDS)), "items.0.messages.0.role"),
    "a turn without a word": (talk(("user", " \n")), "items.0.messages.0.content"),
    "a turn with half a character": (talk(("user", "\ud83d")), "items.0.messages.0.content"),
    "a prompt and a conversation": (
        {"items": [ITEM | {"messages": [{"role": "user", "content": WORDS}]}]},
        "items.0",
    ),
    "neither prompt nor conversation": ({"items": [ITEM | {"prompt": None}]}, "items.0"),
    "no rubric": ({"rubric": None}, "rubric"),
    "an empty rubric": ({"rubric": ""}, "rubric"),
    "a blank rubric": ({"rubric": "\u3000\x85\ufeff"}, "rubric"),
    "a rubric that is a list": ({"rubric": ["medical"]}, "rubric"),
    "a rubric that is deep": ({"rubric": [[[[[[[[]]]]]]]]}, "rubric"),
    "no items": ({"items": []}, "items"),
    "items that are an object": ({"items": {"0": ITEM}}, "items"),
    "an item that is a word": ({"items": [WORDS]}, "items.0"),
    "too many items": (
        {"items": [ITEM | {"id": str(i)} for i in range(MAX_ITEMS + 1)]},
        "items",
    ),
    "the same id twice": ({"items": [ITEM, ITEM]}, "items"),
    "an id that is a number": ({"items": [ITEM | {"id": 1}]}, "items.0.id"),
    "a NUL": ({"items": [ITEM | {"reference": f"{WORDS}\0"}]}, "items.0.reference"),
    "half a character": ({"items": [ITEM | {"prompt": f"{WORDS}\ud83d"}]}, "items.0.prompt"),
    "a risk that is none": ({"items": [ITEM | {"risk": WORDS}]}, "items.0.risk"),
    "too many tags": ({"items": [ITEM | {"tags": ["t"] * 33}]}, "items.0.tags"),
    "an unknown field": ({"runn": WORDS}, "runn"),
    "an unknown field of an item": ({"items": [ITEM | {"answer": WORDS}]}, "items.0.answer"),
    "a field that is made up": ({WORDS: WORDS}, "(unknown)"),
    "a mode that is none": ({"teacher": WORDS}, "teacher"),
    "a step below 0": ({"step": -1}, "step"),
    "a step that is half": ({"step": 0.5}, "step"),
    "a step that is a word": ({"step": WORDS}, "step"),
    "a step that is true": ({"step": [True]}, "step"),
    "a step beyond all": ({"step": 10**400}, "step"),
    "a step that is no number": ({"step": float("nan")}, "step"),
    "a step without end": ({"step": float("inf")}, "step"),
    "a sample beyond 32 bits": ({"sample": 2**31}, "sample"),
    "a run that is too long": ({"run": "r" * 201}, "run"),
    "a run with half a character": ({"run": "\udfff"}, "run"),
    "a run that could not be read again": ({"run": "a/rollouts"}, "run"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_wrong_is_named(what: str, http: httpx.AsyncClient) -> None:
    """By its field, and never by its value."""
    change, param = WRONG[what]
    content = json.dumps(BODY | change).encode("ascii")
    assert is_clear(await http.post("/v1/score", content=content, headers=JSON), 422, param)


async def test_a_field_with_half_a_character_for_a_name(http: httpx.AsyncClient) -> None:
    """What cannot even be written is refused, and does not break the answer."""
    content = json.dumps(BODY | {"\ud800": 1}).encode("ascii")
    assert is_clear(await http.post("/v1/score", content=content, headers=JSON), 422)


@pytest.mark.parametrize("field", ["rubric", "items"])
async def test_what_is_missing_is_named(field: str, http: httpx.AsyncClient) -> None:
    """A request is refused whole."""
    body = {name: value for name, value in BODY.items() if name != field}
    assert is_clear(await http.post("/v1/score", json=body), 422, field)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"vote": "c"}, "vote"),
        ({"vote": None}, "vote"),
        ({"prompt": " "}, "prompt"),
        ({"response_a": "长" * (MAX_TEXT + 1)}, "response_a"),
        ({"response_b": f"{WORDS}\0"}, "response_b"),
        ({"model_a": ""}, "model_a"),
        ({"id": "\ud800"}, "id"),
        ({"caller": "boss"}, "caller"),
    ],
)
async def test_a_vote_that_is_wrong(
    change: dict[str, Any], param: str, http: httpx.AsyncClient
) -> None:
    """A vote is stored for good, so it is checked like what is judged."""
    content = json.dumps(VOTE | change).encode("ascii")
    assert is_clear(await http.post("/v1/feedback", content=content, headers=JSON), 422, param)


async def test_anchors_are_judged_for_no_run_that_could_not_be_read(
    http: httpx.AsyncClient,
) -> None:
    """Their judgements are spent in the run's name, which is held to the same law."""
    body = {"rubric": "medical", "run": "a/rollouts", "step": 0}
    response = await http.post("/v1/drift", json=body)
    assert is_clear(response, 422, "run")
    assert "may not end in /rollouts" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=1e3", "limit"),
        ("sort=size", "sort"),
        ("sort=", "sort"),
        ("status=great", "status"),
        ("step=-1", "step"),
        ("step=NaN", "step"),
        ("step=null", "step"),
        (f"step={2**64}", "step"),
        ("rule=", "rule"),
        ("rule=%00", "rule"),
        ("flag=%20", "flag"),
        (f"flag={'f' * 101}", "flag"),
        ("cursor=%F0%9F", "cursor"),
        ("page=2", "page"),
        (f"{WORDS}=1", "(unknown)"),
    ],
)
async def test_a_parameter_that_is_wrong(query: str, param: str, http: httpx.AsyncClient) -> None:
    """A misspelt one is refused too: a filter that is ignored would lie."""
    assert is_clear(await http.get(f"/v1/runs/r/rollouts?{query}"), 422, param)


@pytest.mark.parametrize("run", ["%20", "%E3%80%80", "r" * 201, ""])
async def test_a_runs_name_that_is_none(run: str, http: httpx.AsyncClient) -> None:
    """What could not have been judged under a name is refused before it is looked for."""
    assert is_clear(await http.get(f"/v1/runs/{run}"), 422, "run")


@pytest.mark.parametrize("path", ["/v1/runs/%FF%FE", "/v1/runs/%ZZ", "/v1/runs/%", "/v1/none", "/"])
async def test_a_path_that_leads_nowhere(path: str, http: httpx.AsyncClient) -> None:
    """Bad percent-encoding names no run; an unknown path is unknown."""
    assert is_clear(await http.get(path), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/v1/score", "/v1/runs", "/v1/runs/r", "/v1/feedback", "/readyz"])
async def test_a_method_that_is_none(method: str, path: str, http: httpx.AsyncClient) -> None:
    """The answer says which there are."""
    response = await http.request(method, path)
    assert is_clear(response, 405)
    assert response.headers["Allow"]


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "\xff"],
)
async def test_a_body_of_another_kind(kind: str | None, http: httpx.AsyncClient) -> None:
    """curl's default is told what to add."""
    headers = {} if kind is None else {"Content-Type": kind.encode("latin-1")}
    response = await http.post("/v1/score", content=json.dumps(BODY), headers=headers)
    assert is_clear(response, 415)
    assert "Content-Type" in response.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_by_any_of_its_names(kind: str, http: httpx.AsyncClient) -> None:
    """Parameters and letter case are no reason to refuse."""
    response = await http.post(
        "/v1/score", content=json.dumps(BODY), headers={"Content-Type": kind}
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    "key",
    [b"", b"Bearer", b"Bearer ", b"Basic eDp5", b"Bearer \xff\xfe", "Bearer 密".encode(), b"\x80",
     b"Bearer " + b"x" * 100_000, b"Bearer a b"],
)  # fmt: skip
async def test_a_key_that_is_none(key: bytes, make_app: AppMaker) -> None:
    """Whatever bytes stand there, they are no key, and are not repeated."""
    transport = httpx.ASGITransport(make_app(keys=KeyRing.parse(["a:user:12345678"])))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        response = await http.get("/v1/rubrics", headers=[(b"Authorization", key)])
    assert is_clear(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_junk_in_other_headers_is_no_matter(http: httpx.AsyncClient) -> None:
    """What the judge does not read cannot hurt it; a request id that looks harmful is replaced."""
    headers = [
        (b"X-Request-Id", b"\xff<script>"),
        (b"Accept", b"image/png"),
        (b"Accept-Language", b"\x80\x81"),
        (b"Cookie", b"a=" + b"x" * 4000),
        (b"X-Request-Id", b"second"),
        (b"Range", b"bytes=0-1"),
    ]
    response = await http.get("/v1/rubrics", headers=headers)
    assert response.status_code == 200
    assert b"script" not in response.headers["X-Request-Id"].encode()


async def test_a_body_without_end(http: httpx.AsyncClient) -> None:
    """Is stopped when it has grown past the limit, not when it ends."""
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            await asyncio.sleep(0)
            sent += 1
            yield b" " * 65536

    response = await http.post("/v1/score", content=chunks(), headers=JSON)
    assert is_clear(response, 413)
    assert sent * 65536 < 20 * 1024 * 1024


async def test_nothing_is_kept_of_what_was_refused(http: httpx.AsyncClient) -> None:
    """A request is judged whole or not at all."""
    items = [ITEM, ITEM | {"id": "b", "response": f"{WORDS}\0"}]
    response = await http.post("/v1/score", json=BODY | {"items": items, "run": "r"})
    assert is_clear(response, 422, "items.1.response")
    assert (await http.get("/v1/runs")).json() == {"runs": [], "next_cursor": None}


async def test_as_many_items_as_may_be(http: httpx.AsyncClient) -> None:
    """The limit itself is no error."""
    items = [ITEM | {"id": str(number)} for number in range(MAX_ITEMS)]
    response = await http.post("/v1/score", json=BODY | {"items": items})
    assert [item["id"] for item in response.json()["items"]] == [item["id"] for item in items]
