"""One call to an OpenAI-compatible endpoint, and what its failure means.

There are three kinds of failure. Another try may succeed (408, 429, 5xx, a lost connection). The
operator must act (no credit, a refused key, an unknown model or address): the endpoint latches. Or
this request cannot succeed (403, another 4xx).
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

Schema = dict[str, Any]
"""A `response_format` with a JSON schema."""

_OVERLOADED = frozenset({429, 503, 529})
_UNANSWERED = frozenset({504, 524})
"""A gateway gave up waiting; the work may have been done and billed."""
_CONNECT_S = 10.0
_KEY = re.compile(r"[!-~]+")
_WHOLE_PATH = "/chat/completions"
_VERSIONED = re.compile(r"/v\d\w*(?:/|$)")
_MODEL_CODES = frozenset({"model_not_found", "invalid_model", "model_not_supported"})
_NAME = r"""["'`]?[\w./:@-]{0,80}["'`]?"""
_UNKNOWN_MODEL = re.compile(
    rf"(?:unknown|no such|invalid) model|model {_NAME} ?(?:does |is |has been |was )?"
    r"(?:not (?:exist|found|available|a valid|supported)|no longer|deprecated|retired|ended)",
    re.IGNORECASE,
)
_LONGEST_DETAIL = 80


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
        """`api_key` is "" for an endpoint without one. Raises `InvalidInput` for an unusable base
        URL or key."""
        host = _host_of(settings.base_url)
        if api_key and not _KEY.fullmatch(api_key):
            message = f"the key in {KEY_VARIABLE} is not one word of ASCII; copy it again"
            raise InvalidInput(message, param=KEY_VARIABLE)
        self.host = host
        self.latched: Latch | None = None
        self._settings = settings
        self.profile = settings.profile_at(host)
        self._url = url_of(settings.base_url)
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None

    @property
    def sampling(self) -> dict[str, Any]:
        """All fields of a request but model, messages and schema."""
        return self.profile.sampling(self._settings.max_tokens)

    @property
    def address(self) -> str:
        """The same for every spelling of one base URL."""
        return self._url.removesuffix(_WHOLE_PATH).removesuffix("/v1")

    async def complete(self, messages: Messages, schema: Schema | None = None) -> Completion:
        """Send `messages` once; only connecting has a time limit.

        `schema` is sent where the profile says so.

        Raises `TryLaterError`, `TeacherError` (another try cannot succeed), or `MalformedError`
        for a 200 that is not a completion.
        """
        body = {"model": self._settings.model, "messages": messages, **self.sampling}
        if schema is not None and self.profile.reply_format == "json_schema":
            body["response_format"] = schema
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
        status, host, model = response.status, self.host, self._settings.model
        if status in (408, 429) or status >= 500:
            return TryLaterError(
                f"status {status}",
                after_s=_seconds(response.headers.get("Retry-After", "")),
                overloaded=status in _OVERLOADED,
                billed=status in _UNANSWERED,
            )
        fault = _Fault.read(content)
        if status == 402:
            message = f"{host} has no credit left; top it up and restart the judge"
            self.latched = Latch("out_of_credit", message)
        elif status == 401:
            message = f"{host} refused the key in {KEY_VARIABLE}; correct it and restart"
            self.latched = Latch("teacher_refused", message)
        elif status in (400, 404) and fault.names_model:
            message = f"{host} has no model {model!r}{fault}; set JUDGE_MODEL and restart"
            self.latched = Latch("teacher_refused", message)
        elif status == 404:
            path = urlsplit(self._url).path
            message = f"{host} has nothing at {path}{fault}; correct JUDGE_BASE_URL and restart"
            self.latched = Latch("teacher_refused", message)
        elif status == 403:
            message = f"{host} refused this input (403){fault}; others may pass. If none does, the"
            message += f" key in {KEY_VARIABLE} has no right to {model!r}"
            return TeacherError("judge_refused", message, retryable=False)
        else:
            hint = "; see judge.teacher.profile and options" if fault.param else ""
            message = f"{host} answered {status}{fault}{hint}"
            return TeacherError("provider_error", message, retryable=False)
        return TeacherError(self.latched.code, self.latched.message, retryable=False)


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error's `param` and `code`. Its message is not passed on: it may quote the input."""

    param: str = ""
    code: str = ""
    names_model: bool = False

    @classmethod
    def read(cls, content: bytes) -> _Fault:
        text = content.decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        error = body.get("error", body) if isinstance(body, dict) else {}
        fields = error if isinstance(error, dict) else {"message": error}
        param, code = (_word(fields.get(name)) for name in ("param", "code"))
        said = _UNKNOWN_MODEL.search(str(fields.get("message", ""))) is not None
        return cls(param, code, said or code in _MODEL_CODES or param == "model")

    def __str__(self) -> str:
        named = {"param": self.param, "code": self.code}
        known = ", ".join(f"{name} {value}" for name, value in named.items() if value)
        return f" ({known})" if known else ""


def _word(value: object) -> str:
    """A short word that can be shown; "" for anything else."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if re.fullmatch(rf"[\w.\[\]-]{{1,{_LONGEST_DETAIL}}}", text, re.ASCII) else ""


def url_of(base_url: str) -> str:
    """Where to post: the whole path may be given, and /v1 may be left out."""
    stem = base_url.rstrip("/").removesuffix(_WHOLE_PATH)
    versioned = _VERSIONED.search(urlsplit(stem).path) or base_url.rstrip("/").endswith(_WHOLE_PATH)
    return f"{stem}{'' if versioned else '/v1'}{_WHOLE_PATH}"


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


def _seconds(retry_after: str) -> float | None:
    """Retry-After in seconds; None if it is a date."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return None
