"""The law of exact duplicates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.checking.duplicates import ExactDuplicates


@given(st.lists(st.text(max_size=2), max_size=2000))
def test_it_knows_what_a_dictionary_knows(texts: list[str]) -> None:
    """The first key of each text, through every growth of the table."""
    table, known = ExactDuplicates(), dict[str, int]()
    for key, text in enumerate([*texts, *map(str, range(1500)), *texts], start=1):
        assert table.seen(key, text) == known.get(text)
        known.setdefault(text, key)
