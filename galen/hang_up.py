"""Work for a client, for as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` was done before the client hung up; if not it has been cancelled.

    Raises what `work` raises. To be awaited once the request's body has been read.
    """
    working = asyncio.create_task(work)
    hang_up = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({working, hang_up}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        hang_up.cancel()
        working.cancel()
        await asyncio.gather(working, hang_up, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
