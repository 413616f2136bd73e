"""The audit's reads, on connections of their own, so that a slow query never delays a judgement.

Every method blocks; the routes call them on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from galen.errors import NotFound
from judge.audit import run_queries, votes
from judge.audit.cursors import Place
from judge.audit.replay import Replay, replay
from judge.audit_schemas import (
    PageQuery,
    RolloutPage,
    RolloutQuery,
    RunPage,
    RunReport,
    VerdictFile,
    Vote,
    VotePage,
    VoteReceipt,
)
from judge.ledger import database, forgetting
from judge.ledger.database import WRITES, cannot_use
from judge.ledger.forgetting import Texts
from judge.ledger.tables import now
from judge.rubrics.rubric import Rubric

T = TypeVar("T")


class Archive:
    """Raises `Unavailable` from every method if the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """The archive of an existing database, migrated to the newest schema.

        Raises `NotFound` if the SQLite file does not exist.
        """
        engine = database.connect(url)
        file = engine.url.database
        if engine.dialect.name == "sqlite" and file and not Path(file).is_file():
            how = "name it with --database, or its stack file with --config"
            raise NotFound(f"{file}: no such database; {how}", param="judge.database_url")
        database.upgrade(url)
        return cls(engine)

    def runs(self, query: PageQuery) -> RunPage:
        """A page of runs, newest first."""
        place = Place.read(query.cursor, "runs")

        def look(connection: Connection) -> RunPage:
            found = run_queries.runs_before(connection, place, query.limit + 1)
            shown = found[: query.limit]
            last = Place(list="runs", id=shown[-1][1]) if len(found) > len(shown) else None
            return RunPage(
                runs=tuple(run_queries.run_cards(connection, [run for run, _ in shown])),
                next_cursor=last.cursor() if last else None,
            )

        return self._do(look)

    def run(self, run: str) -> RunReport:
        """Raises `NotFound` if nothing was judged for `run`."""

        def look(connection: Connection) -> RunReport:
            cards = run_queries.run_cards(connection, [run])
            if not cards:
                raise _no_run()
            steps = run_queries.series(connection, run)
            return RunReport.model_validate({**dict(cards[0]), "series": steps})

        return self._do(look)

    def rollouts(self, run: str, query: RolloutQuery) -> RolloutPage:
        """Raises `NotFound` if nothing was judged for `run`."""
        place = Place.read(query.cursor, "rollouts", query.sort)

        def look(connection: Connection) -> RolloutPage:
            if not run_queries.has_run(connection, run):
                raise _no_run()
            found = run_queries.rollouts_after(connection, run, query, place, query.limit + 1)
            shown = found[: query.limit]
            cursor = None
            if len(found) > len(shown):
                value = shown[-1].reward if query.sort.endswith("reward") else None
                last = Place(list="rollouts", sort=query.sort, value=value, id=shown[-1].id)
                cursor = last.cursor()
            return RolloutPage(rollouts=tuple(shown), next_cursor=cursor)

        return self._do(look)

    def verdict(self, key: str) -> VerdictFile:
        """Raises `NotFound` if `key` has neither a verdict nor a rejected reply."""
        found = self._do(lambda connection: run_queries.verdict_file(connection, key))
        if found.verdict is None and not found.rejected:
            raise NotFound("nothing is stored under this key", param="key")
        return found

    def vote(self, caller: str, vote: Vote) -> tuple[VoteReceipt, bool]:
        """Store a vote; returns whether it is new. Raises `Conflict` if its id was used before."""
        return self._do(lambda connection: votes.add(connection, caller, vote), writes=True)

    def votes(self, query: PageQuery) -> VotePage:
        """A page of votes, oldest first."""
        place = Place.read(query.cursor, "votes")
        found = self._do(lambda c: votes.votes_after(c, place, query.limit + 1))
        shown = found[: query.limit]
        last = Place(list="votes", id=shown[-1].number) if len(found) > len(shown) else None
        return VotePage(votes=tuple(shown), next_cursor=last.cursor() if last else None)

    def replay(
        self, run: str, choose: Callable[[str], Rubric], rubrics: Iterable[Rubric]
    ) -> Replay:
        """See `judge.audit.replay.replay`."""
        return self._do(lambda connection: replay(connection, run, choose, rubrics))

    def texts_of(self, run: str) -> Texts:
        """What `forget` would erase of `run`. Raises `NotFound` if nothing was judged for it."""

        def look(connection: Connection) -> Texts:
            if not run_queries.has_run(connection, run):
                raise _no_run()
            return forgetting.of_run(connection, run)

        return self._do(look)

    def forget(self, run: str) -> Texts:
        """Erase the texts that `run` alone judged, from the database and its files; returns what
        was erased. Raises `NotFound` if nothing was judged for the run."""
        before, texts = now(), self.texts_of(run)
        self._do(lambda connection: forgetting.give_up(connection, run, before), writes=True)
        return self._erased(texts, before)

    def forget_before(self, moment: datetime) -> Texts:
        """Likewise for all texts older than `moment`."""
        texts = self._do(lambda connection: forgetting.of_before(connection, moment))
        return self._erased(texts, moment)

    def _erased(self, texts: Texts, before: datetime) -> Texts:
        for piece in forgetting.pieces(texts, before):
            self._do(piece, writes=True)
        if texts:
            try:
                forgetting.scrub(self._engine)
            except SQLAlchemyError as error:
                raise cannot_use(self._engine, error) from error
        return texts

    def close(self) -> None:
        self._engine.dispose()

    def _do(self, work: Callable[[Connection], T], *, writes: bool = False) -> T:
        options = WRITES if writes else {}
        try:
            with self._engine.connect().execution_options(**options) as c, c.begin():
                return work(c)
        except SQLAlchemyError as error:
            raise cannot_use(self._engine, error) from error


def _no_run() -> NotFound:
    return NotFound("nothing was judged for a run of this name; /v1/runs lists them", param="run")
