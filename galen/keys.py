"""Who may do what: bearer keys with roles, read from the environment or a file.

One key a line (or comma): `name:role:secret[:per_minute[:at_once]]`. An empty limit is none.
A file is read again when it changes. Without keys a service is open, and may then listen on
loopback only.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from galen.errors import Forbidden, InvalidInput, Unauthorized

log = logging.getLogger(__name__)

Role = Literal["user", "rollout", "admin"]
KEYS_VARIABLE = "GALEN_KEYS"
_COMMENT = re.compile(r"(?:^|\s)#.*")
"""May follow a key on its line. A `#` within a secret begins no comment."""
_LIMIT = re.compile(r"(?:[1-9][0-9]{0,8})?")
_FORM = "name:role:secret[:per_minute[:at_once]]"
_SENDABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""What every client can send in a header: printable ASCII, with no space at either end."""
_LOOK_EVERY_S = 1.0


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
        """False also for work in a key's name, such as a batch, which has no limits."""
        return self.per_minute is not None or self.at_once is not None


ANYBODY = Caller("local", "admin")
"""Who calls a service that has no keys; it listens on loopback, so the caller owns the machine."""


class KeyRing:
    """The keys of one service. A ring that has keys never loses all of them."""

    def __init__(
        self,
        callers_by_secret: Mapping[str, Caller],
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callers = _by_digest(callers_by_secret)
        self._file = file
        self._clock = clock
        self._look_at = -math.inf
        self._seen = _stamp(file) if file else None

    def __bool__(self) -> bool:
        return bool(self._callers)

    @classmethod
    def load(cls, file: Path | None, clock: Callable[[], float] = time.monotonic) -> KeyRing:
        """Keys from `file` if given, else from `GALEN_KEYS`, which may be empty.

        `InvalidInput` for a file that cannot be read or holds no key. A file that changes later is
        read again; if it is broken then, the old keys stay.
        """
        if file is None:
            return cls(_parsed(_entries(os.environ.get(KEYS_VARIABLE, ""))))
        ring = cls({}, file, clock)  # stamped before the read, so that no change is missed
        ring._callers = _by_digest(_read(file))
        return ring

    @classmethod
    def parse(cls, lines: Sequence[str]) -> KeyRing:
        """One key a line; blank lines and comments (#) are skipped.

        `InvalidInput` names a bad line by its number and shows no part of it.
        """
        return cls(_parsed(lines))

    def identify(self, authorization: str | None, api_key: str | None = None) -> Caller:
        """The caller named by an `Authorization: Bearer …` header, or without one by the
        `x-api-key` of Anthropic's clients."""
        if not self:
            return ANYBODY
        self._read_again_if_changed()
        given = authorization if authorization is not None else f"Bearer {api_key or ''}"
        scheme, _, secret = given.partition(" ")
        caller = self._callers.get(_digest(secret.strip()))
        if scheme.lower() == "bearer" and caller:
            return caller
        raise Unauthorized("no valid key; send the header 'Authorization: Bearer <key>'")

    def role_of(self, name: str | None) -> Role | None:
        """The role of the key of that name; None if there is none now."""
        if not self:
            return ANYBODY.role
        self._read_again_if_changed()
        return next((each.role for each in self._callers.values() if each.name == name), None)

    def _read_again_if_changed(self) -> None:
        """Take over the file's keys if it has changed; looks at most once a second."""
        if self._file is None or (now := self._clock()) < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY_S
        if (stamp := _stamp(self._file)) == self._seen:
            return
        self._seen = stamp
        try:
            self._callers = _by_digest(_read(self._file))
        except InvalidInput as error:
            log.error("the changed keys file is broken; the old keys stay: %s", error.message)
        else:
            log.info("keys read again", extra={"keys": len(self._callers)})


def _digest(secret: str) -> bytes:
    """Secrets are looked up by digest, so that timing reveals nothing about them."""
    return hashlib.sha256(secret.encode()).digest()


def _by_digest(callers_by_secret: Mapping[str, Caller]) -> dict[bytes, Caller]:
    return {_digest(secret): caller for secret, caller in callers_by_secret.items()}


def _entries(text: str) -> list[str]:
    return [key for line in text.splitlines() for key in _COMMENT.sub("", line).split(",")]


def _read(file: Path) -> dict[str, Caller]:
    """The callers by their secrets. `InvalidInput` for a file without a key, or a broken one."""
    try:
        text = file.read_text("utf-8-sig")  # Windows begins files with a mark.
    except (OSError, UnicodeDecodeError):
        message = f"keys_file: {file} cannot be read as UTF-8 text; mend it or its path"
        raise InvalidInput(message, param="keys_file") from None
    try:
        callers = _parsed(_entries(text))
    except InvalidInput as error:
        raise InvalidInput(f"keys_file: {file}: {error.message}", param="keys_file") from None
    if not callers:  # Without a key everybody may do everything.
        message = f"keys_file: {file} holds no key; write name:role:secret, one a line"
        raise InvalidInput(message, param="keys_file")
    return callers


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file does; None if it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _parsed(lines: Sequence[str]) -> dict[str, Caller]:
    callers: dict[str, Caller] = {}
    number_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        secret, caller = _key(line.strip(), number)
        if secret in callers:
            twin = number_of[callers[secret].name]
            raise InvalidInput(f"key {number}: its secret is that of key {twin}; change one")
        if caller.name in number_of:
            twin = number_of[caller.name]
            raise InvalidInput(
                f"key {number}: its name is that of key {twin}, and limits go by name; change one"
            )
        callers[secret] = caller
        number_of[caller.name] = number
    return callers


def _key(line: str, number: int) -> tuple[str, Caller]:
    """The secret and the caller of one key line."""
    name, role, secret, *limits = [*line.split(":"), "", ""] if line.count(":") > 1 else [""] * 3
    if role not in get_args(Role) or len(secret) < 8 or not name:
        raise InvalidInput(
            f"key {number}: write {_FORM}, with a role of {', '.join(get_args(Role))} and a secret "
            "of at least 8 characters, none of them a ':'"
        )
    if len(limits) > 4 or not all(_LIMIT.fullmatch(limit) for limit in limits):
        raise InvalidInput(
            f"key {number}: write {_FORM}; a limit is a whole number of 1 or more, or empty for "
            "none, and a secret holds no ':'"
        )
    if not (_SENDABLE.fullmatch(name) and _SENDABLE.fullmatch(secret)):
        raise InvalidInput(
            f"key {number}: its name or secret has a character outside printable ASCII, or a space "
            "at an end; such a key never matches what a client sends"
        )
    per_minute, at_once = (int(limit) if limit else None for limit in limits[:2])
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
