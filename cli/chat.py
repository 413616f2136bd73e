"""`galen chat`: talk to the policy in a terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import GalenError, UpstreamFailed

if TYPE_CHECKING:
    from server.client import PolicyClient


def register(app: typer.Typer) -> None:
    app.command()(chat)


def chat(
    server: Annotated[
        str | None, typer.Option(help="The policy server; else the one that is up here.")
    ] = None,
    model: Annotated[str, typer.Option(help="policy, policy@<version> or base")] = "policy",
    max_tokens: Annotated[int, typer.Option(min=1)] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.7,
) -> None:
    """Talk to the policy. Ctrl-C stops an answer, Ctrl-D leaves."""
    from cli import state
    from galen.records import storable

    url = server or state.server_url()
    typer.echo(
        f"{DISCLAIMER_ZH}\n{DISCLAIMER_EN}\nCtrl-C 停止生成 stops an answer · Ctrl-D 退出 leaves\n"
    )
    settings = {"model": model, "max_tokens": max_tokens, "temperature": temperature}
    messages: list[dict[str, str]] = []
    while (question := _ask()) is not None:
        if not question.strip():
            continue
        messages.append({"role": "user", "content": storable(question)})
        answer = _answer(url, {**settings, "messages": messages})
        if answer:
            messages.append({"role": "assistant", "content": answer})
        else:
            messages.pop()


def _ask() -> str | None:
    """The next question, or None at the end of the input."""
    try:
        return input("你 You> ")
    except (EOFError, KeyboardInterrupt):
        typer.echo()
        return None


def _answer(server: str, body: dict[str, Any]) -> str:
    """Stream one answer to the terminal; what stood there when Ctrl-C came, if it did."""
    spoken: list[str] = []
    try:
        asyncio.run(_stream(server, body, spoken))
    except KeyboardInterrupt:
        typer.secho(" [停止 stopped]", dim=True, nl=False)
    except GalenError as error:
        typer.secho(error.message, fg="red", err=True, nl=False)
    typer.echo("\n")
    return "".join(spoken).strip()


async def _stream(server: str, body: dict[str, Any], spoken: list[str]) -> None:
    from server.client import PolicyClient

    async with (
        PolicyClient(server, key=os.environ.get("GALEN_KEY")) as client,
        aclosing(_parts(client, body)) as parts,
    ):
        reasoned = False
        async for reasoning, answer in parts:
            if reasoning:
                typer.secho(reasoning, dim=True, nl=False)
                reasoned = True
            if answer:
                if reasoned and not spoken:
                    typer.echo("\n")
                typer.echo(answer.lstrip() if not spoken else answer, nl=False)
                spoken.append(answer)


async def _parts(client: PolicyClient, body: dict[str, Any]) -> AsyncGenerator[tuple[str, str]]:
    """Pieces of reasoning and of answer as they come; the engine has told them apart."""
    async with aclosing(client.chat_stream(body)) as chunks:
        async for chunk in chunks:
            if "error" in chunk:
                raise UpstreamFailed(str(chunk["error"].get("message", "the engine failed")))
            for choice in chunk.get("choices", ())[:1]:
                delta = choice.get("delta", {})
                yield delta.get("reasoning") or "", delta.get("content") or ""
