"""1,000 identical requests at once make one upstream call, in one process and across two."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path

from benchmarks import _items, _load, _services
from benchmarks._results import as_met, record

REQUESTS = 1000
LATENCY_S = 0.5


def main() -> None:
    record(__file__, [_measured(judges=1), _measured(judges=2)])


def _measured(judges: int) -> tuple[str, str, str]:
    with tempfile.TemporaryDirectory() as folder, _services.teacher(LATENCY_S) as teacher:
        url = f"http://127.0.0.1:{teacher}/v1"
        with _services.judge(Path(folder), teacher_url=url) as one:
            if judges == 1:
                loads = _ask([one])
            else:
                with _services.judge(Path(folder), teacher_url=url) as other:
                    loads = _ask([one, other])
        calls = json.loads(_services.get(teacher, "/calls"))["answered"]
    answered = sum(load.statuses[200] for load in loads)
    return (
        f"{REQUESTS:,} identical requests at once, judges on one ledger: {judges}",
        f"{answered:,} answered, upstream calls: {calls}",
        as_met(calls == 1 and answered == REQUESTS, "exactly 1 call"),
    )


def _ask(ports: list[int]) -> list[_load.Load]:
    each = REQUESTS // len(ports)
    request = _load.post("/v1/score", _items.body(0, 1))
    loads: list[_load.Load] = []

    def ask(port: int) -> None:
        loads.append(_load.run(port, iter([request] * each), clients=each))

    threads = [threading.Thread(target=ask, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return loads


if __name__ == "__main__":
    main()
