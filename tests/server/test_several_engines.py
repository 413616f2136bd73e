"""A gateway before two engines that run elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.schemas import BASE
from server.settings import AdapterSettings
from tests.fakes.engine import Die, Hold, Refuse, write_version
from tests.fakes.remote_engine import RemoteFakeEngine
from tests.server.harness import Launcher, Running


@dataclass
class Two:
    """The gateway, and its two engines."""

    server: Running
    one: RemoteFakeEngine
    other: RemoteFakeEngine

    async def until(self, engine: RemoteFakeEngine, ready: bool) -> None:
        """Wait until the gateway says so of the engine."""
        line = f'galen_server_engine_ready{{engine="{engine.base_url}"}} {float(ready)}'
        while line not in (await self.server.http.get("/metrics")).text:
            continue

    async def current(self) -> str:
        return str((await self.server.http.get("/policy")).json()["current"])


@contextlib.asynccontextmanager
async def running_two(launcher: Launcher) -> AsyncIterator[Two]:
    model = launcher.settings.model
    one, other = RemoteFakeEngine(model), RemoteFakeEngine(model)
    async with one.serving() as url, other.serving() as other_url:
        remote = launcher.having(engines=(url, other_url))
        async with remote.start_remote() as server:
            two = Two(server, one, other)
            await two.until(one, True)
            await two.until(other, True)
            yield two


@pytest.fixture
async def two(launcher: Launcher) -> AsyncIterator[Two]:
    async with running_two(launcher) as running:
        yield running


@pytest.fixture
async def two_with_adapters(launcher: Launcher) -> AsyncIterator[Two]:
    async with running_two(launcher.having(adapters=AdapterSettings())) as running:
        yield running


async def test_requests_go_to_both(two: Two) -> None:
    """Requests at once are shared out, and each is told by its engine's own name."""
    holds = [Hold() for _ in range(4)]
    for engine, pair in ((two.one, holds[:2]), (two.other, holds[2:])):
        engine.enqueue("/v1/completions", *pair)
    asked = [asyncio.create_task(two.server.ask(prompt=str(n))) for n in range(4)]
    for hold in holds:
        await hold.arrived.wait()
    for hold in holds:
        hold.release.set()
    answers = await asyncio.gather(*asked)
    assert [answer.json()["model"] for answer in answers] == ["policy@base"] * 4


async def test_an_engine_is_let_go_of_however_a_request_ends(two: Two) -> None:
    """Answered, streamed or refused, or it would be spared for ever."""
    for engine in (two.one, two.other):
        engine.enqueue("/v1/completions", Refuse(400, "no"))
    for more in ({}, {}, {"stream": True}, {}):
        await two.server.ask(**more)
    text = (await two.server.http.get("/metrics")).text
    for engine in (two.one, two.other):
        assert f'galen_server_engine_outstanding{{engine="{engine.base_url}"}} 0.0' in text


async def test_a_version_is_loaded_on_both(two: Two) -> None:
    """And rolled back on both."""
    answer = await two.server.publish(write_version(two.server.versions, "v1", -2.0))
    assert answer.status_code == 200, answer.text
    assert (two.one.weights, two.other.weights) == (-2.0, -2.0)
    await two.server.http.post("/policy/activate", json={"name": BASE})
    assert (two.one.weights, two.other.weights) == (-1.0, -1.0)


async def test_what_one_refuses_neither_keeps(two: Two) -> None:
    """The engine that had taken it goes back, and the old version serves on both."""
    two.other.enqueue("/collective_rpc", Refuse(400, "no such tensor"))
    answer = await two.server.publish(write_version(two.server.versions, "v1", -2.0))
    assert answer.status_code == 409
    assert "no such tensor" in answer.json()["error"]["message"]
    assert (two.one.weights, two.other.weights) == (-1.0, -1.0)
    assert await two.current() == BASE
    assert (await two.server.ask()).json()["model"] == "policy@base"


async def test_an_adapter_that_one_refuses_is_unloaded_from_the_other(
    two_with_adapters: Two,
) -> None:
    """No engine keeps what the policy does not know."""
    two = two_with_adapters
    two.other.enqueue("/v1/load_lora_adapter", Refuse(400, "no such module"))
    folder = write_version(two.server.versions, "v1", -2.0, kind="adapter")
    assert (await two.server.publish(folder)).status_code == 409
    assert (two.one.adapters, two.other.adapters) == ({}, {})


async def test_an_engine_lost_while_loading_is_left_behind(two: Two) -> None:
    """The version serves on the other; the lost one catches up before it answers again."""
    two.other.enqueue("/collective_rpc", Refuse(503, "gone"))
    two.other.enqueue("/health", Refuse(503, "gone"))
    answer = await two.server.publish(write_version(two.server.versions, "v1", -2.0))
    assert answer.status_code == 200, answer.text
    await two.until(two.other, True)
    assert (two.one.weights, two.other.weights) == (-2.0, -2.0)


async def test_a_lost_engines_requests_go_to_the_other(two: Two) -> None:
    """A client sees nothing of it, if no byte of the answer was sent."""
    two.one.enqueue("/v1/completions", Die())
    answers = await asyncio.gather(*(two.server.ask(prompt=str(n)) for n in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4


async def test_an_engine_that_is_away_leaves_the_rotation_and_catches_up(two: Two) -> None:
    """Meanwhile the other serves alone, a new version too."""
    await two.one.go_away()
    await two.until(two.one, False)
    await two.server.publish(write_version(two.server.versions, "v1", -2.0))
    assert [(await two.server.ask()).status_code for _ in range(3)] == [200] * 3
    two.one.start_anew()
    await two.one.come_back()
    await two.until(two.one, True)
    assert two.one.weights == -2.0


async def test_an_engine_that_missed_a_version_holds_that_one_alone(two: Two) -> None:
    """Of merged weights it takes the current ones, not also those that it had before it went."""
    await two.server.publish(write_version(two.server.versions, "v1", -2.0))
    await two.one.go_away()
    await two.until(two.one, False)
    await two.server.publish(write_version(two.server.versions, "v2", -3.0))
    two.one.start_anew()
    await two.one.come_back()
    await two.until(two.one, True)
    assert two.one.weights == -3.0


async def test_an_engine_started_anew_unseen_is_found_out(two: Two) -> None:
    """It has lost the gateway's mark, so it is brought up to date before it answers again."""
    await two.server.publish(write_version(two.server.versions, "v1", -2.0))
    two.one.start_anew()
    assert two.one.weights == -1.0
    await two.until(two.one, False)
    await two.until(two.one, True)
    assert two.one.weights == -2.0


async def test_an_engine_with_another_model_stays_out(two: Two) -> None:
    """The reason is told; the others serve."""
    two.one.start_anew()
    two.one.weights = -5.0
    await two.until(two.one, False)
    assert (await two.server.ask()).status_code == 200


@pytest.mark.parametrize("kind", ["merged", "adapter"])
async def test_engines_used_before_are_cleared(launcher: Launcher, kind: str) -> None:
    """A gateway that starts finds engines full of its predecessor's versions, and is not misled."""
    adapters = AdapterSettings() if kind == "adapter" else None
    launcher = launcher.having(adapters=adapters)
    engine = RemoteFakeEngine(launcher.settings.model)
    engine.mark = "galen-before"
    engine.paused = True  # as by a gateway that was killed while it waited for answers under way
    engine.weights = -7.0 if kind == "merged" else -1.0
    engine.adapters = {} if kind == "merged" else {"old": -7.0}
    async with engine.serving() as url, launcher.having(engines=(url,)).start_remote() as server:
        assert (await server.ask()).json()["model"] == "policy@base"
        assert (engine.weights, engine.adapters) == (-1.0, {})


async def test_without_any_engine_requests_are_told_to_come_back(launcher: Launcher) -> None:
    """503 with Retry-After, and the reason on /readyz; the gateway goes on."""
    remote = launcher.having(engines=("http://127.0.0.1:9",))
    async with remote.start_remote(ready=False) as server:
        answer = await server.ask()
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert (await server.http.get("/readyz")).status_code == 503
        assert server.failures == []


async def test_who_waits_for_a_hung_engine_is_told_to_come_back(launcher: Launcher) -> None:
    """Found out by the liveness call; the request neither hangs nor counts as an internal error."""
    hasty = launcher.settings.engine.model_copy(update={"hang_limit_s": 0.5})
    engine = RemoteFakeEngine(launcher.settings.model)
    async with engine.serving() as url:
        remote = launcher.having(engines=(url,), engine=hasty)
        async with remote.start_remote() as server:
            request = Hold()
            engine.enqueue("/v1/completions", request)
            asking = asyncio.create_task(server.ask())
            await request.arrived.wait()
            engine.enqueue("/weight_info", *(Hold() for _ in range(20)))
            answer = await asking
            assert answer.status_code == 503, answer.text
            assert answer.headers["Retry-After"]


async def test_an_engine_that_lists_no_models_stays_out(launcher: Launcher) -> None:
    """Whatever it answers in their place, the gateway goes on and says what is wrong."""
    engine = RemoteFakeEngine(launcher.settings.model)
    engine.listed = ["a name alone"]
    async with engine.serving() as url:
        remote = launcher.having(engines=(url,))
        async with remote.start_remote(ready=False) as server:
            while "does not list its models" not in (await server.http.get("/readyz")).text:
                assert server.failures == []


async def test_an_engine_of_another_gateway_is_told_from_one_started_anew(
    launcher: Launcher,
) -> None:
    """Two gateways would swap its weights under each other, so the reason says what to do."""
    engine = RemoteFakeEngine(launcher.settings.model)
    async with engine.serving() as url:
        remote = launcher.having(engines=(url,))
        async with remote.start_remote() as server:
            engine.mark = "galen-another"
            while (answer := await server.http.get("/readyz")).status_code == 200:
                continue
            assert "another gateway" in answer.json()["error"]["message"]


async def test_what_is_no_vllm_is_told_as_that(launcher: Launcher) -> None:
    """A wrong address asks for another address, not for a switch of vLLM's."""
    async with TestServer(web.Application()) as nothing:
        url = f"http://127.0.0.1:{nothing.port}"
        async with launcher.having(engines=(url,)).start_remote(ready=False) as server:
            while "it is no vLLM server" not in (await server.http.get("/readyz")).text:
                continue
