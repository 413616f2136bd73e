"""Word lists mean the same however they are arranged."""

from __future__ import annotations

import re

import pytest

from galen.dangers.wordlist import any_of, compiled

ENTRIES = "[发高]烧 (?:上次|以前)剩 (?<!情绪)安定 (?<![服用])药 头孢(?:克肟)? 头痛 a? \\d+片 [（(]x"
TEXTS = [
    "发烧", "高烧", "烧", "上次剩", "以前剩", "剩", "安定", "情绪安定", "药", "服药", "用药吃药",
    "头孢克肟", "头孢", "头痛", "3片", "（x", "(x", "",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_rearranging_changes_no_match(text: str) -> None:
    """Grouped by first characters or joined as written, a list finds the same places."""
    written = re.compile("|".join(f"(?:{entry})" for entry in ENTRIES.split() if entry != "a?"))
    arranged = compiled(ENTRIES.replace(" a?", ""))
    assert [m.span() for m in arranged.finditer(text)] == [m.span() for m in written.finditer(text)]


def test_entries_with_one_beginning_keep_their_order() -> None:
    """The first of them that matches wins, as in any alternation."""
    assert compiled("头孢克肟 头孢").search("头孢克肟")[0] == "头孢克肟"  # type: ignore[index]
    assert compiled("头孢 头孢克肟").search("头孢克肟")[0] == "头孢"  # type: ignore[index]


def test_a_list_may_stand_in_another() -> None:
    """A group made of a list is an entry like any other."""
    assert compiled(f"不{any_of('要 能')}吃").fullmatch("不能吃")
