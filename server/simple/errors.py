"""The refusals that vLLM answers with 400 where the gateway itself would say 422."""

from __future__ import annotations

from galen.errors import GalenError


class BadRequest(GalenError):
    """What was asked for cannot be done; the message names the field and what it may be."""

    status, code = 400, "invalid_request"


def wrong(field: str, what: str) -> BadRequest:
    """A refusal that names the field at fault."""
    return BadRequest(f"{field}: {what}", param=field)
