"""Work for a client, cancelled when the client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """True once `work` is done; False if the client hung up first, which cancels `work`.

    Raises what `work` raises. Await it once the request's body has been read.
    """
    task = asyncio.current_task()
    assert task
    is_gone = False

    async def watch() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        await work
        return True
    except asyncio.CancelledError:
        if not is_gone:
            raise
        return False
    finally:
        watching.cancel()
        if is_gone:
            task.uncancel()
