"""Whose request a service without keys may answer: programs of this machine, and no page elsewhere.

Such a service listens on loopback only, yet a browser on the same machine would carry a request of
any page to it. It tells from where: by `Origin`, and for a page whose name was made to resolve to
this machine, by the name in `Host`. Programs send neither, or loopback's names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from galen.errors import Forbidden
from galen.keys import KEYS_VARIABLE

_NAME = rb"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"
_HOST = re.compile(_NAME, re.IGNORECASE)
_ORIGIN = re.compile(rb"https?://" + _NAME, re.IGNORECASE)


def refuse_elsewhere(headers: Mapping[bytes, bytes]) -> None:
    """`Forbidden` for a request that a page of another machine has had sent.

    `headers` has lower-case names. A request that names no host was sent by no browser.
    """
    host, origin = headers.get(b"host"), headers.get(b"origin")
    if host and not _HOST.fullmatch(host):
        raise Forbidden(
            "without keys this service answers to localhost and 127.0.0.1 only; ask it by such a "
            f"name, or set {KEYS_VARIABLE}"
        )
    if origin and not _ORIGIN.fullmatch(origin):
        raise Forbidden(
            "without keys this service answers no page of another origin; open the page from "
            f"localhost, or set {KEYS_VARIABLE}"
        )
