"""An engine that somebody else runs: on another GPU, another machine, in Kubernetes.

The gateway checks its health every few seconds. It leaves a mark on the engine (vLLM's weight
version): an engine that has lost its mark was restarted and holds its start weights only. vLLM
reads the mark in the loop that computes tokens, so the same call finds a hung engine.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any

import aiohttp

from galen.errors import GalenError, Unavailable, UpstreamFailed
from server.engines.connections import Connections
from server.engines.engine import PLAIN_RELOAD, OnReady

log = logging.getLogger(__name__)

WATCH_S = 2.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
QUICK_S = 5.0
"""Limit in seconds for calls that a healthy engine answers at once."""
MARK = "galen-"
_SWITCH = "start that vLLM with VLLM_SERVER_DEV_MODE=1"
_DEMAND = {"/v1/models": "it is no vLLM server, or not at the root of this address"}
"""What a missing route means, where it does not mean `_SWITCH`."""


class RemoteEngine:
    """Follows `server.engines.engine.Engine`. `hang_limit_s` bounds the liveness call (seconds)."""

    socket = None
    reload_method = PLAIN_RELOAD

    def __init__(self, url: str, connections: Connections, hang_limit_s: float) -> None:
        self._url = url.rstrip("/")
        self._connections = connections
        self._hang_limit_s = hang_limit_s
        self._mark = ""
        self._put_aside = asyncio.Event()
        self.served_name = ""
        self.problem: str | None = "has not been reached yet"
        self.restarts = 0
        self.is_fresh = True
        self.steps_under_way = 0
        self.retry_after_s = 5.0

    @property
    def base_url(self) -> str:
        return self._url

    async def run(self, on_ready: OnReady) -> None:
        """Bring it into the rotation whenever it is well, until cancelled."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                await self._join(on_ready)
                backoff_s = FIRST_BACKOFF_S
                await self._watch()
            except GalenError as error:
                if self.problem != error.message:
                    log.error(
                        "engine out of rotation",
                        extra={"engine": self._url, "reason": error.message},
                    )
                self.problem = error.message
                # Nobody may wait for an answer that does not come.
                await self._connections.drop()
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    def restart(self, reason: str) -> None:
        """Take it out of the rotation until it has caught up; its process is not ours to end."""
        self.problem = f"is catching up: {reason}"
        self._put_aside.set()

    async def _join(self, on_ready: OnReady) -> None:
        self._put_aside.clear()
        self.served_name = await self._base_model()
        was_known = self._mark
        found = await self._read_mark()
        self.is_fresh = not found.startswith(MARK)
        self._mark = f"{MARK}{secrets.token_hex(8)}"
        # Marked before it is brought up to date, so that a restart in between is noticed.
        await self._call("POST", "/update_weight_version", {"new_version": self._mark})
        if was_known and self.is_fresh:
            self.restarts += 1
        await on_ready()
        log.info("engine ready", extra={"engine": self._url})

    async def _watch(self) -> None:
        """Returns once it is put aside; raises if it is not well or was restarted."""
        while True:
            try:
                async with asyncio.timeout(WATCH_S):
                    await self._put_aside.wait()
                return
            except TimeoutError:
                if self.steps_under_way:
                    continue  # vLLM answers nothing meanwhile; those calls have their own limits.
                if (found := await self._read_mark()) != self._mark:
                    raise Unavailable(_lost_mark(found)) from None

    async def _base_model(self) -> str:
        answer = await self._call("GET", "/v1/models")
        try:
            return str(next(card["id"] for card in answer["data"] if not card.get("parent")))
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise UpstreamFailed("does not list its models as vLLM does") from error

    async def _read_mark(self) -> str:
        answer = await self._call("GET", "/weight_info", limit_s=self._hang_limit_s)
        return str(answer.get("weight_version"))

    async def _call(
        self, method: str, path: str, body: Any = None, limit_s: float = QUICK_S
    ) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(limit_s)
        try:
            async with self._connections.session.request(
                method, f"{self._url}{path}", json=body, timeout=limit
            ) as answer:
                if answer.status == 404:
                    raise UpstreamFailed(f"has no route {path}: {_DEMAND.get(path, _SWITCH)}")
                if answer.status != 200:
                    raise Unavailable(f"answers {path} with status {answer.status}")
                content = await answer.json()
        except TimeoutError:
            raise Unavailable(f"did not answer {path} within {limit_s:.0f} s") from None
        except aiohttp.ClientError:
            raise Unavailable("cannot be reached") from None
        except ValueError:
            raise UpstreamFailed(f"answers {path} with something that is not JSON") from None
        if not isinstance(content, dict):
            raise UpstreamFailed(f"answers {path} in an unknown shape")
        return content


def _lost_mark(found: str) -> str:
    if found.startswith(MARK):
        return "is used by another gateway as well; give each gateway engines of its own"
    return "was restarted"
