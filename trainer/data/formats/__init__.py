"""The formats that rows come in. Each module names its columns, reads a row and writes one.

`recognise` takes the first format whose columns a row has. Adding one is a module and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.data.formats import alpaca, messages, pairs, plain, preference, sharegpt, unpaired
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow

FORMATS = (
    preference.FORMAT,
    unpaired.FORMAT,
    messages.FORMAT,
    sharegpt.FORMAT,
    pairs.FORMAT,
    alpaca.ROWS,
    alpaca.ALPACA,
    plain.FORMAT,
)
"""In the order in which a row is tried."""
BY_NAME = {each.name: each for each in FORMATS}


def recognise(row: Mapping[str, Any]) -> Format:
    """The row's format. Raises `BadRow` if no format has its columns."""
    for each in FORMATS:
        if each.fits(row):
            return each
    columns = ", ".join(sorted(row)) or "none"
    raise BadRow(
        "",
        f"no known format has these columns: {columns}",
        "docs/data.md lists the formats; name the columns in a source file",
    )
