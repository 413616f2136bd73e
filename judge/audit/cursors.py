"""Opaque cursors: each holds the last row of a page.

The next page starts after that row, not after a number of rows, so new rows shift nothing.
"""

from __future__ import annotations

import base64
import binascii
from typing import Self

from pydantic import Field, ValidationError

from galen.errors import InvalidInput
from judge.schemas import Wire


class Place(Wire):
    """The last row of a page: its `list`, its `sort`, and the `value` that it was sorted by."""

    list: str
    sort: str = ""
    value: float | None = Field(default=None, allow_inf_nan=False)
    id: int = Field(ge=0, lt=2**63)

    def cursor(self) -> str:
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode()

    @classmethod
    def read(cls, cursor: str | None, list: str, sort: str = "") -> Self | None:
        """Decode a cursor; raises `InvalidInput` if it belongs to another list or order."""
        if cursor is None:
            return None
        try:
            place = cls.model_validate_json(base64.urlsafe_b64decode(cursor))
        except (binascii.Error, ValidationError):
            raise _unusable() from None
        if (place.list, place.sort) != (list, sort):
            raise _unusable()
        return place


def _unusable() -> InvalidInput:
    message = "not a cursor of this list in this order; use next_cursor of the previous page"
    return InvalidInput(message, param="cursor")
