"""The list of runs on a database with a million judgements, on SQLite and on PostgreSQL.

Two shapes: a thousand runs of a thousand judgements, and twenty long runs of fifty thousand. A page
holds 50 runs and is asked of the archive itself, without HTTP.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks._results import as_met, record
from judge.audit.archive import Archive
from judge.audit_schemas import PageQuery
from judge.ledger import database
from judge.ledger.database import WRITES
from tests.fakes.postgres import running_postgres

JUDGEMENTS = 1_000_000
A_STEP = 64
ASKED = 100
MOST_MS = 50.0
_NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers "
    f"WHERE n < {JUDGEMENTS - 1})",
    "postgresql": f"WITH numbers AS (SELECT generate_series(0, {JUDGEMENTS - 1}) AS n)",
}
_FILL = """INSERT INTO judgements (created_at, run, step, item, rubric, rubric_sha256, provider,
    status, reward, rules_total, hits, flags, sample_sha256)
{numbers} SELECT CURRENT_TIMESTAMP, 'run-' || (n / {a_run}), (n % {a_run}) / {a_step}, 'item-' || n,
    'medical-safety', '{sha256}', 'teacher.example', 'ok', 0.5, 0.25, '{hits}', '[]', '{sha256}'
    FROM numbers"""
_HIT = '{"rule": "no_referral", "effect": -0.1, "span": null, "standing": "certain"}'


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder, running_postgres() as server:
        for runs in (1000, 20):
            name = f"sqlite:///{Path(folder) / f'{runs}.sqlite3'}"
            for kind, url in (("SQLite", name), ("PostgreSQL", server.empty())):
                rows.append(_measured(kind, url, runs))
    record(__file__, rows)


def _measured(kind: str, url: str, runs: int) -> tuple[str, str, str]:
    """Fill a database of the schema before `runs`, let the migration count, and ask for pages."""
    database.upgrade(url, "0003")
    _fill(url, runs)
    database.upgrade(url)
    archive = Archive(database.connect(url))
    page = archive.runs(PageQuery(limit=50))
    cards = min(runs, 50)
    assert [card.judgements for card in page.runs] == [JUDGEMENTS // runs] * cards
    times = [_milliseconds(lambda: archive.runs(PageQuery(limit=50))) for _ in range(ASKED)]
    archive.close()
    median, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    what = f"{kind}: a page of runs, {runs:,} runs with {JUDGEMENTS:,} judgements"
    figure = f"median {median:,.1f} ms, 19 of 20 within {late:,.1f} ms"
    return what, figure, as_met(late < MOST_MS, f"19 of 20 under {MOST_MS:.0f} ms")


def _fill(url: str, runs: int) -> None:
    engine = database.connect(url)
    fill = _FILL.format(
        numbers=_NUMBERS[engine.name],
        a_run=JUDGEMENTS // runs,
        a_step=A_STEP,
        sha256="0" * 64,
        hits=f"[{_HIT}, {_HIT}]",
    )
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        connection.execute(text(fill.replace(":", r"\:")))
        connection.execute(text("ANALYZE"))
    engine.dispose()


def _milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
