"""Which engine a request goes to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import Unavailable
from server.engines.connections import Connections
from server.policy.pool import REMEMBERED, SLACK, Pool
from server.policy.replica import Replica
from server.schemas import BASE, Probe
from server.settings import ServerSettings
from server.versions.store import Weights
from tests.fakes.engine import FakeEngine, write_base

PROBE = Probe(token_ids=((1, 2),), token_logprobs=((-1.0,),))


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    """Three engines in the rotation, each of which holds the base."""
    base = write_base(tmp_path / "base")
    settings = ServerSettings(model=base)
    async with Connections() as connections:
        replicas = []
        for label in "abc":
            engine = FakeEngine(base)
            engine.problem = None
            replica = Replica(label, engine, connections, settings)
            replica.loader.start_over(Weights(BASE, base, "0" * 64, PROBE))
            replicas.append(replica)
        yield Pool(replicas)


def chosen(pool: Pool, *bodies: dict[str, Any]) -> str:
    """The labels of the engines that answer these requests, none of which ends."""
    return "".join(choose(pool, body).label for body in bodies)


def choose(pool: Pool, body: dict[str, Any]) -> Replica:
    replica = pool.choose(BASE, pool.conversation_of(body))
    replica.outstanding += 1
    return replica


def ask(text: str, *more: str) -> dict[str, Any]:
    """A conversation that began with `text`."""
    turns = [{"role": "user", "content": text}]
    for turn in more:
        turns += [{"role": "assistant", "content": "…"}, {"role": "user", "content": turn}]
    return {"messages": turns}


async def test_requests_spread_to_the_least_busy(pool: Pool) -> None:
    """Conversations that are new go to whoever has the fewest requests."""
    assert sorted(chosen(pool, *(ask(str(n)) for n in range(6)))) == list("aabbcc")


async def test_a_conversation_stays_where_it_was(pool: Pool) -> None:
    """Its later turns go to the engine that has its beginning in the cache."""
    other, home = choose(pool, ask("other")), choose(pool, ask("hello"))
    other.outstanding = home.outstanding = 0
    assert home.label == "b"
    assert chosen(pool, ask("hello", "and then?"), ask("hello", "and then?", "so?")) == "bb"


async def test_a_conversation_leaves_an_engine_that_is_much_busier(pool: Pool) -> None:
    """It has stayed until then, and stays with the other one afterwards."""
    assert chosen(pool, *[ask("hello")] * (SLACK + 2)) == "a" * (SLACK + 1) + "b"
    for each in pool.replicas:
        each.outstanding = 0
    assert chosen(pool, ask("hello")) == "b"


async def test_samples_of_one_prompt_share_an_engine(pool: Pool) -> None:
    """So do requests that name the same cache key."""
    assert chosen(pool, *({"prompt": [1, 2, 3]} for _ in range(3))) == "aaa"
    keyed = ({"prompt": str(n), "prompt_cache_key": "k"} for n in range(3))
    assert chosen(pool, *keyed) == "bbb"


async def test_an_engine_with_a_problem_gets_nothing(pool: Pool) -> None:
    """Not even the conversations that it had."""
    assert chosen(pool, ask("hello")) == "a"
    pool.replicas[0].engine.problem = "it is sick"
    assert chosen(pool, ask("hello"), ask("2")) == "bc"


async def test_an_engine_without_the_version_gets_nothing(pool: Pool) -> None:
    """An adapter may have been unloaded from some of them."""
    for replica in pool.replicas[:2]:
        replica.loader.engine_names = {"v1": "x"}
    assert chosen(pool, ask("1"), ask("2")) == "cc"


async def test_without_any_engine_the_reasons_are_told(pool: Pool) -> None:
    """Each engine's own, and when to come back."""
    for replica in pool.replicas:
        replica.engine.problem = f"{replica.label} is down"
    with pytest.raises(Unavailable, match="a: a is down; b: b is down; c: c is down") as caught:
        choose(pool, ask("hello"))
    assert caught.value.retry_after_s


async def test_engines_tried_in_vain_are_left_out(pool: Pool) -> None:
    """When all were, there is no engine."""
    a, b, c = pool.replicas
    assert pool.choose(BASE, None, {a, c}) is b
    with pytest.raises(Unavailable):
        pool.choose(BASE, None, {a, b, c})


async def test_the_memory_of_conversations_is_bounded(pool: Pool) -> None:
    """The longest unused is forgotten first."""
    for number in range(REMEMBERED + 10):
        pool.choose(BASE, pool.conversation_of(ask(str(number))))
    assert len(pool._homes) == REMEMBERED


@given(
    body=st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["messages", "prompt", "input", "role", "content", "system"]), inner
            )
        ),
    ).filter(lambda value: isinstance(value, dict))
)
def test_any_body_has_a_conversation(body: dict[str, Any]) -> None:
    """Whatever a client sends, the same body belongs to the same conversation."""
    pool = Pool([])
    assert pool.conversation_of(body) == pool.conversation_of(dict(body))
