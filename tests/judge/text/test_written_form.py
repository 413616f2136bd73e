"""The text as a rule reads it, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.text.written_form import read_plain


@pytest.mark.parametrize(
    "written",
    [
        "吃头孢",
        "吃頭孢",
        "吃 头 孢",
        "吃头\u200b孢",
        "吃**头孢**",
        "吃·头·孢",
        "吃头-孢",
        "吃头\ufe0f孢",
        "吃⼤".replace("⼤", "头") + "孢",
    ],
)
def test_what_a_person_reads_is_what_a_rule_reads(written: str) -> None:
    """Traditional characters, spaces, invisible characters, emphasis and dots hide no word."""
    assert read_plain(written).text == "吃头孢"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("一天３次", "一天3次"),
        ("ＣＴ检查", "CT检查"),
        ("不用去,吃药", "不用去，吃药"),
        ("⽤药", "用药"),
        ("1,000毫克", "1,000毫克"),
        ("120/80", "120/80"),
    ],
)
def test_forms_of_a_character_are_one(written: str, plain: str) -> None:
    """Full width, compatibility forms and half-width punctuation read as usual; numbers stay."""
    assert read_plain(written).text == plain


def test_a_span_finds_its_way_back() -> None:
    """What is marked is what was written, tricks included."""
    written = "可以吃 頭\u200b 孢 两天"
    plain = read_plain(written)
    start = plain.text.index("头孢")
    low, high = plain.written(start, start + 2)
    assert written[low:high] == "頭\u200b 孢"


@given(st.text(alphabet="吃头頭孢 \u200b*·，,.A１1\n/-", max_size=60))
def test_every_character_remembers_its_place(written: str) -> None:
    """Places rise, lie in the text, and a plain text is read again as itself."""
    plain = read_plain(written)
    places = list(plain.places)
    assert len(places) == len(plain.text)
    assert places == sorted(set(places))
    assert all(0 <= place < len(written) for place in places)
