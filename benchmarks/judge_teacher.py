"""The judge keeps a teacher as busy as it allows: 200 ms a call, 64 at once, so 320 verdicts/s.

All answers are new. They are judged once under a rubric whose rules run on the same cores, and once
under one without rules, which shows the limit of the calls alone. A first request, which is not
timed, starts the rules processes.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import yaml

from benchmarks import _items, _load, _services
from benchmarks._results import as_met, record

LATENCY_S = 0.2
AT_ONCE = 64
ITEMS = 4096
BATCH = 256
_ASKS_DANGERS = re.compile(r'\{"dangers": \{(?:"\w+": \{[^{}]*\}(?:, )?)+\}, ')
"""Dangers are rules, so a rubric without rules does not ask for any."""
PERFECT = AT_ONCE / LATENCY_S


def main() -> None:
    record(__file__, [*_measured("medical-safety"), *_measured("no-rules")])


def _measured(rubric: str) -> list[tuple[str, str, str]]:
    requests = [
        _load.post("/v1/score", _items.body(n, BATCH, rubric=rubric))
        for n in range(0, ITEMS + BATCH, BATCH)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_rubric_without_rules(folder / "rubrics" / "no-rules")
        settings = [
            f"judge.teacher.concurrency={AT_ONCE}",
            "judge.budget.per_day_usd=null",
            f"judge.rubrics={folder / 'rubrics'}",
        ]
        with _services.teacher(LATENCY_S, AT_ONCE) as teacher:
            url = f"http://127.0.0.1:{teacher}/v1"
            with _services.judge(folder, teacher_url=url, settings=settings) as judge:
                _load.run(judge, iter(requests[:1]), clients=1)
                load = _load.run(judge, iter(requests[1:]), clients=len(requests))
            calls = json.loads(_services.get(teacher, "/calls"))
    rate = (calls["answered"] - BATCH) / load.seconds
    share = rate / PERFECT
    return [
        (
            f"{rubric}: calls answered, refused, most at once",
            f"{calls['answered']:,}, {calls['refused']}, {calls['most_open']}",
            f"{ITEMS + BATCH:,}, 0, at most {AT_ONCE}",
        ),
        (
            f"{rubric}: rate, and its share of {PERFECT:.0f} verdicts/s",
            f"{rate:.0f} verdicts/s, {share:.1%}",
            as_met(share >= 0.95, "at least 95 %"),
        ),
    ]


def _make_rubric_without_rules(folder: Path) -> None:
    shipped = _services.ROOT / "judge" / "rubrics" / "medical-safety"
    folder.mkdir(parents=True)
    prompt = (shipped / "prompt.txt").read_text("utf-8")
    (folder / "prompt.txt").write_text(_ASKS_DANGERS.sub("{", prompt), "utf-8")
    fields = yaml.safe_load((shipped / "rubric.yaml").read_text("utf-8"))
    plain = {**fields, "rules": [], "prechecks": [], "dangers": []}
    (folder / "rubric.yaml").write_text(yaml.safe_dump(plain, allow_unicode=True), "utf-8")


if __name__ == "__main__":
    main()
