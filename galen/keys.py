"""Who may do what: bearer keys with roles, read from the environment or a file.

One key a line (or comma): `name:role:secret[:per_minute[:at_once]]`. A limit that is empty or left
out is none. Without keys a service is open, and may then listen on loopback only.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from galen.errors import Forbidden, InvalidInput, Unauthorized

Role = Literal["user", "rollout", "admin"]
KEYS_VARIABLE = "GALEN_KEYS"
_COMMENT = re.compile(r"(?:^|\s)#.*")
"""Also behind a key; a `#` within a secret is none."""
_LIMIT = re.compile(r"(?:[1-9][0-9]{0,8})?")


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    role: Role
    per_minute: int | None = None
    """Requests that may begin in a minute; None is no limit."""
    at_once: int | None = None
    """Requests that may be under way at one time; None is no limit."""

    @property
    def is_limited(self) -> bool:
        """Work done in a key's name, such as a batch, bears the name without the limits."""
        return self.per_minute is not None or self.at_once is not None


ANYBODY = Caller("local", "admin")
"""Who calls a service that has no keys; it listens on loopback, so the caller owns the machine."""


class KeyRing:
    """The keys of one service."""

    def __init__(self, callers_by_secret: dict[str, Caller]) -> None:
        self._callers_by_secret = callers_by_secret

    def __bool__(self) -> bool:
        return bool(self._callers_by_secret)

    @classmethod
    def load(cls, file: Path | None) -> KeyRing:
        """Keys from `file` if given, else from `GALEN_KEYS`, which may be empty.

        `InvalidInput` for a file that cannot be read or holds no key.
        """
        try:
            text = file.read_text("utf-8") if file else os.environ.get(KEYS_VARIABLE, "")
        except (OSError, UnicodeDecodeError):
            message = f"keys_file: {file} cannot be read as UTF-8 text; mend it or its path"
            raise InvalidInput(message, param="keys_file") from None
        ring = cls.parse(
            [key for line in text.splitlines() for key in _COMMENT.sub("", line).split(",")]
        )
        if file and not ring:  # Whoever names a file wants keys; without any, all may do all.
            message = f"keys_file: {file} holds no key; write name:role:secret, one a line"
            raise InvalidInput(message, param="keys_file")
        return ring

    @classmethod
    def parse(cls, lines: Sequence[str]) -> KeyRing:
        """One key a line; blank lines and comments (#) are none.

        `InvalidInput` names a bad line by its number and shows no part of it.
        """
        callers: dict[str, Caller] = {}
        number_of: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            secret, caller = _parsed(line.strip(), number)
            if secret in callers:
                twin = number_of[callers[secret].name]
                raise InvalidInput(f"key {number}: its secret is that of key {twin}; change one")
            if caller.name in number_of:
                twin = number_of[caller.name]
                raise InvalidInput(
                    f"key {number}: its name is that of key {twin}, and limits go by name; "
                    "change one"
                )
            callers[secret] = caller
            number_of[caller.name] = number
        return cls(callers)

    def identify(self, authorization: str | None, api_key: str | None = None) -> Caller:
        """The caller named by an `Authorization: Bearer …` header, or where there is none by the
        `x-api-key` of Anthropic's clients."""
        if not self:
            return ANYBODY
        given = authorization if authorization is not None else f"Bearer {api_key or ''}"
        scheme, _, secret = given.partition(" ")
        if scheme.lower() == "bearer":
            for known, caller in self._callers_by_secret.items():
                if hmac.compare_digest(known.encode(), secret.strip().encode()):
                    return caller
        raise Unauthorized("no valid key; send the header 'Authorization: Bearer <key>'")


def _parsed(line: str, number: int) -> tuple[str, Caller]:
    """The secret and the caller of one key line."""
    name, *rest = line.split(":")
    if not name or not 2 <= len(rest) <= 4 or rest[0] not in get_args(Role) or len(rest[1]) < 8:
        roles = ", ".join(get_args(Role))
        raise InvalidInput(
            f"key {number}: write name:role:secret[:per_minute[:at_once]], with a role of {roles} "
            "and a secret of at least 8 characters, none of them a ':'"
        )
    role, secret, *limits = rest
    if not all(_LIMIT.fullmatch(limit) for limit in limits):
        raise InvalidInput(
            f"key {number}: write name:role:secret[:per_minute[:at_once]]; a limit is a whole "
            "number of 1 or more, or empty for none, and a secret holds no ':'"
        )
    per_minute, at_once = (int(limit) if limit else None for limit in [*limits, "", ""][:2])
    return secret, Caller(name, role, per_minute, at_once)  # type: ignore[arg-type]  # checked above


def require(caller: Caller, *roles: Role) -> None:
    """Refuse a caller whose role is none of `roles`; an admin may do everything."""
    if caller.role != "admin" and caller.role not in roles:
        raise Forbidden(
            f"the key {caller.name!r} has the role {caller.role!r}, which may not do this"
        )


def refuse_open_bind(host: str, keys: KeyRing) -> None:
    """Without keys a service may listen on loopback only."""
    if keys or is_loopback(host):
        return
    raise InvalidInput(
        f"refusing to listen on {host} without keys: set {KEYS_VARIABLE}=name:role:secret "
        "or use host 127.0.0.1",
        param="host",
    )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
