"""What the gateway counts of the requests to the policy."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from galen.errors import Overloaded, Unavailable
from server.gateway.request_metrics import RequestMetrics
from tests.fakes.engine import Hold, write_version
from tests.server.harness import Launcher, Running

PATH = "/v1/completions"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def requests(registry: CollectorRegistry) -> RequestMetrics:
    return RequestMetrics(registry)


def test_a_request_counts_as_in_flight_until_its_end(
    registry: CollectorRegistry, requests: RequestMetrics
) -> None:
    """And as waiting only until its turn; each role by itself."""

    def numbers(role: str) -> list[float | None]:
        names = ("galen_server_requests_in_flight", "galen_server_requests_waiting")
        return [registry.get_sample_value(name, {"role": role}) for name in names]

    with requests.watch(PATH, "rollout"), requests.watch(PATH, "user") as person:
        assert (numbers("user"), numbers("rollout")) == ([1, 1], [1, 1])
        person.admitted()
        assert (numbers("user"), numbers("rollout")) == ([1, 0], [1, 1])
    assert (numbers("user"), numbers("rollout")) == ([0, 0], [0, 0])


def test_a_first_byte_is_timed_by_route_role_and_kind(
    registry: CollectorRegistry, requests: RequestMetrics
) -> None:
    """A whole answer's first byte says nothing of its first token, so streams are apart."""
    with requests.watch(PATH, "user") as watch:
        watch.admitted()
        watch.admitted()
        watch.first_byte(is_stream=True)
        watch.first_byte(is_stream=True)

    def count(stream: str) -> float | None:
        labels = {"route": PATH, "role": "user", "stream": stream}
        return registry.get_sample_value("galen_server_first_byte_seconds_count", labels)

    assert (count("true"), count("false")) == (1, None)
    waited = "galen_server_request_wait_seconds_count"
    assert registry.get_sample_value(waited, {"role": "user"}) == 1


@pytest.mark.parametrize(
    ("error", "cancelled", "refused"),
    [
        (asyncio.CancelledError(), 1, 0),
        (Overloaded("too many", retry_after_s=1), 0, 1),
        (Unavailable("no engine"), 0, 0),
    ],
)
def test_the_end_is_read_off_the_exception(
    registry: CollectorRegistry,
    requests: RequestMetrics,
    error: BaseException,
    cancelled: int,
    refused: int,
) -> None:
    """A hang-up and a limit are counted, another failure is the status's to tell; all leave."""
    with pytest.raises(type(error)), requests.watch(PATH, "rollout"):
        raise error
    names = ("cancelled_total", "refused_total", "in_flight", "waiting")
    values = [
        registry.get_sample_value(f"galen_server_requests_{name}", {"role": "rollout"})
        for name in names
    ]
    assert values == [cancelled, refused, 0, 0]


async def sample(running: Running, name: str, **labels: str) -> float | None:
    families = text_string_to_metric_families((await running.http.get("/metrics")).text)
    found = [s.value for f in families for s in f.samples if (s.name, s.labels) == (name, labels)]
    return found[0] if found else None


async def test_the_gateway_tells_people_from_rollouts(launcher: Launcher) -> None:
    """By the key's role; and a stream, whose first byte is a first token, from a whole answer."""
    keys = ["ann:user:secret-ann", "ppo:rollout:secret-ppo"]
    first_byte = "galen_server_first_byte_seconds_count"
    async with launcher.having(keys=keys).start() as running:
        for secret, stream in (("secret-ann", True), ("secret-ppo", False)):
            running.http.headers["Authorization"] = f"Bearer {secret}"
            assert (await running.ask(stream=stream)).status_code == 200
        for role, stream in (("user", "true"), ("rollout", "false")):
            labels = {"route": PATH, "role": role}
            assert await sample(running, first_byte, **labels, stream=stream) == 1
            other = {"true": "false", "false": "true"}[stream]
            assert not await sample(running, first_byte, **labels, stream=other)
            assert await sample(running, "galen_server_requests_in_flight", role=role) == 0


async def test_a_request_that_is_given_up_is_counted_and_leaves(
    running: Running,
) -> None:
    """A hang-up is no error, but whoever sees many wants to know."""
    hold = Hold()
    running.engine.enqueue(PATH, hold)
    asking = asyncio.create_task(running.ask())
    await hold.arrived.wait()
    assert await sample(running, "galen_server_requests_in_flight", role="admin") == 1
    assert await sample(running, "galen_server_requests_waiting", role="admin") == 0
    asking.cancel()
    await hold.hung_up.wait()
    await running.publish(write_version(running.versions, "v1", -2.0))  # after all that was inside
    assert await sample(running, "galen_server_requests_cancelled_total", role="admin") == 1
    assert await sample(running, "galen_server_requests_in_flight", role="admin") == 0


async def test_a_key_at_its_limit_is_counted(launcher: Launcher) -> None:
    """Who has too small a limit, or too eager a client, shows by role."""
    async with launcher.having(keys=["ann:user:secret-ann:1"]).start() as running:
        running.http.headers["Authorization"] = "Bearer secret-ann"
        assert [(await running.ask()).status_code for _ in range(2)] == [200, 429]
        assert await sample(running, "galen_server_requests_refused_total", role="user") == 1
        assert await sample(running, "galen_server_requests_waiting", role="user") == 0
