"""A model's text as safe HTML.

Of Markdown only headings, bold and bullets are rendered. There are no links and no images, so an
answer cannot make the reader's browser load anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from webui.text import Part, storable

_BOLD = re.compile(r"(\*\*)(?=\S)([^\n*]+?)(?<=\S)(\*\*)")
_HEADING = re.compile(r"^(#{1,6} +)(.*)$", re.MULTILINE)
_BULLET = re.compile(r"^ {0,8}([-*]) (?=\S)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked span [start, end) of a completion, with its reason as `label`."""

    start: int
    end: int
    label: str
    good: bool


_Kind = Literal["strong", "hidden", "bullet"]


@dataclass(frozen=True, slots=True)
class _Style:
    start: int
    end: int
    kind: _Kind


def escape(text: str) -> str:
    """`text` as HTML. Line ends become `<br>`, so the result is one line and a Markdown renderer
    leaves it unchanged. NUL and lone surrogates become �."""
    shown = html.escape(storable(text), quote=True)
    return "<br>".join(shown.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def attribute(text: str) -> str:
    """`text` escaped for a quoted attribute, on one line."""
    return html.escape(storable(" ".join(text.split())), quote=True)


def plain(text: str) -> str:
    """`text` as one block of safe HTML, without Markdown."""
    return f'<div class="galen-text">{escape(text)}</div>'


def rendered(part: Part, marks: Sequence[Mark] = ()) -> str:
    """The part as one block of safe HTML, with `<mark>` around marked spans.

    Where marks overlap, the text gets the labels of all of them and is bad if any of them is. A
    mark over the whole part is left out, since it points at nothing in particular.
    """
    styles = list(_styles(part))
    end = part.start + len(part.text)
    marks = [mark for mark in marks if mark.start > part.start or mark.end < end]
    spans = [(mark.start, mark.end) for mark in marks] + [(s.start, s.end) for s in styles]
    inside = {edge for span in spans for edge in span if part.start < edge < end}
    pieces = []
    for left, right in pairwise(sorted({part.start, end, *inside})):
        kinds = {style.kind for style in styles if style.start <= left and right <= style.end}
        covering = [mark for mark in marks if mark.start <= left and right <= mark.end]
        pieces.append(_piece(part.text[left - part.start : right - part.start], kinds, covering))
    return f'<div class="galen-text">{"".join(pieces)}</div>'


def _styles(part: Part) -> Iterator[_Style]:
    def style(
        match: re.Match[str], group: int, kind: Literal["strong", "hidden", "bullet"]
    ) -> _Style:
        return _Style(part.start + match.start(group), part.start + match.end(group), kind)

    for match in _HEADING.finditer(part.text):
        yield style(match, 1, "hidden")
        yield style(match, 2, "strong")
    for match in _BOLD.finditer(part.text):
        yield style(match, 1, "hidden")
        yield style(match, 2, "strong")
        yield style(match, 3, "hidden")
    for match in _BULLET.finditer(part.text):
        yield style(match, 1, "bullet")


def _piece(text: str, kinds: set[_Kind], covering: Sequence[Mark]) -> str:
    if "hidden" in kinds:
        return ""
    shown = "•" if "bullet" in kinds else escape(text)
    if "strong" in kinds:
        shown = f"<strong>{shown}</strong>"
    if covering:
        kind = "good" if all(mark.good for mark in covering) else "bad"
        label = attribute("；".join(dict.fromkeys(mark.label for mark in covering)))
        shown = f'<mark class="hit-{kind}" title="{label}">{shown}</mark>'
    return shown
