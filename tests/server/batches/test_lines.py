"""Which lines are requests, and what is said of those that are none."""

from __future__ import annotations

import asyncio
import codecs
import json
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import InvalidInput, MalformedJson
from server.batches import lines
from server.batches.lines import MOST_ERRORS, check, numbered, parsed
from server.batches.schemas import LineError
from tests.server.batches.bench import ENDPOINT, line


def checked(path: Path, texts: Iterable[str | bytes]) -> Sequence[LineError]:
    """What is wrong with a file of these lines."""
    with path.open("wb") as out:
        for text in texts:
            out.write((text.encode() if isinstance(text, str) else text) + b"\n")
    return asyncio.run(check(path, ENDPOINT))[1]


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{", "malformed_json", None),
        (b"\xff", "malformed_json", None),
        ("[" * 100_000, "malformed_json", None),
        ("[]", "invalid_request", None),
        (line("a", custom_id=7), "invalid_request", "custom_id"),
        (line("a", custom_id=""), "invalid_request", "custom_id"),
        (line("a", custom_id="x" * 513), "invalid_request", "custom_id"),
        ("{}", "invalid_request", "custom_id"),
        (line("a", method="GET"), "invalid_request", "method"),
        (line("a", url="/v1/chat/completions"), "invalid_request", "url"),
        (line("a", body=[]), "invalid_request", "body"),
        (line("a", body={"stream": True}), "invalid_request", "body.stream"),
        (line("a", method=None), "invalid_request", "method"),
        (line("a", body={"prompt": "\x00"}), "invalid_request", "body.prompt"),
        (line("first"), "invalid_request", "custom_id"),
    ],
)
def test_a_bad_line_is_named_with_its_number(
    tmp_path: Path, text: str | bytes, code: str, param: str | None
) -> None:
    """By what is wrong and where; blank lines count as lines and are no requests."""
    (error,) = checked(tmp_path / "in", [line("first"), "", text, line("last")])
    assert (error.line, error.code, error.param) == (3, code, param)


def test_bad_lines_are_named_up_to_a_bound(tmp_path: Path) -> None:
    """One upload shows what there is to mend."""
    texts = [line(f"q{n}") if n % 3 else "{" for n in range(1, 400)]
    errors = checked(tmp_path / "in", texts)
    assert [error.line for error in errors] == list(range(3, 301, 3))
    assert len(errors) == MOST_ERRORS


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_a_file_without_requests_is_bad(tmp_path: Path, texts: list[str]) -> None:
    """There is nothing to ask."""
    (error,) = checked(tmp_path / "in", texts)
    assert (error.code, error.line) == ("empty_file", None)


@pytest.mark.parametrize("before", [[], [""]])
def test_a_file_may_begin_with_windows_mark(tmp_path: Path, before: list[str]) -> None:
    """It stands before the first line, blank or not, and is no part of it."""
    path = tmp_path / "in"
    first, *rest = [*before, line("first"), line("last")]
    assert checked(path, ["\ufeff" + first, *rest]) == []
    found = [parsed(text, ENDPOINT).custom_id for _, text in numbered(path)]
    assert found == ["first", "last"]
    (error,) = checked(path, [line("first"), "\ufeff" + line("last")])
    assert (error.line, error.code) == (2, "malformed_json")


def test_too_many_requests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file, with what to do; the last one that fits still fits."""
    texts = [line(f"q{n}") for n in range(8)]
    monkeypatch.setattr(lines, "MOST_LINES", 8)
    assert checked(tmp_path / "in", texts) == []
    monkeypatch.setattr(lines, "MOST_LINES", 7)
    (error,) = checked(tmp_path / "in", texts)
    assert (error.code, error.line) == ("too_many_requests", None)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_line_without_an_end_is_not_read_whole(tmp_path: Path, mark: bytes) -> None:
    """It is refused by its length, and nothing after it is read."""
    endless = mark + b"{\n" + b"x" * (4 * lines.LONGEST_LINE)
    (tmp_path / "in").write_bytes(endless + b"\n{\n" + line("a").encode())
    tracemalloc.start()
    _, errors = asyncio.run(check(tmp_path / "in", ENDPOINT))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * lines.LONGEST_LINE
    assert [(e.line, e.code) for e in errors] == [(1, "malformed_json"), (2, "invalid_request")]


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Checking and reading 16 MB of requests never holds more than a few of them."""
    path = tmp_path / "in"
    with path.open("w", encoding="utf-8") as out:
        for number in range(500):
            out.write(line(f"{number}", body={"prompt": "x" * 32_000}) + "\n")
    tracemalloc.start()
    found, errors = asyncio.run(check(path, ENDPOINT))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (errors, found) == ([], 500)
    assert peak < 2_000_000


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["custom_id", "method", "url", "body"])


@given(raw=st.binary() | st.dictionaries(FIELDS, JSON).map(lambda row: json.dumps(row).encode()))
def test_any_bytes_are_a_request_or_a_bad_line(raw: bytes) -> None:
    """Nothing that a file may hold is an error of ours."""
    try:
        parsed(raw, ENDPOINT)
    except (InvalidInput, MalformedJson) as bad:
        assert bad.message


@given(
    custom_id=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1),
    body=st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32)), st.integers()),
)
def test_a_good_line_is_read_as_it_was_meant(custom_id: str, body: dict[str, Any]) -> None:
    """Id and body arrive unchanged, whatever they hold."""
    if body.get("stream"):
        body.pop("stream")
    read = parsed(line("q", custom_id=custom_id[:512], body=body).encode(), ENDPOINT)
    assert (read.custom_id, read.body) == (custom_id[:512], body)
