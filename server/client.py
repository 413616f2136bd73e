"""The policy server's client, for the trainer and the web page."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx

from galen.errors import InvalidInput, UpstreamFailed
from galen.http import ServiceClient, error_of, unreachable
from galen.telemetry import outgoing_headers
from server.schemas import PolicyState, Sampling, TokenCompletion

VERSION_HEADER = "X-Policy-Version"
ROLE_HEADER = "X-Galen-Role"
"""`rollout` puts a request behind those of people, whatever the key's role."""


class PolicyClient(ServiceClient):
    async def complete_tokens(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, model: str = "policy"
    ) -> TokenCompletion:
        """One completion of token ids, as token ids: no text is tokenized again on the way.

        It counts as a rollout, so people's requests go before it.
        """
        body = {
            "model": model,
            "prompt": list(prompt_ids),
            "return_token_ids": True,
            "logprobs": 0,
            "top_k": 0,
            **sampling.model_dump(exclude_none=True),
        }
        headers = {ROLE_HEADER: "rollout"}
        answer = await self.call("POST", "/v1/completions", body=body, headers=headers)
        try:
            choice = answer["choices"][0]
            token_ids = tuple(choice["token_ids"])
            logprobs = tuple(choice["logprobs"]["token_logprobs"])
            completion = TokenCompletion(
                token_ids=token_ids,
                logprobs=logprobs,
                text=choice["text"],
                finish_reason=choice["finish_reason"],
                version=answer["model"].removeprefix("policy@"),
            )
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise UpstreamFailed(
                f"{self.base_url}/v1/completions answered in an unknown shape"
            ) from error
        if len(token_ids) != len(logprobs):
            raise UpstreamFailed(
                f"{self.base_url}: {len(token_ids)} tokens, {len(logprobs)} logprobs"
            )
        return completion

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """`/v1/chat/completions`, not streamed, as the OpenAI API defines it."""
        answer = await self.call("POST", "/v1/chat/completions", body=body)
        return dict(answer)

    async def chat_stream(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a streamed chat completion; one with `error` ends an answer that broke off.
        Closing the iterator cancels the generation."""
        request = {**body, "stream": True}
        try:
            async with self._http.stream(
                "POST", "/v1/chat/completions", json=request, headers=outgoing_headers()
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise error_of(response, self.base_url)
                async for line in response.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield _chunk(line.removeprefix("data: "), self.base_url)
        except httpx.HTTPError as error:
            raise unreachable(self.base_url) from error

    async def refuse_unknown(self, model: str) -> None:
        """`InvalidInput` if the server has no such model now. Works with a bare engine too."""
        answer = await self.call("GET", "/v1/models")
        try:
            known = [card["id"] for card in answer["data"]]
        except (KeyError, TypeError) as error:
            raise UpstreamFailed(f"{self.base_url}/v1/models has an unknown shape") from error
        if model not in known:
            others = "; `galen activate` lets another version answer" if "policy" in known else ""
            message = f"{model!r} is not served; there are: {', '.join(known)}{others}"
            raise InvalidInput(message, param="model")

    async def policy(self) -> PolicyState:
        return await self.call_for(PolicyState, "GET", "/policy")

    async def publish(self, name: str, path: Path, *, activate: bool = True) -> PolicyState:
        """Load a version folder; answers once the parity probe has passed and it serves."""
        body = {"name": name, "path": _absolute(path), "activate": activate}
        return await self.call_for(PolicyState, "POST", "/policy/versions", body=body)

    async def activate(self, name: str) -> PolicyState:
        return await self.call_for(PolicyState, "POST", "/policy/activate", body={"name": name})

    async def delete(self, name: str) -> PolicyState:
        return await self.call_for(PolicyState, "DELETE", f"/policy/versions/{name}")


def _chunk(text: str, base_url: str) -> dict[str, Any]:
    try:
        chunk = json.loads(text)
    except ValueError as error:
        raise UpstreamFailed(f"{base_url} streamed something that is not JSON") from error
    if not isinstance(chunk, dict):
        raise UpstreamFailed(f"{base_url} streamed a chunk of an unknown shape")
    return chunk


def _absolute(path: Path) -> str:
    """The server may have another working folder."""
    return str(path.resolve())
