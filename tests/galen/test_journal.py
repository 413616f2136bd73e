"""What a journal keeps through a kill, a full disk and a second process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import Conflict, StorageFull
from galen.journal import Journal, OtherWork
from tests.fakes.small_disk import small_disk

SIZE = 4


def put_all(path: Path, entries: list[tuple[int, bool, dict[str, Any]]]) -> bytes:
    """The journal's file with these entries in it."""
    with Journal(path, "mine", SIZE) as journal:
        for index, good, entry in entries:
            journal.put(index, good, entry)
    return path.read_bytes()


def state(journal: Journal) -> list[Any]:
    return [
        (journal.is_good(n), json.loads(journal.read(n))) if journal.has(n) else None
        for n in range(SIZE)
    ]


def test_entries_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    """With their success, in whatever order they came; of two for one index the last one counts."""
    path = tmp_path / "j"
    put_all(path, [(2, True, {"a": "头\n痛"}), (0, False, {"a": 1}), (0, True, {"a": 2})])
    with Journal(path, "mine", SIZE) as journal:
        assert state(journal) == [(True, {"a": 2}), None, (True, {"a": "头\n痛"}), None]
        assert (journal.good, journal.failed) == (2, 0)


ENTRIES = st.lists(
    st.tuples(
        st.integers(0, SIZE - 1),
        st.booleans(),
        st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers()),
    )
)


@given(entries=ENTRIES, data=st.data())
def test_a_kill_at_any_byte_loses_what_was_not_whole_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[int, bool, dict[str, Any]]],
    data: st.DataObject,
) -> None:
    """Whatever stood on disk, it opens, holds the entries whose lines are whole, and goes on."""
    path = tmp_path_factory.mktemp("journal") / "j"
    whole = put_all(path, entries)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = max(0, whole[:cut].count(b"\n") - 1)
    expected: list[Any] = [None] * SIZE
    for index, good, entry in entries[:kept]:
        expected[index] = (good, entry)
    with Journal(path, "mine", SIZE) as journal:
        assert state(journal) == expected
        journal.put(0, True, {"after": 1})
    with Journal(path, "mine", SIZE) as journal:
        assert state(journal) == [(True, {"after": 1}), *expected[1:]]


def test_other_work_is_not_mixed_in(tmp_path: Path) -> None:
    """A journal that belongs to something else is refused, and stays as it is."""
    before = put_all(tmp_path / "j", [(1, True, {})])
    with pytest.raises(OtherWork, match="other work"):
        Journal(tmp_path / "j", "yours", SIZE)
    assert (tmp_path / "j").read_bytes() == before


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    """Whoever comes second is told; once the first is done it may be opened."""
    with (
        Journal(tmp_path / "j", "mine", SIZE),
        pytest.raises(Conflict, match="another process"),
    ):
        Journal(tmp_path / "j", "mine", SIZE)
    with Journal(tmp_path / "j", "mine", SIZE) as journal:
        assert not journal.has(0)


def test_what_does_not_fit_leaves_no_trace(tmp_path: Path) -> None:
    """On a full disk the entry is refused whole, those before stay, and there may be more later."""
    with Journal(tmp_path / "j", "mine", SIZE) as journal:
        journal.put(0, True, {"a": 1})
        with small_disk(4096), pytest.raises(StorageFull):
            journal.put(1, True, {"a": "x" * 8192})
        assert not journal.has(1)
        journal.put(2, True, {"a": 3})
    with Journal(tmp_path / "j", "mine", SIZE) as journal:
        assert state(journal) == [(True, {"a": 1}), None, (True, {"a": 3}), None]
