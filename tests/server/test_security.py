"""Who reaches the policy server, and by what."""

from __future__ import annotations

import pytest

from server.paths import PASSED_ON
from tests.server.harness import Launcher

KEYS = ["ann:user:secret-of-ann", "ppo:rollout:secret-of-ppo", "boss:admin:secret-of-boss"]
ADMINS = [
    ("POST", "/policy/versions", {"name": "v1", "path": "v1"}),
    ("POST", "/policy/activate", {"name": "base"}),
    ("DELETE", "/policy/versions/v1", None),
]
FOREIGN = [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_without_keys_no_page_elsewhere_is_answered(
    launcher: Launcher, headers: dict[str, str]
) -> None:
    """Neither an answer nor a switch; the engine hears of nothing."""
    async with launcher.start() as running:
        running.engine.received.clear()
        for method, path, body in [*ADMINS, ("POST", "/v1/completions", {"prompt": "a"})]:
            answer = await running.http.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert running.engine.received == []


@pytest.mark.parametrize("headers", FOREIGN)
async def test_with_keys_it_is_reached_by_any_name(
    launcher: Launcher, headers: dict[str, str]
) -> None:
    """It may stand behind a proxy with a name of its own; the key decides."""
    async with launcher.having(keys=KEYS).start() as running:
        body, key = {"prompt": "a"}, {"Authorization": "Bearer secret-of-ann"}
        answer = await running.http.post("/v1/completions", json=body, headers=headers | key)
        assert answer.status_code == 200
        answer = await running.http.post("/v1/completions", json=body, headers=headers)
        assert answer.status_code == 401


@pytest.mark.parametrize("secret", ["secret-of-ann", "secret-of-ppo"])
@pytest.mark.parametrize(("method", "path", "body"), ADMINS)
async def test_only_an_admin_changes_the_policy(
    launcher: Launcher, secret: str, method: str, path: str, body: dict[str, str] | None
) -> None:
    """Neither a user nor a rollout may load, switch or delete."""
    async with launcher.having(keys=KEYS).start() as running:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = await running.http.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_no_path_slips_past_its_rules(launcher: Launcher) -> None:
    """With a line break behind it a path would match its route, and no rule for that path."""
    async with launcher.start() as running:
        running.engine.received.clear()
        body = {"model": "policy", "input": "hello", "store": True}
        for path in PASSED_ON:
            for character in ("%0A", "%0D", "%00", "%7F"):
                answer = await running.http.post(path + character, json=body)
                assert answer.status_code == 404
        assert running.engine.received == []
