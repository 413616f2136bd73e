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
from judge.settings import KEY_VARIABLE, TeacherSettings
from judge.teacher.calls.completion import Completion
from judge.teacher.profiles import PROFILES, profile_for
from judge.teacher.reply import MalformedError
from judge.teacher.verdict import TeacherError

Messages = list[dict[str, str]]

_OVERLOADED = frozenset({429, 503, 529})
_ROUTE = "/chat/completions"
_CONNECT_S = 10.0
_KEY = re.compile(r"[!-~]+")
_UNKNOWN_MODEL = re.compile(
    r"model[^.]{0,60}?(?:not exist|not found|unknown|ended|deprecat|no longer)"
    r"|(?:unknown|invalid|no such) model",
    re.IGNORECASE,
)
_OF_THE_KEY = re.compile(
    r"api.?key|credential|unauthori[sz]ed|authenticat|permission", re.IGNORECASE
)


_SHORT = re.compile(r"(?!None$)[\w.\[\]-]{1,60}")
"""What is passed on of an endpoint's error; its message may hold a patient's words."""


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
        """An empty key sends none. Raises `InvalidInput` for an unusable base URL or key."""
        host = _host_of(settings.base_url)
        if api_key and not _KEY.fullmatch(api_key):
            message = f"the key in {settings.key_variable} is not one word of ASCII; copy it again"
            raise InvalidInput(message, param=settings.key_variable)
        self.host = host
        self.latched: Latch | None = None
        self._settings = settings
        self._urls = _addresses(settings.base_url)
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None
        named = PROFILES[settings.profile] if settings.profile else None
        self.profile = settings.request or named or profile_for(host, settings.model)

    @property
    def sampling(self) -> dict[str, Any]:
        """All fields of a request but model and messages."""
        return self.profile.sampling(self._settings.max_tokens)

    async def complete(
        self, messages: Messages, schema: dict[str, Any] | None = None
    ) -> Completion:
        """Send `messages` once; only connecting has a time limit. `schema` is the reply's, for
        endpoints that take one.

        Raises `TryLaterError`, `TeacherError` (another try cannot succeed), or `MalformedError`
        for a 200 that is not a completion.
        """
        body = {"model": self._settings.model, "messages": messages, **self.sampling}
        if self.profile.form == "json_schema":
            told = {"name": "verdict", "strict": True, "schema": schema or {"type": "object"}}
            body["response_format"] = {"type": "json_schema", "json_schema": told}
        data = json.dumps(body, ensure_ascii=False).encode("utf-8")
        try:
            async with self._open().post(
                self._urls[0], data=data, allow_redirects=False
            ) as response:
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
        self._urls = self._urls[:1]
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
                proxy=_proxy_for(self._urls[0]),
            )
        return self._session

    def _meaning(self, response: aiohttp.ClientResponse, content: bytes) -> Exception:
        """The exception for an error status; latches if the operator must act."""
        status, host = response.status, self.host
        if status in (408, 429) or status >= 500:
            after_s = _seconds(response.headers.get("Retry-After", ""))
            return TryLaterError(
                f"status {status}", after_s=after_s, overloaded=status in _OVERLOADED
            )
        told = content.decode("utf-8", "replace")
        if status == 404 and len(self._urls) > 1 and not _names_unknown_model(told):
            self._urls = self._urls[1:]
            return TryLaterError("no such address; trying the other")
        if status == 402:
            message = f"{host} has no credit left; top it up and restart the judge"
            self.latched = Latch("out_of_credit", message)
        elif status == 401 or (status == 403 and _OF_THE_KEY.search(told)):
            message = (
                f"{host} refused the key in {self._settings.key_variable}; correct it and restart"
            )
            self.latched = Latch("teacher_refused", message)
        elif status in (400, 404) and _names_unknown_model(told):
            model = self._settings.model
            message = f"{host} has no model {model!r}; set JUDGE_MODEL and restart"
            self.latched = Latch("teacher_refused", message)
        elif status == 404:
            message = f"{host} has no {_ROUTE} at this address; set JUDGE_BASE_URL and restart"
            self.latched = Latch("teacher_refused", message)
        elif status == 403:
            message = f"{host} refused this text (403); other items are judged"
            return TeacherError("judge_refused", message, retryable=False)
        else:
            message = f"{host} answered {status}{_named(content)}"
            return TeacherError("provider_error", message, retryable=False)
        return TeacherError(self.latched.code, self.latched.message, retryable=False)


def _addresses(base_url: str) -> list[str]:
    """Where the route may be: as written, with or without the route itself; then with `/v1` added
    or taken off."""
    base = base_url.rstrip("/").removesuffix(_ROUTE).rstrip("/")
    other = base.removesuffix("/v1") if base.endswith("/v1") else f"{base}/v1"
    return [f"{base}{_ROUTE}", f"{other}{_ROUTE}"]


def _named(content: bytes) -> str:
    """The field and the code that an error in OpenAI's shape names."""
    try:
        error = json.loads(content)["error"]
        named = [
            f"{key} {error[key]}" for key in ("param", "code") if _SHORT.fullmatch(str(error[key]))
        ]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({', '.join(named)})" if named else ""


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


def _names_unknown_model(told: str) -> bool:
    return "model_not_found" in told or bool(_UNKNOWN_MODEL.search(told))


def _seconds(retry_after: str) -> float | None:
    """Retry-After in seconds; None if it is a date."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return None
