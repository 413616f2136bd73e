"""Keys, health, metrics, limits, and the mistakes that stop the server before it starts."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from galen.errors import GalenError, InvalidInput, RecipeError, Unavailable
from galen.keys import KEYS_VARIABLE
from galen.settings import validated
from server.app import _hold, serve
from server.settings import AdapterSettings, ServerSettings
from tests.fakes.engine import Hold, Refuse, write_base, write_version
from tests.server.harness import Launcher, Running

KEYS = ["ann:user:secret-ann", "ppo:rollout:secret-ppo", "eve:admin:secret-eve"]


@pytest.mark.parametrize(
    ("secret", "ask", "publish"),
    [
        (None, 401, 401),
        ("wrong-one", 401, 401),
        ("ann", 200, 403),
        ("ppo", 200, 403),
        ("eve", 200, 200),
    ],
)
async def test_who_may_ask_and_who_may_publish(
    launcher: Launcher, secret: str | None, ask: int, publish: int
) -> None:
    """Any key may ask for completions; only an admin changes what serves."""
    headers = {"Authorization": f"Bearer secret-{secret}"} if secret else {}
    async with launcher.having(keys=KEYS).start() as running:
        running.http.headers.update(headers)
        folder = write_version(running.versions, "v1", -2.0)
        assert (await running.ask()).status_code == ask
        assert (await running.http.get("/policy")).status_code == ask
        assert (await running.publish(folder)).status_code == publish
        activated = await running.http.post("/policy/activate", json={"name": "base"})
        assert activated.status_code == publish
        assert (await running.http.delete("/policy/versions/v1")).status_code == publish


@pytest.mark.parametrize(("adapters", "kind"), [(None, "merged"), (AdapterSettings(), "adapter")])
async def test_the_state_says_what_kind_of_version_is_served(
    launcher: Launcher, adapters: AdapterSettings | None, kind: str
) -> None:
    """A publisher learns from it whether an adapter has to be merged first."""
    async with launcher.having(adapters=adapters).start() as running:
        assert (await running.http.get("/policy")).json()["serves"] == kind


async def test_health_needs_no_key_and_metrics_any(launcher: Launcher) -> None:
    """A scheduler's probes have none; Prometheus can send one."""
    async with launcher.having(keys=KEYS).start() as running:
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 401)):
            assert (await running.http.get(path)).status_code == status
        secret = KEYS[0].split(":")[2]
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await running.http.get("/metrics", headers=headers)).status_code == 200


async def test_a_server_is_ready_only_once_its_policy_is_loaded(running: Running) -> None:
    """Until then `/readyz` says 503 and why, while the gateway itself is healthy."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    hold = Hold()
    running.engine.enqueue("/collective_rpc", hold)
    running.engine.restart("it was killed")
    await hold.arrived.wait()
    assert (await running.http.get("/healthz")).status_code == 200
    loading = await running.http.get("/readyz")
    assert loading.status_code == 503
    assert "it was killed" in loading.json()["error"]["message"]
    hold.release.set()
    await running.engine.ready.wait()
    assert (await running.http.get("/readyz")).json() == {"status": "ready", "policy": "v1"}


async def test_an_engine_that_cannot_be_kept_running_is_reported(running: Running) -> None:
    """Whoever runs the app is told the reason, once."""
    running.engine.fail(Unavailable("no room for the model"))
    await running.failed.wait()
    assert [str(failure) for failure in running.failures] == ["no room for the model"]


async def test_metrics_hold_the_gateways_and_the_engines(running: Running) -> None:
    """One scrape gives both, and which version serves."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    text = (await running.http.get("/metrics")).text
    assert 'galen_server_policy_current{version="v1"} 1.0' in text
    assert 'version="base"' not in text
    assert 'galen_server_version_loads_total{outcome="ok"} 1.0' in text
    assert 'galen_server_engine_ready{engine="local"} 1.0' in text
    assert 'vllm:num_requests_running{engine="local"} 0.0' in text


async def test_metrics_do_without_the_engine(running: Running) -> None:
    """While the engine is down, the gateway's own are still there."""
    running.engine.enqueue("/metrics", Refuse(500, "not now"))
    text = (await running.http.get("/metrics")).text
    assert "galen_server_engine_ready" in text
    assert "not now" not in text


async def test_a_body_beyond_the_limit_is_refused(launcher: Launcher) -> None:
    """413, whether its length was declared or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 100

    async with launcher.having(body_limit=2000).start() as running:
        for content in (b"x" * 4000, chunks()):
            answer = await running.http.post("/v1/completions", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                413,
                "payload_too_large",
            )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "v1"}, "path"),
        ({"name": "../v1", "path": "x"}, "name"),
        ({"name": "v1", "path": "x", "activte": True}, "activte"),
        ({"name": "v1", "path": "nowhere"}, "path"),
        ({"name": "v1", "path": "a\x00b"}, "path"),
    ],
)
async def test_a_wrong_publish_names_its_field(
    running: Running, body: dict[str, object], param: str
) -> None:
    """Missing, misspelt or impossible: 422 and the field's name."""
    answer = await running.http.post("/policy/versions", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


async def test_two_activations_at_once_leave_one_clear_winner(running: Running) -> None:
    """Steps are done one after another; the answers and the end agree."""
    for name, logprob in (("v1", -2.0), ("v2", -3.0)):
        await running.publish(write_version(running.versions, name, logprob))
    names = ["v1", "v2", "base", "v1", "v2"]
    answers = await asyncio.gather(
        *(running.http.post("/policy/activate", json={"name": name}) for name in names)
    )
    assert [answer.json()["current"] for answer in answers] == names
    current = (await running.http.get("/policy")).json()["current"]
    expected = {"v1": "-2.0", "v2": "-3.0", "base": "-1.0"}[current]
    assert (await running.ask()).json()["choices"][0]["text"] == expected


async def test_no_prompt_is_ever_logged(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a served nor a refused request leaves its words in the log."""
    caplog.set_level(logging.DEBUG)
    running.engine.enqueue("/v1/completions", Refuse(400, "no"))
    secret = "my-own-illness"
    for body in ({"prompt": secret}, {"prompt": secret}, {"model": "x", "prompt": secret + "\x00"}):
        await running.http.post("/v1/completions", json=body)
    assert caplog.records
    assert not [r for r in caplog.records if secret in f"{r.getMessage()} {vars(r)}"]


async def test_the_api_document_says_what_this_is_not(running: Running) -> None:
    """Research only, never a diagnosis; and the state carries the same in both languages."""
    document = (await running.http.get("/openapi.json")).json()
    assert "never a diagnosis" in document["info"]["description"]
    disclaimer = (await running.http.get("/policy")).json()["disclaimer"]
    assert "不构成诊断" in disclaimer
    assert "never a diagnosis" in disclaimer


async def test_stopping_does_not_wait_for_an_engine_that_hangs(launcher: Launcher) -> None:
    """Answers under way get their grace, then the server ends."""
    hold = Hold()
    async with launcher.start() as running:
        running.engine.enqueue("/v1/completions", hold)
        asking = asyncio.create_task(running.ask())
        await hold.arrived.wait()
        asking.cancel()
    assert hold.hung_up.is_set()


def serve_refusal(settings: ServerSettings) -> GalenError:
    with pytest.raises(InvalidInput) as refused:
        serve(settings)
    return refused.value


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    """Before anything is started."""
    refusal = serve_refusal(ServerSettings(model=tmp_path / "none"))
    assert refusal.param == "model"
    assert "no config.json" in refusal.message


def test_a_model_that_no_engine_could_serve_is_named(tmp_path: Path) -> None:
    """Before an engine takes half a minute to find out."""
    refusal = serve_refusal(ServerSettings(model=write_base(tmp_path / "base")))
    assert (refusal.param, "holds no tokenizer" in refusal.message) == ("model", True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_without_keys_it_listens_on_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere anybody could publish."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    refusal = serve_refusal(ServerSettings(model=write_base(tmp_path / "base"), host="0.0.0.0"))
    assert refusal.param == "host"


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """Before an engine is started; in one line, with its path."""
    (tmp_path / "taken").write_text("a file")
    settings = ServerSettings(
        model=write_base(tmp_path / "base"), port=free_port(), state=tmp_path / "taken" / "state"
    )
    refusal = serve_refusal(settings)
    assert refusal.param == "state"
    assert str(settings.state) in refusal.message


def test_a_folder_of_batches_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """As the state folder is, with the path that is in the way; and the state is free again."""
    model, state = write_base(tmp_path / "base"), tmp_path / "state"
    state.mkdir()
    (state / "batches").write_text("a file")
    refusal = serve_refusal(ServerSettings(model=model, state=state, port=free_port()))
    assert (refusal.param, f"cannot write to {state / 'batches'} " in refusal.message) == (
        "state",
        True,
    )
    (state / "batches").unlink()
    _hold(state).close()


@pytest.mark.parametrize("url", ["localhost:81", "http://host:81/v1", "http://a b", "http://x?y"])
def test_an_engine_is_named_by_scheme_host_and_port(tmp_path: Path, url: str) -> None:
    """What else is written is told how to write it, not a pattern."""
    with pytest.raises(RecipeError, match="write http://host:port"):
        validated(ServerSettings, {"model": tmp_path, "engines": [url]}, "stack.yaml")


def test_a_rank_that_the_engine_does_not_take_is_refused_before_its_start(tmp_path: Path) -> None:
    """With the ones that it takes."""
    with pytest.raises(RecipeError, match=r"adapters\.max_rank: .*8, 16"):
        validated(ServerSettings, {"model": tmp_path, "adapters": {"max_rank": 12}}, "stack.yaml")


def test_two_servers_never_share_a_state_folder(tmp_path: Path) -> None:
    """The second is refused while the first is at work, and not afterwards."""
    state = tmp_path / "state"
    settings = ServerSettings(model=write_base(tmp_path / "base"), state=state, port=free_port())
    with _hold(state):
        refusal = serve_refusal(settings)
    assert (refusal.param, "another server" in refusal.message) == ("state", True)
    _hold(state).close()


def test_files_and_batches_of_the_former_format_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing reads or deletes them; a state folder without them says nothing."""
    _hold(tmp_path).close()
    assert not caplog.records
    (tmp_path / "files").mkdir()
    _hold(tmp_path).close()
    assert vars(caplog.records[0])["paths"] == f"{tmp_path}/files {tmp_path}/batches/*.json"


def test_a_state_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    """It holds what people asked; one that was there keeps the mode that somebody gave it."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir(mode=0o750)
    for state, mode in ((theirs, 0o750), (ours, 0o700)):
        _hold(state).close()
        assert state.stat().st_mode & 0o777 == mode
