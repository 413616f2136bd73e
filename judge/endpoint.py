"""One call to an OpenAI-compatible endpoint, and what its failure means.

There are three kinds of failure. Another try may succeed (429, 500, 503, a lost connection). The
operator must act (no credit, a refused key, an unknown model): the endpoint latches. Or this
request cannot succeed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from pydantic import ValidationError

from galen.errors import InvalidInput
from judge.completion import Completion
from judge.reply import MalformedError
from judge.settings import KEY_VARIABLE, TeacherSettings
from judge.verdict import TeacherError

Messages = list[dict[str, str]]

_OVERLOADED = frozenset({429, 503})
_RETRIED = _OVERLOADED | {500}
_CONNECT_S = 10.0
_KEY = re.compile(r"[!-~]+")
_UNKNOWN_MODEL = re.compile(
    r"model[^.]{0,60}?(?:not exist|not found|unknown|invalid|ended|deprecat|no longer|not support)",
    re.IGNORECASE,
)


class TryLaterError(Exception):
    """A failure after which another try may succeed, no sooner than `after_s` seconds if given."""

    def __init__(
        self,
        reason: str,
        *,
        after_s: float | None = None,
        overloaded: bool = False,
        billed: bool = False,
    ) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.overloaded = overloaded
        """The endpoint refused because it is overloaded."""
        self.billed = billed
        """The endpoint may have done the work and billed it."""


@dataclass(frozen=True, slots=True)
class Latch:
    """Why no further call is made until the operator acts."""

    code: str
    message: str


class Endpoint:
    """`latched` is set once only the operator can help."""

    def __init__(self, settings: TeacherSettings, api_key: str) -> None:
        """Raises `InvalidInput` for an unusable base URL or key."""
        host = _host_of(settings.base_url)
        if not _KEY.fullmatch(api_key):
            message = f"the key in {KEY_VARIABLE} is not one word of ASCII; copy it again"
            raise InvalidInput(message, param=KEY_VARIABLE)
        self.host = host
        self.latched: Latch | None = None
        self._settings = settings
        self._url = f"{settings.base_url.rstrip('/')}/chat/completions"
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Content-Type": "application/json",
        }
        self._session: aiohttp.ClientSession | None = None
        deepseek = host == "deepseek.com" or host.endswith(".deepseek.com")
        self._thinking_off = deepseek if settings.thinking_off is None else settings.thinking_off

    @property
    def sampling(self) -> dict[str, Any]:
        """All fields of a request but model and messages."""
        sampling: dict[str, Any] = {
            "temperature": 0.0,
            "max_tokens": self._settings.max_tokens,
            "response_format": {"type": "json_object"},
        }
        if self._thinking_off:
            sampling["thinking"] = {"type": "disabled"}
        return sampling

    async def complete(self, messages: Messages) -> Completion:
        """Send `messages` once; only connecting has a time limit.

        Raises `TryLaterError`, `TeacherError` (another try cannot succeed), or `MalformedError`
        for a 200 that is not a completion.
        """
        body = {"model": self._settings.model, "messages": messages, **self.sampling}
        data = json.dumps(body, ensure_ascii=False).encode("utf-8")
        try:
            async with self._open().post(self._url, data=data, allow_redirects=False) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise TryLaterError("no connection") from None
        except (aiohttp.InvalidURL, ValueError):  # before a byte was sent
            message = f"no request can be made to {self.host}; fix teacher.base_url and restart"
            raise TeacherError("provider_error", message, retryable=False) from None
        except (aiohttp.ClientError, OSError):
            raise TryLaterError("the connection was lost", billed=True) from None
        if response.status != 200:
            raise self._meaning(response, content)
        try:
            return Completion.model_validate_json(content)
        except ValidationError:
            reply = content.decode("utf-8", "replace")
            raise MalformedError("not a chat completion", reply) from None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """The session, created at the first call because it needs a running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                proxy=_proxy_for(self._url),
            )
        return self._session

    def _meaning(self, response: aiohttp.ClientResponse, content: bytes) -> Exception:
        """The exception for an error status; latches if the operator must act."""
        status, host = response.status, self.host
        if status in _RETRIED:
            after_s = _seconds(response.headers.get("Retry-After", ""))
            return TryLaterError(
                f"status {status}", after_s=after_s, overloaded=status in _OVERLOADED
            )
        if status == 402:
            message = f"{host} has no credit left; top it up and restart the judge"
            self.latched = Latch("out_of_credit", message)
        elif status in (401, 403):
            message = f"{host} refused the key in {KEY_VARIABLE}; correct it and restart"
            self.latched = Latch("teacher_refused", message)
        elif status == 404 or (status == 400 and _names_unknown_model(content)):
            model = self._settings.model
            message = f"{host} has no model {model!r}; set JUDGE_MODEL and restart"
            self.latched = Latch("teacher_refused", message)
        else:
            return TeacherError(
                "provider_error", f"{host} answered {status}", retryable=status >= 500
            )
        return TeacherError(self.latched.code, self.latched.message, retryable=False)


def _host_of(base_url: str) -> str:
    """Raises `InvalidInput`, which never repeats the URL: it may hold a password."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a bad port or address
        usable = False
    if not usable or not parts.hostname or re.search(r"[\s?#]", base_url):
        message = (
            "base_url (or JUDGE_BASE_URL) must be an http(s) URL such as https://api.deepseek.com, "
            f"without user, password or query; a key belongs in {KEY_VARIABLE}"
        )
        raise InvalidInput(message, param="teacher.base_url")
    return parts.hostname


def _proxy_for(url: str) -> str | None:
    """The environment's proxy, looked up once; aiohttp would read a file for it at every call."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _names_unknown_model(content: bytes) -> bool:
    return bool(_UNKNOWN_MODEL.search(content.decode("utf-8", "replace")))


def _seconds(retry_after: str) -> float | None:
    """Retry-After in seconds; None if it is a date."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return None
