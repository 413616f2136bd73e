"""Which pages in a browser may reach a service that has no keys.

Such a service listens on loopback only, yet a browser on the same machine would send it any page's
request. `Origin` names the page's machine. A page whose name was made to resolve to this machine
counts as the same origin; then `Host` has that name. Programs send neither, or loopback's names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from galen.errors import Forbidden
from galen.keys import KEYS_VARIABLE

_NAME = rb"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"
_HOST = re.compile(_NAME, re.IGNORECASE)
_ORIGIN = re.compile(rb"https?://" + _NAME, re.IGNORECASE)


def refuse_elsewhere(headers: Iterable[tuple[bytes, bytes]], origins: Sequence[str] = ()) -> None:
    """`Forbidden` for a request by a page of another machine, unless `origins` lists its origin.

    `headers` have lower-case names. A request without `Host` comes from no browser.
    """
    for name, value in headers:
        if name == b"host" and value and not _HOST.fullmatch(value):
            raise Forbidden(
                "without keys this service answers to localhost and 127.0.0.1 only; call it by "
                f"such a name, or set {KEYS_VARIABLE}"
            )
        known = name != b"origin" or _ORIGIN.fullmatch(value) or value.decode("latin-1") in origins
        if not known:
            raise Forbidden(
                "without keys this service answers no page of another origin; open the page from "
                f"localhost, name its origin in `origins`, or set {KEYS_VARIABLE}"
            )
