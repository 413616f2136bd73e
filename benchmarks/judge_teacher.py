"""The judge keeps a teacher as busy as it allows: 200 ms a call, 64 at once, so 320 verdicts/s."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks import _items, _load, _services
from benchmarks._results import as_met, record

LATENCY_S = 0.2
AT_ONCE = 64
ITEMS = 4096
BATCH = 256
PERFECT = AT_ONCE / LATENCY_S


def main() -> None:
    requests = [_load.post("/v1/score", _items.body(n, BATCH)) for n in range(0, ITEMS, BATCH)]
    settings = [f"judge.teacher.concurrency={AT_ONCE}", "judge.budget.per_day_usd=null"]
    with (
        tempfile.TemporaryDirectory() as folder,
        _services.teacher(LATENCY_S, AT_ONCE) as teacher,
        _services.judge(
            Path(folder), teacher_url=f"http://127.0.0.1:{teacher}/v1", settings=settings
        ) as judge,
    ):
        load = _load.run(judge, iter(requests), clients=len(requests))
        calls = json.loads(_services.get(teacher, "/calls"))
    rate = calls["answered"] / load.seconds
    share = rate / PERFECT
    record(
        __file__,
        [
            ("verdicts asked for and stored", f"{calls['answered']:,} of {ITEMS:,}", "-"),
            ("refused by the teacher (429)", f"{calls['refused']:,}", "-"),
            ("most calls at once", str(calls["most_open"]), f"at most {AT_ONCE}"),
            ("rate, start and end included", f"{rate:.0f} verdicts/s", "-"),
            (
                f"its share of {PERFECT:.0f} verdicts/s",
                f"{share:.1%}",
                as_met(share >= 0.95, "at least 95 %"),
            ),
        ],
    )


if __name__ == "__main__":
    main()
