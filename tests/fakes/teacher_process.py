"""The fake teacher as a process of its own, so that a benchmark's judge shares no loop with it.

    python -m tests.fakes.teacher_process LATENCY_S

It prints its URL, then serves until its standard input ends, and at last prints how many requests
it had and how many of them at once.
"""

from __future__ import annotations

import asyncio
import sys

from tests.fakes.teacher import FakeTeacher


async def main(latency_s: float) -> None:
    async with FakeTeacher(latency_s) as teacher:
        print(teacher.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(len(teacher.requests), teacher.most_in_flight, flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
