"""Which models are evaluated: every name is looked up before anything is sampled, each is made to
answer in turn, and what served before serves after, also after a kill: then the next command with
the same folder restores it."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from galen import disk
from galen.errors import GalenError, InvalidInput, NotFound
from server.client import PolicyClient
from server.schemas import PolicyState, VersionCard
from trainer import versions
from trainer.data.distillation.teacher import Teacher
from trainer.evaluate.asker import Asker, ChatAsker, TokenAsker
from trainer.runs import RUN_PREFIX, resolve

log = logging.getLogger(__name__)

POLICY, POLICY_AT = "policy", "policy@"
DEADLINE_S = 600.0
NOTE = "served-before.json"
_ELSEWHERE = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to evaluate. `url` is its endpoint where that is not the policy server."""

    given: str
    """As the user named it."""
    name: str
    """A version's name, or the model's at its endpoint."""
    sha256: str | None = None
    """Of a version's weights."""
    url: str | None = None

    @property
    def shown(self) -> str:
        """The name, with its endpoint where it was named with one."""
        if self.url is None or self.given == self.name:
            return self.name
        return f"{self.name}@{re.sub(r'^https?://|/v1$', '', self.url)}"

    @property
    def label(self) -> str:
        """A folder's name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "_", self.shown).strip("._")[:80] or "model"


@dataclass(frozen=True, slots=True)
class Access:
    """Where models answer, and with which keys."""

    server: str
    key: str | None = None
    endpoint_key: str | None = None
    """For models named as MODEL@URL."""
    concurrency: int = 32
    runs: Path = Path("runs")
    bases: tuple[Path, ...] = ()
    """Folders in which the served base may lie, to publish a run that is not published yet."""


class _Note(BaseModel):
    """What a command must restore, on disk as long as it has not."""

    model_config = ConfigDict(frozen=True)

    server: str
    before: str
    switched_to: tuple[str, ...]
    """If another version serves, somebody activated it since, and nothing is to be restored."""


class Serving:
    """The models of one command. Use as a context manager: its end restores what served. `out` is
    the folder for a note of that."""

    def __init__(self, access: Access, out: Path) -> None:
        self._access = access
        self._note = out / NOTE
        self._switched_to: tuple[str, ...] = ()
        self._client = PolicyClient(
            access.server, key=access.key, connections=access.concurrency, deadline_s=DEADLINE_S
        )
        self._before: str | None = None
        self._current: str | None = None
        self._is_plain = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Never raises, so that the first error is seen."""
        try:
            if self._before and self._current != self._before:
                await self._client.activate(self._before)
            if self._switched_to:
                self._note.unlink(missing_ok=True)
        except GalenError as failure:
            log.warning("%s does not serve again: %s", self._before, failure.message)
        finally:
            await self._client.aclose()

    async def look_up(self, given: Sequence[str]) -> list[Candidate]:
        """All models. Raises `InvalidInput` for a name that nobody knows or that comes twice; a
        run's version that is not published yet is published."""
        found = [await self._find(name) for name in given]
        names = [(each.name, each.url) for each in found]
        for each in found:
            if names.count((each.name, each.url)) > 1:
                raise InvalidInput(f"{each.given}: is {each.name}, which is named twice")
        return found

    @asynccontextmanager
    async def asker(self, candidate: Candidate) -> AsyncIterator[Asker]:
        """A way to ask the model, which answers from now on."""
        if candidate.url is None:
            model = await self._made_current(candidate)
            client, url, key = self._client, self._access.server, self._access.key
        else:
            model, url = candidate.name, candidate.url
            key = self._access.key if self._is_plain else self._access.endpoint_key
            client = self._client_of(url, key)
        try:
            is_ours = candidate.url is None
            if asker := await TokenAsker.connect(client, model, is_ours=is_ours):
                yield asker
                return
        finally:
            if client is not self._client:
                await client.aclose()
        async with self._teacher(url, model, key) as teacher:
            yield ChatAsker(teacher)

    async def _find(self, given: str) -> Candidate:
        if elsewhere := _ELSEWHERE.fullmatch(given):
            name, url = elsewhere["model"], elsewhere["url"].rstrip("/")
            async with self._client_of(url, self._access.endpoint_key) as client:
                with suppress(NotFound):  # it lists no models
                    await client.refuse_unknown(name)
            return Candidate(given, name, url=url)
        state = await self._state()
        if state is None:
            await self._client.refuse_unknown(given)
            return Candidate(given, given, url=self._access.server)
        name = given.removeprefix(POLICY_AT)
        base = self._access.bases[0] if self._access.bases else None
        name = (
            self._before or state.current
            if name == POLICY
            else resolve(self._access.runs, name, base)
        )
        cards = {card.name: card for card in state.versions}
        if name not in cards and given.startswith(RUN_PREFIX):
            cards[name] = await self._published(given, name, state)
        if name not in cards:
            near = difflib.get_close_matches(name, cards, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(cards))}"
            raise InvalidInput(f"{self._client.base_url} knows no version {name!r}; {hint}")
        return Candidate(given, name, sha256=cards[name].sha256)

    async def _state(self) -> PolicyState | None:
        """The policy server's state; None for a server that is not ours."""
        try:
            state = await self._client.policy()
        except NotFound:
            self._is_plain = True
            return None
        self._before = self._before or self._left_by_a_kill(state) or state.current
        self._current = state.current
        return state

    def _left_by_a_kill(self, state: PolicyState) -> str | None:
        """What served before a command that was killed while another version answered."""
        try:
            note = _Note.model_validate_json(self._note.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        if note.server != self._client.base_url:
            return None
        self._switched_to = note.switched_to
        is_known = any(card.name == note.before for card in state.versions)
        return note.before if is_known and state.current in note.switched_to else None

    async def _published(self, given: str, name: str, state: PolicyState) -> VersionCard:
        runs = self._access.runs
        source = versions.source_of(given, runs, state.serves)
        folder = versions.prepare(source, name, state, self._access.bases, runs, log.info)
        after = await self._client.publish(name, folder, activate=False)
        return next(card for card in after.versions if card.name == name)

    async def _made_current(self, candidate: Candidate) -> str:
        """The name to ask for. A server of merged weights holds one version at a time."""
        state = await self._client.policy()
        card = next((each for each in state.versions if each.name == candidate.name), None)
        if card is None or card.sha256 != candidate.sha256:
            raise InvalidInput(f"{candidate.name}: was deleted or replaced meanwhile")
        if not card.loaded:
            # Before the call, since one that is cut off may have switched all the same.
            self._current = candidate.name
            self._switched_to = (*self._switched_to, candidate.name)
            note = _Note(
                server=self._client.base_url,
                before=self._before or state.current,
                switched_to=self._switched_to,
            )
            disk.replace(self._note, note.model_dump_json().encode())
            self._current = (await self._client.activate(candidate.name)).current
        return f"{POLICY_AT}{candidate.name}"

    def _client_of(self, url: str, key: str | None) -> PolicyClient:
        size = self._access.concurrency
        return PolicyClient(url, key=key, connections=size, deadline_s=DEADLINE_S)

    def _teacher(self, url: str, model: str, key: str | None) -> Teacher:
        base = url if re.search(r"/v\d+$", url) or "://api." in url else f"{url}/v1"
        size = self._access.concurrency
        return Teacher(base, model, key, deadline_s=DEADLINE_S, connections=size)
