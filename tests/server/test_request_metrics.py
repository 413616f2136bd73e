"""What the gateway counts of the requests to the policy."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from galen.errors import Overloaded, Unavailable
from server.request_metrics import RequestMetrics

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

    assert (count("true"), count("false")) == (1, 0)
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
