"""Rows on disk: a bad file is refused whole, and every bad line is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from galen.errors import DataError, InvalidInput
from galen.records import CleanText, NonBlank, Record, read_jsonl, storable


class Line(Record):
    text: NonBlank
    count: int = 0


clean = TypeAdapter(CleanText)
any_text = st.text(st.characters(exclude_categories=[]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_jsonl(path, Line)
    return caught.value.problems


@given(any_text)
def test_storable_text_is_always_clean(text: str) -> None:
    """Whatever a model writes, `storable` makes text that a database can hold."""
    assert clean.validate_python(storable(text)) == storable(text)


@given(st.text(st.characters(exclude_characters="\x00", codec="utf-8")))
def test_storable_leaves_clean_text_alone(text: str) -> None:
    """Text that a database can hold is not changed."""
    assert storable(text) == text


def test_what_cannot_be_stored_becomes_the_replacement_mark() -> None:
    """A NUL and a lone surrogate each leave one visible mark."""
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"


def test_every_bad_line_is_named(path: Path) -> None:
    """One reading tells each bad line's number, its field and what is wrong."""
    good = b'{"text": "a"}'
    bad = [b'{"text": " "}', b"{", b'{"text": "a", "count": "x"}', b"\xff", b'{"txt": 1}', b"[]"]
    path.write_bytes(b"\n".join([good, *bad, good]))
    starts = ["line 2: text: ", "line 3: not JSON: ", "line 4: count: ", "line 5: not UTF-8"]
    starts += ["line 6: text: ", "line 7: (whole record): "]
    problems = problems_of(path)
    assert [p.startswith(s) for p, s in zip(problems, starts, strict=True)] == [True] * 6


def test_a_message_never_repeats_the_row(path: Path) -> None:
    """What a patient wrote does not stand in the error about it."""
    path.write_text('{"text": "private words", "count": "private number"}\n')
    assert "private" not in "".join(problems_of(path))


@pytest.mark.parametrize(("escape", "word"), [("\\u0000", "NUL"), ("\\ud800", "surrogate")])
def test_text_that_no_database_holds_is_refused(path: Path, escape: str, word: str) -> None:
    """A NUL or a lone surrogate, hidden in an escape, is found while reading."""
    path.write_text(f'{{"text": "a{escape}"}}\n')
    (problem,) = problems_of(path)
    assert problem.startswith("line 1: text: ")
    assert word in problem


@pytest.mark.parametrize("body", ["9" * 5000, "[" * 100_000])
def test_json_that_python_cannot_hold_is_a_bad_line(path: Path, body: str) -> None:
    """A number of thousands of digits, or endless nesting, is named like any bad line."""
    path.write_text(f'{{"text": "a"}}\n{body}\n')
    (problem,) = problems_of(path)
    assert problem.startswith("line 2: ")


def test_the_mark_that_windows_begins_a_file_with_is_no_text(path: Path) -> None:
    """It is taken for what it is at the beginning, and for a bad line anywhere else."""
    mark, line = "\ufeff", '{"text": "a"}\n'
    path.write_text(mark + line + line, "utf-8")
    assert [row.text for row in read_jsonl(path, Line)] == ["a", "a"]
    path.write_text(line + mark + line, "utf-8")
    assert [problem.partition(":")[0] for problem in problems_of(path)] == ["line 2"]


def test_blank_lines_are_skipped_and_counted(path: Path) -> None:
    """Blank lines are no rows, yet numbers are those an editor shows."""
    path.write_text('\n{"text": "a"}\n  \n{"text": "b"}\n\n')
    assert [row.text for row in read_jsonl(path, Line)] == ["a", "b"]
    path.write_text('\n\n{"text": ""}\n')
    assert problems_of(path)[0].startswith("line 3: text: ")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_rows_is_refused(path: Path, content: str) -> None:
    """Training on nothing is a mistake, and is told before it starts."""
    path.write_text(content)
    assert problems_of(path) == ("the file has no rows",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.jsonl", "no such file; check the path"),
        (".", "a folder; name a file in it"),
        ("kept.jsonl/rows.jsonl", "cannot be read: Not a directory; check the path"),
    ],
)
def test_a_path_that_leads_to_no_rows_is_named(path: Path, name: str, reason: str) -> None:
    """A wrong path is told as that: no line of the file is bad, and nobody's recipe is blamed."""
    (path.parent / "kept.jsonl").write_text('{"text": "a"}\n')
    wrong = path.parent / name
    with pytest.raises(InvalidInput) as caught:
        read_jsonl(wrong, Line)
    assert caught.value.message == f"{wrong}: {reason}"


def test_a_file_that_may_not_be_read_is_named(path: Path) -> None:
    """What the system refuses is said in the system's words."""
    path.symlink_to(path)  # refused to root as well, unlike a mode of 000
    with pytest.raises(InvalidInput, match=r"rows\.jsonl: cannot be read: Too many levels"):
        read_jsonl(path, Line)
