"""Every error that Galen raises on purpose.

A message says what went wrong, where, and what to do. It never holds a key or a patient's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar


class GalenError(Exception):
    """Base of all deliberate errors; carries what an HTTP answer needs.

    `param` names the field at fault; `retry_after_s` is in seconds.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The error in the shape that OpenAI's clients read."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }


class InvalidInput(GalenError):
    """The caller's data is wrong."""

    status, code = 422, "invalid_request"


class RecipeError(InvalidInput):
    """A YAML file does not describe what it should; the message names the file and the field."""


class DataError(InvalidInput):
    """A data file has bad lines. `problems` holds one line for each of them."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        shown = "\n".join(f"  {problem}" for problem in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        super().__init__(f"{path}: {len(problems)} bad line(s)\n{shown}{more}")
        self.path = path
        self.problems = tuple(problems)


class MalformedJson(GalenError):
    status, code = 400, "malformed_json"


class Unauthorized(GalenError):
    status, code = 401, "unauthorized"


class Forbidden(GalenError):
    status, code = 403, "forbidden"


class NotFound(GalenError):
    status, code = 404, "not_found"


class Conflict(GalenError):
    status, code = 409, "conflict"


class VersionRefused(Conflict):
    """A policy version failed its checks; the previous one still serves."""

    code = "version_refused"


class PayloadTooLarge(GalenError):
    status, code = 413, "payload_too_large"


class UnsupportedMedia(GalenError):
    status, code = 415, "unsupported_media_type"


class Overloaded(GalenError):
    status, code, retryable = 429, "overloaded", True


class UpstreamFailed(GalenError):
    """Another service answered nonsense."""

    status, code = 502, "upstream_failed"


class Unsupported(UpstreamFailed):
    """The service has the route and cannot do what it is for."""

    status, code = 501, "not_implemented"


class Unavailable(GalenError):
    status, code, retryable = 503, "unavailable", True


class Unreachable(Unavailable):
    """Nobody listens at the service's address, or the connection broke."""


class EngineLost(Unavailable):
    """The engine died while it worked on the request, which may be the cause."""


class Displaced(Unavailable):
    """The answer was cut off so that another policy version could be loaded."""


class DeadlineExceeded(GalenError):
    status, code, retryable = 504, "deadline_exceeded", True


class StorageFull(GalenError):
    """No room on the service's disk."""

    status, code = 507, "storage_full"


class TrainingStopped(GalenError):
    """A run wrote its checkpoint and stopped, since going on would give wrong results."""

    code = "training_stopped"
