"""`galen chat`: talk to the policy in a terminal."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import GalenError, UpstreamFailed
from galen.transcript import Splitter

if TYPE_CHECKING:
    from server.client import PolicyClient

HELP = """\
/clear          忘掉对话 forget the conversation
/system [文字]  设置或去掉系统提示 set the system prompt, or remove it; forgets the conversation
/think on|off   先思考再回答 whether answers begin with a thought
/exit           退出 leave
Ctrl-C 停止生成 stops an answer · Ctrl-D 退出 leaves · ↑ 上一句 earlier lines
"""
THINKING = "〔思考 thinking〕"


def register(app: typer.Typer) -> None:
    app.command()(chat)


@dataclass
class Session:
    """A conversation and the options of its answers."""

    url: str
    settings: dict[str, Any]
    """The request's fields besides the messages."""
    system: str = ""
    turns: list[dict[str, str]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        first = [{"role": "system", "content": self.system}] if self.system else []
        return {**self.settings, "messages": [*first, *self.turns]}

    def obey(self, line: str) -> bool:
        """Carry out a line that begins with `/`; False if it asks to leave."""
        command, _, rest = line.strip().partition(" ")
        argument = rest.strip()
        match command:
            case "/exit" | "/quit":
                return False
            case "/clear":
                self.turns.clear()
                typer.echo("已清空。The conversation is forgotten.\n")
            case "/system":
                self.system = argument
                self.turns.clear()
                typer.echo(
                    f"系统提示{'已设置' if argument else '已去掉'}，对话已清空。"
                    f"The system prompt is {'set' if argument else 'removed'}; the conversation "
                    "is forgotten.\n"
                )
            case "/think" if argument in ("on", "off"):
                self.think(argument == "on")
                typer.echo(f"思考 thinking: {argument}\n")
            case _:
                typer.echo(HELP)
        return True

    def think(self, on: bool) -> None:
        self.settings["chat_template_kwargs"] = {"enable_thinking": on}


def chat(
    server: Annotated[
        str | None, typer.Option(help="The policy server; else the one that is up here.")
    ] = None,
    model: Annotated[str, typer.Option(help="policy, policy@<version> or base")] = "policy",
    system: Annotated[str, typer.Option(help="A system prompt.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1)] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.7,
    think: Annotated[bool, typer.Option(help="Whether answers begin with a thought.")] = True,
) -> None:
    """Talk to the policy. Ctrl-C stops an answer, Ctrl-D leaves, /help lists commands.

    With questions from a pipe or a file, one a line, the exit code is 1 if an answer failed.
    """
    from cli import state
    from galen.records import storable

    session = Session(
        server or state.server_url(),
        {"model": model, "max_tokens": max_tokens, "temperature": temperature},
        storable(system),
    )
    if not think:
        session.think(False)
    current = asyncio.run(_current(session.url, model))
    typer.echo(f"{DISCLAIMER_ZH}\n{DISCLAIMER_EN}\n{session.url}{current} · /help\n")
    _remember_lines()
    all_answered = True
    while (line := _ask()) is not None:
        if line.lstrip().startswith("/"):
            if not session.obey(storable(line)):
                break
        elif line.strip():
            all_answered &= _answer(session, storable(line))
    if not (all_answered or sys.stdin.isatty()):
        raise typer.Exit(1)


async def _current(url: str, model: str) -> str:
    """The version that answers, to show; empty for a bare engine, which has no versions.

    Raises, before anybody types a question, if no server is there, the model is unknown or the
    key is wrong.
    """
    from galen.errors import NotFound
    from server.client import PolicyClient

    async with PolicyClient(url, key=os.environ.get("GALEN_KEY")) as client:
        if model != "policy":
            await client.refuse_unknown(model)
            return f" · {model}"
        try:
            return f" · policy@{(await client.policy()).current}"
        except NotFound:
            return ""


def _remember_lines() -> None:
    """Earlier lines by the arrow keys, in a terminal; never on disk: they are a patient's words."""
    if sys.stdin.isatty():
        with suppress(ImportError):  # Windows has none
            importlib.import_module("readline")


def _ask() -> str | None:
    """The next line, empty if Ctrl-C discarded it; None at the end of the input."""
    try:
        return input("你 You> ")
    except KeyboardInterrupt:
        typer.echo("\nCtrl-D 退出 leaves")
        return ""
    except EOFError:
        typer.echo()
        return None


def _answer(session: Session, question: str) -> bool:
    """Stream one answer to the terminal, and keep the turn if there was one; False if it failed.

    Ctrl-C stops it; the text so far is then the answer.
    """
    failed = False
    session.turns.append({"role": "user", "content": question})
    spoken: list[str] = []
    try:
        asyncio.run(_stream(session.url, session.body(), spoken))
    except KeyboardInterrupt:
        typer.secho(" [停止 stopped]", dim=True, nl=False)
    except GalenError as error:
        failed = True
        typer.secho(error.message, fg="red", err=True)
    typer.echo("" if failed else "\n")
    if answer := "".join(spoken).strip():
        session.turns.append({"role": "assistant", "content": answer})
    else:
        session.turns.pop()
    return not failed


async def _stream(server: str, body: dict[str, Any], spoken: list[str]) -> None:
    from server.client import PolicyClient

    async with (
        PolicyClient(server, key=os.environ.get("GALEN_KEY")) as client,
        aclosing(_parts(client, body)) as parts,
    ):
        reasoned = False
        async for reasoning, answer, finish in parts:
            if reasoning:
                typer.secho(reasoning if reasoned else THINKING + reasoning, dim=True, nl=False)
                reasoned = True
            if answer:
                if reasoned and not spoken:
                    typer.echo("\n")
                typer.echo(answer.lstrip() if not spoken else answer, nl=False)
                spoken.append(answer)
            if finish == "length":
                typer.secho(" [到长度上限 cut off; see --max-tokens]", dim=True, nl=False)


async def _parts(
    client: PolicyClient, body: dict[str, Any]
) -> AsyncGenerator[tuple[str, str, str | None]]:
    """Pieces of reasoning and of answer as they come, and why it ended.

    A server without a reasoning parser leaves the tags in the content.
    """
    splitter = Splitter()
    async with aclosing(client.chat_stream(body)) as chunks:
        async for chunk in chunks:
            if "error" in chunk:
                raise UpstreamFailed(str(chunk["error"].get("message", "the engine failed")))
            for choice in chunk.get("choices", ())[:1]:
                delta = choice.get("delta", {})
                piece = splitter.feed(delta.get("content") or "")
                reasoning = (delta.get("reasoning") or "") + piece.reasoning
                yield reasoning, piece.answer, choice.get("finish_reason")
    rest = splitter.finish()
    yield rest.reasoning, rest.answer, None
