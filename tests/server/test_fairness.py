"""Limits and turns as clients of the server meet them."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.fakes.engine import HeldStream, Hold
from tests.server.harness import Launcher, Running

KEYS = [
    "anna:user:s3cret-of-anna",
    "boss:admin:s3cret-of-boss",
    "run:rollout:s3cret-of-run",
    "slow:user:s3cret-of-slow:1",
    "few:user:s3cret-of-few::1",
]
PATH = "/v1/completions"


def asking(
    running: Running, name: str | None, role: str | None = None
) -> asyncio.Task[httpx.Response]:
    """A request that is under way, of the caller with this name."""
    headers = {"Authorization": f"Bearer s3cret-of-{name}"} if name else {}
    if role:
        headers["X-Galen-Role"] = role
    body = {"prompt": "hello"}
    return asyncio.create_task(running.http.post(PATH, json=body, headers=headers))


def left_of(answer: httpx.Response) -> tuple[str, str, str]:
    """What an answer says of its key's rate: all, left, and the time until it is whole again."""
    limit, remaining, reset = (
        answer.headers[f"x-ratelimit-{part}-requests"] for part in ("limit", "remaining", "reset")
    )
    return limit, remaining, reset


async def ended(*tasks: asyncio.Task[httpx.Response]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_rollouts_wait_at_the_gateway_and_people_pass_them(launcher: Launcher) -> None:
    """Only so many rollouts are in the engine; a person is answered while others wait, and who
    waits goes on as soon as a place is free."""
    async with launcher.having(KEYS, rollouts_at_once=2).start() as running:
        first, second = Hold(), Hold()
        running.engine.enqueue(PATH, first, second)
        rollouts = [asking(running, "run") for _ in range(5)]
        await asyncio.gather(first.arrived.wait(), second.arrived.wait())
        await running.waiting(3)
        assert running.engine.paths().count(PATH) == 2 + 1  # the probe of the base was one
        assert (await asking(running, "anna")).status_code == 200
        assert (await asking(running, "boss")).status_code == 200
        first.release.set()
        second.release.set()
        assert {(await rollout).status_code for rollout in rollouts} == {200}


async def test_without_keys_a_request_may_say_that_it_is_a_rollout(running: Running) -> None:
    """It then waits and is sent on like one; nobody can make himself anything else by this."""
    assert (await asking(running, None, "rollout")).status_code == 200
    assert running.engine.calls[-1][1]["priority"] == 10
    refused = await asking(running, None, "admin")
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "X-Galen-Role")


async def test_who_only_tokenizes_slows_no_rollouts(launcher: Launcher) -> None:
    """It needs no step of the engine, so nobody's next question is expected after it."""
    changed = {"rollouts_at_once": 2, "rollouts_beside_people": 1}
    async with launcher.having([], **changed).start() as running:
        first, second = Hold(), Hold()
        running.engine.enqueue(PATH, first, second)
        assert (await running.http.post("/tokenize", json={"prompt": "a"})).status_code == 200
        rollouts = [asking(running, None, "rollout") for _ in range(2)]
        await asyncio.gather(first.arrived.wait(), second.arrived.wait())
        first.release.set()
        second.release.set()
        assert {(await rollout).status_code for rollout in rollouts} == {200}


async def test_a_hang_up_in_the_queue_leaves_it(launcher: Launcher) -> None:
    """It never reaches the engine, and the one behind it is next."""
    async with launcher.having(KEYS, rollouts_at_once=1).start() as running:
        hold, next_one = Hold(), Hold()
        running.engine.enqueue(PATH, hold, next_one)
        inside = asking(running, "run")
        await hold.arrived.wait()
        gone = asking(running, "run")
        await running.waiting(1)
        behind = asking(running, "run")
        await running.waiting(2)
        await ended(gone)
        await running.waiting(1)
        hold.release.set()
        await next_one.arrived.wait()
        await running.waiting(0)
        next_one.release.set()
        assert [(await each).status_code for each in (inside, behind)] == [200, 200]
        assert running.engine.paths().count(PATH) == 2 + 1


@pytest.mark.parametrize("behaviour", [Hold, HeldStream])
async def test_a_hang_up_in_the_engine_makes_room(
    launcher: Launcher, behaviour: type[Hold] | type[HeldStream]
) -> None:
    """A rollout whose client goes away gives its place to the next, streamed or not."""
    async with launcher.having(KEYS, rollouts_at_once=1).start() as running:
        held = behaviour()
        running.engine.enqueue(PATH, held)
        inside = asking(running, "run")
        while running.engine.paths().count(PATH) < 1 + 1:  # noqa: ASYNC110 - probe and `inside`
            await asyncio.sleep(0)
        behind = asking(running, "run")
        await running.waiting(1)
        await ended(inside)
        await held.hung_up.wait()
        assert (await behind).status_code == 200


async def test_who_asks_too_often_is_told_when_to_come_back(launcher: Launcher) -> None:
    """429 in OpenAI's shape with the seconds; others are not concerned."""
    async with launcher.having(KEYS).start() as running:
        began = time.monotonic()
        assert (await asking(running, "slow")).status_code == 200
        answer = await asking(running, "slow")
        spent_s = time.monotonic() - began
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (429, "overloaded")
        assert "may begin 1" in error["message"]
        assert 60 - spent_s <= int(answer.headers["Retry-After"]) <= 60
        assert left_of(answer)[:2] == ("1", "0")
        assert (await asking(running, "anna")).status_code == 200


async def test_what_is_left_of_a_rate_is_told_as_openai_does(launcher: Launcher) -> None:
    """On whole and streamed answers alike; a key without a rate is told nothing."""
    keys = [*KEYS, "late:user:s3cret-of-late:12"]
    async with launcher.having(keys).start() as running:
        whole = await asking(running, "slow")
        assert (whole.status_code, left_of(whole)) == (200, ("1", "0", "60s"))
        headers = {"Authorization": "Bearer s3cret-of-late"}
        body = {"prompt": "hello", "stream": True}
        stream = await running.http.post(PATH, json=body, headers=headers)
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert (stream.status_code, left_of(stream)) == (200, ("12", "11", "60s"))
        for name in ("anna", "few"):
            answer = await asking(running, name)
            assert not [name for name in answer.headers if "ratelimit" in name]


async def test_what_waits_is_under_way(launcher: Launcher) -> None:
    """A rollout that waits at the gateway counts against its key as one in the engine does."""
    keys = ["run:rollout:s3cret-of-run::2"]
    async with launcher.having(keys, rollouts_at_once=1).start() as running:
        hold = Hold()
        running.engine.enqueue(PATH, hold)
        inside = asking(running, "run")
        await hold.arrived.wait()
        behind = asking(running, "run")
        await running.waiting(1)
        assert (await asking(running, "run")).status_code == 429
        await ended(behind)
        await running.waiting(0)
        behind = asking(running, "run")
        await running.waiting(1)
        hold.release.set()
        assert [(await each).status_code for each in (inside, behind)] == [200, 200]


async def test_who_has_too_much_under_way_is_refused_until_something_ends(
    launcher: Launcher,
) -> None:
    """429 while one is at work, and 200 after its client has hung up."""
    async with launcher.having(KEYS).start() as running:
        hold = Hold()
        running.engine.enqueue(PATH, hold)
        first = asking(running, "few")
        await hold.arrived.wait()
        answer = await asking(running, "few")
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        await ended(first)
        await hold.hung_up.wait()
        assert (await asking(running, "few")).status_code == 200
