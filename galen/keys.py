"""Who may do what: bearer keys with roles, read from the environment or a file.

One key a line (or comma): `name:role:secret`. Without keys a service is open, and may then listen
on loopback only.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from galen.errors import Forbidden, InvalidInput, Unauthorized

Role = Literal["user", "rollout", "admin"]
KEYS_VARIABLE = "GALEN_KEYS"


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    role: Role


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
        """Keys from `file` if given, else from `GALEN_KEYS`; none of either gives an empty ring."""
        try:
            text = file.read_text("utf-8") if file else os.environ.get(KEYS_VARIABLE, "")
        except (OSError, UnicodeDecodeError):
            message = f"keys_file: {file} cannot be read as UTF-8 text; mend it or its path"
            raise InvalidInput(message, param="keys_file") from None
        return cls.parse(text.replace(",", "\n").splitlines())

    @classmethod
    def parse(cls, lines: Sequence[str]) -> KeyRing:
        callers: dict[str, Caller] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            parts = line.strip().split(":")
            if len(parts) != 3 or parts[1] not in get_args(Role) or len(parts[2]) < 8:
                roles = ", ".join(get_args(Role))
                raise InvalidInput(
                    f"key {number}: write name:role:secret, with a role of {roles} "
                    "and a secret of at least 8 characters"
                )
            name, role, secret = parts
            callers[secret] = Caller(name, role)  # type: ignore[arg-type]  # checked above
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
