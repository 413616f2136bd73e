"""Asks the policy every question of a file and writes the answers, in the file's order.

Each answer is written to `<out>.partial` at once, so that the same command asks only for what is
missing. `<out>` itself appears only once it is complete.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from galen import digest, disk, transcript
from galen.errors import Forbidden, GalenError, NotFound, Unauthorized, UpstreamFailed
from server.client import ROLE_HEADER, PolicyClient
from trainer import kept
from trainer.data import reader
from trainer.data.example import Example, Message
from trainer.data.formats.messages import as_turns
from trainer.patience import Away, Pause, patiently

CHAT = "/v1/chat/completions"
AS_A_ROLLOUT = {ROLE_HEADER: "rollout"}
"""A file can wait: people's questions go first."""
GIVEN = "given"
"""Holds a row's own fields whose names the result also uses."""


class Options(BaseModel):
    """Options of every request; a file never mixes answers under different ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "policy"
    system: str | None = None
    """Added to rows that have no system message of their own."""
    max_tokens: int = 1024
    temperature: float = 0.7
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """How many rows were answered and failed, and how many each version wrote."""

    answered: int
    failed: int
    by_model: dict[str, int]


class Prediction:
    """One file's rows and the results so far. Use as a context manager."""

    def __init__(self, source: Path, out: Path, options: Options) -> None:
        """Raises `DataError` for a file with bad lines, `Conflict` if `out` exists already or the
        kept answers belong to another input or other options."""
        self.rows = reader.read_with_rows(source, "prompt")
        self._out = out
        self._options = options
        title = f"galen predict {digest.of_json([digest.of_file(source), options.model_dump()])}"
        self._journal = kept.open_kept(out, title, len(self.rows))

    def __enter__(self) -> Prediction:
        return self

    def __exit__(self, *_: object) -> None:
        kept.close(self._journal)

    @property
    def known(self) -> int:
        """Number of rows that are answered already."""
        return self._journal.good

    async def ask(
        self,
        client: PolicyClient,
        concurrency: int,
        on_row: Callable[[], None],
        pause: Pause = asyncio.sleep,
    ) -> None:
        """Ask all rows without an answer, failed ones too; `on_row` is called after each.

        Raises errors that are no row's fault: a server that stays away, a key without the right.
        """
        await client.refuse_unknown(self._options.model)

        async def answer(index: int) -> tuple[bool, dict[str, Any]]:
            return await self._result(client, self.rows[index][1], pause)

        await kept.fill(self._journal, answer, concurrency, on_row)

    def write(self) -> Report:
        """Write `out`. The kept answers are deleted, unless rows failed and can be asked again."""
        by_model: Counter[str] = Counter()
        draft = self._out.with_name(f".{self._out.name}.partial")
        try:
            with disk.room(), draft.open("w", encoding="utf-8") as out:
                for row, result in self._results():
                    by_model[result.get("model", "")] += "model" in result
                    out.write(json.dumps(_joined(row, result), ensure_ascii=False) + "\n")
            draft.replace(self._out)
        finally:
            draft.unlink(missing_ok=True)
        if not self._journal.failed:
            self._journal.path.unlink()
        return Report(self._journal.good, self._journal.failed, dict(+by_model))

    def _results(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for index, (row, _) in enumerate(self.rows):
            yield row, json.loads(self._journal.read(index))

    async def _result(
        self, client: PolicyClient, example: Example, pause: Pause
    ) -> tuple[bool, dict[str, Any]]:
        """Whether the row was answered, and the fields of its result."""
        asked = self._options.model_dump(exclude={"system"}, exclude_none=True)
        messages = example.messages
        if self._options.system and not example.system:
            messages = (Message("system", self._options.system), *messages)
        body = {**asked, "messages": as_turns(messages)}
        try:
            return True, await _answer(client, body, pause)
        except (Unauthorized, Forbidden, NotFound):
            raise
        except Away as away:
            raise away.reason from None
        except GalenError as error:
            return False, {"error": error.message}


async def _answer(client: PolicyClient, body: dict[str, Any], pause: Pause) -> dict[str, Any]:
    """The fields of a row's answer. Raises as `patiently` does."""

    async def attempt() -> dict[str, Any]:
        return _read(await client.call("POST", CHAT, body=body, headers=AS_A_ROLLOUT))

    return await patiently(client, attempt, pause)


def _read(answer: Any) -> dict[str, Any]:
    """The fields of a result: reasoning, answer, why it ended, and the version."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        thought = message.get("reasoning") or message.get("reasoning_content")
        read = transcript.of_message(thought, message.get("content"))
        model = str(answer["model"])
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UpstreamFailed("the server's answer has an unknown shape") from error
    return {
        "reasoning": read.reasoning,
        "answer": read.answer,
        "finish_reason": choice.get("finish_reason"),
        "model": model,
    }


def _joined(row: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """A row's own fields and its result. Fields that the result would overwrite are kept apart."""
    hidden = {name: value for name, value in row.items() if name in result}
    kept = {name: value for name, value in row.items() if name not in result}
    return {**kept, **({GIVEN: hidden} if hidden else {}), **result}
