"""What the translated APIs take for a message's text."""

from __future__ import annotations

from typing import Any

import pytest

from server.simple.errors import BadRequest
from server.simple.texts import text_of


def test_parts_stand_on_lines_of_their_own() -> None:
    """A string is a text already."""
    assert text_of("x", "头痛") == "头痛"
    assert text_of("x", [{"type": "text", "text": "头痛"}, {"text": "三天"}]) == "头痛\n三天"
    assert text_of("x", []) == ""


@pytest.mark.parametrize("content", [None, 5, {"text": "x"}, ["x"], [{"type": "image"}]])
def test_what_is_no_text_is_refused_with_its_field(content: Any) -> None:
    """The model reads nothing else."""
    with pytest.raises(BadRequest, match="only parts of text") as refused:
        text_of("messages.3", content)
    assert refused.value.param == "messages.3"
