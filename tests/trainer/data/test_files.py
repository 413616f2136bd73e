"""Laws of files: which container and encoding they are in, and which row lies where."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import InvalidInput
from trainer.data import files
from trainer.data.files import FileForm, form_of, read_rows
from trainer.data.problems import Problem

ROWS = [{"question": "头痛怎么办？", "n": 1}, {"question": "发烧呢？", "n": 2}]


def found(path: Path) -> list[tuple[str, Any]]:
    return list(read_rows(path, form_of(path)))


def problems(path: Path) -> list[str]:
    return [str(row) for _, row in found(path) if isinstance(row, Problem)]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
@pytest.mark.parametrize(
    ("encoding", "read_as"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with a mark"),
        ("utf-16", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("gbk", "GBK"),
    ],
)
def test_json_is_read_by_its_content_in_every_encoding(
    tmp_path: Path, name: str, encoding: str, read_as: str
) -> None:
    """Lines and arrays under any name hold the same rows."""
    path = tmp_path / name
    for text, container in [
        ("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), "JSON lines"),
        (json.dumps(ROWS, ensure_ascii=False, indent=1), "JSON array"),
    ]:
        path.write_bytes(text.encode(encoding))
        assert str(form_of(path)) == f"{container}, {read_as}"
        assert [row for _, row in found(path)] == ROWS


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=8))
def test_an_array_is_read_as_the_lines_are(rows: list[dict[str, Any]]) -> None:
    """Row by row, whatever the texts hold and wherever the pieces are cut."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(rows), "utf-8")
        assert [row for _, row in read_rows(path, FileForm("JSON array", "utf-8"))] == rows


def test_an_array_is_read_in_pieces(tmp_path: Path) -> None:
    """Elements longer than a piece, and more of them than one piece holds, keep their lines."""
    rows = [{"text": "痛" * size, "n": size} for size in (10, 3 * files.SAMPLE, 10, 400_000, 10)]
    path = tmp_path / "rows.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]")
    assert found(path) == [(f"line {n}", row) for n, row in enumerate(rows, start=2)]


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    """Each is named with its number and with what to do; the good ones are read."""
    path = tmp_path / "rows.jsonl"
    bad = [b"{not json}", b'"text"', b"[1]", b'{"a": NaN}', b"\xff", b'{"a": "\\ud800"}']
    path.write_bytes(
        b"\n".join([b'{"a": 1}', b"", *bad, b'{"a": ' + b"9" * 5000 + b"}", b'{"a":2}'])
    )
    assert [row for _, row in found(path) if not isinstance(row, Problem)] == [{"a": 1}, {"a": 2}]
    assert problems(path) == [
        "line 3: not JSON: Expecting property name enclosed in double quotes at column 2; "
        "rows are one JSON object a line, or one JSON array",
        "line 4: a text, no object; write each row as {…}",
        "line 5: an array, no object; write each row as {…}",
        "line 6: holds NaN, which is no number in JSON; replace the number",
        "line 7: not UTF-8 at byte 0; save the file as UTF-8, or delete the line",
        "line 8: contains a lone surrogate, which is no character; remove it",
        "line 9: holds a number that is too long; replace the number",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1},\n{"a": NaN},\n{"a": 2}]', "line 2: holds NaN, which is no number in JSON"),
        ('[{"a": 1},\n3,\n{"a": 2}]', "line 2: a number, no object"),
        ('[{"a": 1},\n{"a": "\\ud800"},\n{"a": 2}]', "line 2: contains a lone surrogate"),
    ],
)
def test_a_bad_element_costs_only_itself(tmp_path: Path, text: str, reason: str) -> None:
    """In an array whose JSON is whole."""
    path = tmp_path / "rows.json"
    path.write_text(text)
    assert [row for _, row in found(path) if not isinstance(row, Problem)] == [{"a": 1}, {"a": 2}]
    assert [problem.startswith(reason) for problem in problems(path)] == [True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1},\n{"b": 2', "line 2: not JSON: Expecting ',' delimiter"),
        ('[{"a": 1},\n', "line 2: the array is not closed"),
        ('[{"a": 1},\n{"a" 1},\n{"a": 2}]', "line 2: not JSON: Expecting ':' delimiter"),
    ],
)
def test_nothing_is_read_after_a_fault_in_an_arrays_json(
    tmp_path: Path, text: str, reason: str
) -> None:
    """The rows before it are, and the place of the fault is named."""
    path = tmp_path / "rows.json"
    path.write_text(text)
    (_, first), (_, problem) = found(path)
    assert first == {"a": 1}
    assert str(problem).startswith(reason)


def test_elements_on_one_line_are_told_apart(tmp_path: Path) -> None:
    """A whole array on one line is what most programs write."""
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1}, {"a": 2},\n{"a": 3}, 4]')
    assert [place for place, _ in found(path)] == [
        "line 1",
        "line 1, row 2",
        "line 2",
        "line 2, row 4",
    ]


def test_a_table_is_read_by_its_head(tmp_path: Path) -> None:
    """Empty cells are missing fields; the columns of turns may hold JSON."""
    path = tmp_path / "rows.csv"
    turns = [{"from": "human", "value": 'a,\n"b"'}]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["id", "conversations", "x"], ["7", json.dumps(turns), ""]])
    assert found(path) == [("row 2", {"id": "7", "conversations": turns})]
    path.write_text('a,b\n1,2,3\n4,"5\n')
    assert [each.partition(";")[0] for each in problems(path)] == [
        "row 2: more cells than columns",
        "row 3: not CSV: unexpected end of data",
    ]


def test_parquet_is_read_by_batches(tmp_path: Path) -> None:
    """Rows are counted from 1; nulls are missing fields."""
    path = tmp_path / "rows.parquet"
    rows: list[dict[str, Any]] = [{"a": "x", "t": [{"role": "user"}]}, {"a": None, "t": []}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert found(path) == [("row 1", rows[0]), ("row 2", {"t": []})]
    path.write_bytes(path.read_bytes()[:-9])
    assert [each.startswith("file: no Parquet: ") for each in problems(path)] == [True]


def test_a_text_file_is_one_text_a_line(tmp_path: Path) -> None:
    """Blank lines are none, and a byte order mark is no part of the first."""
    path = tmp_path / "in.txt"
    path.write_bytes("\ufeff头痛怎么办？\r\n\n  发烧呢？\n".encode())
    assert found(path) == [("line 1", {"text": "头痛怎么办？"}), ("line 3", {"text": "发烧呢？"})]


def test_utf_8_with_one_bad_line_is_no_gbk(tmp_path: Path) -> None:
    """The bad line is named, instead of the whole file being read as nonsense."""
    path = tmp_path / "in.txt"
    path.write_bytes("头痛怎么办\n".encode() * 3 + b"\xff\xfe\n")
    assert problems(path) == [
        "line 4: not UTF-8 at byte 0; save the file as UTF-8, or delete the line"
    ]


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(InvalidInput, match="no such file; check the path"):
        form_of(tmp_path / "a.jsonl")
    with pytest.raises(InvalidInput, match="a folder; name a file in it"):
        form_of(tmp_path)
