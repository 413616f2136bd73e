"""The gateway's own calls to an engine: vLLM's HTTP API, typed.

Every call has the same time limit. A call that the engine refuses is `UpstreamFailed` with the
engine's reason; one that it does not answer is `Unavailable` or `DeadlineExceeded`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from galen.errors import DeadlineExceeded, GalenError, Unavailable, UpstreamFailed
from server.engines.connections import Connections
from server.engines.engine import Engine

QUICK_S = 2.0
LONGEST_REASON = 300
"""Characters."""


class EngineApi:
    def __init__(self, engine: Engine, connections: Connections, step_limit_s: float) -> None:
        self._engine = engine
        self._connections = connections
        self._limit_s = step_limit_s

    async def pause(self, *, clear_cache: bool = True) -> None:
        """Begin no new request and abort every other, waiting and preempted ones too.

        The gate is closed meanwhile, so nobody waits for an aborted answer. `clear_cache` drops the
        cached prefixes, which are right for these weights only. After an error the engine works on.
        """
        query = {"mode": "abort", "clear_cache": str(clear_cache).lower()}
        try:
            await self._call("/pause", query=query)
        except GalenError:
            with contextlib.suppress(GalenError):
                await self.resume()
            raise

    async def resume(self) -> None:
        await self._call("/resume")

    async def reload_weights(self, folder: Path) -> None:
        """Read other weights into the running model; to be called while it is paused."""
        method = self._engine.reload_method
        body = {"method": method, "kwargs": {"weights_path": str(folder)}}
        await self._call("/collective_rpc", body)

    async def load_adapter(self, name: str, folder: Path) -> None:
        await self._call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})

    async def unload_adapter(self, name: str) -> None:
        await self._call("/v1/unload_lora_adapter", {"lora_name": name})

    async def adapters(self) -> list[str]:
        """The engine's names of the adapters that it has loaded."""
        answer = await self._call("/v1/models", method="GET")
        try:
            return [card["id"] for card in answer["data"] if card.get("parent")]
        except (KeyError, TypeError, AttributeError) as error:
            raise UpstreamFailed("the engine listed its models in an unknown shape") from error

    async def token_logprobs(
        self, model: str, token_ids: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """For each sequence, log p(t+1 | ..t) of its own tokens: one number fewer than tokens.

        One at a time, with no other request in the engine: with adapters, vLLM's CPU build crashes
        when prompt log-probabilities are asked for in a batch of more than one request.
        """
        return [await self._sequence_logprobs(model, ids) for ids in token_ids]

    async def _sequence_logprobs(self, model: str, ids: Sequence[int]) -> list[float]:
        body = {
            "model": model,
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 1.0,
            "prompt_logprobs": 0,
        }
        answer = await self._call("/v1/completions", body)
        try:
            # The first token has no log-probability.
            positions = answer["choices"][0]["prompt_logprobs"][1:]
            return [
                float(position[str(token)]["logprob"])
                for position, token in zip(positions, ids[1:], strict=True)
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UpstreamFailed("the engine answered a probe in an unknown shape") from error

    async def metrics(self) -> str:
        """The engine's metrics in Prometheus' text format; empty when it does not answer."""
        return await self._quickly("/metrics") or ""

    async def is_alive(self) -> bool:
        """Whether `/health` answers 200 within two seconds."""
        return await self._quickly("/health") is not None

    async def _quickly(self, path: str) -> str | None:
        url, limit = f"{self._engine.base_url}{path}", aiohttp.ClientTimeout(QUICK_S)
        try:
            async with self._connections.session.get(url, timeout=limit) as answer:
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _call(
        self,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        method: str = "POST",
    ) -> Any:
        url = f"{self._engine.base_url}{path}"
        self._engine.steps_under_way += 1
        try:
            async with (
                asyncio.timeout(self._limit_s),
                self._connections.session.request(method, url, json=body, params=query) as answer,
            ):
                text = await answer.text()
                if answer.status >= 500 and not await self.is_alive():
                    raise Unavailable(f"the engine died during {path}", retry_after_s=5)
                if answer.status != 200:
                    raise UpstreamFailed(
                        f"the engine refused {path}: {_reason(text, answer.status)}"
                    )
                is_json = answer.content_type == "application/json"
                return await answer.json() if is_json else text
        except TimeoutError as error:
            message = f"the engine did not finish {path} within {self._limit_s:.0f} s"
            raise DeadlineExceeded(message) from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the engine does not answer {path}", retry_after_s=5) from error
        except ValueError as error:
            raise UpstreamFailed(f"the engine's answer to {path} is not JSON") from error
        finally:
            self._engine.steps_under_way -= 1


def _reason(text: str, status: int) -> str:
    """The engine's own words, cut short. They hold no prompt, as it was sent token ids only."""
    try:
        reason = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        reason = text
    return " ".join(reason.split())[:LONGEST_REASON] or f"status {status}"
