"""Laws of `galen doctor`."""

from __future__ import annotations

import json
import os
import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cli import checks, model_checks, processes, stack
from cli.stack import StackConfig
from cli.state import StackState
from tests.fakes.services import FakePolicyServer, Refusal


@pytest.mark.parametrize(
    ("found", "ok"),
    [((3, 10, 9), False), ((3, 11, 0), True), ((3, 13, 1), True), ((3, 14, 0), False)],
)
def test_python_is_checked_against_what_is_supported(found: tuple[int, ...], ok: bool) -> None:
    """Versions on either side of the supported ones are named as wrong, with what to do."""
    check = checks.python(found)
    assert (check.ok, bool(check.advice)) == (ok, not ok)


def write_lock(folder: Path, **versions: str) -> None:
    lines = [f"{name}=={pin}" for name, pin in versions.items()]
    (folder / "base.lock").write_text("# what for\n" + "\n".join(lines) + "\n")


def test_packages_as_pinned_are_fine(tmp_path: Path) -> None:
    """An environment that is what the lock says passes."""
    write_lock(tmp_path, pydantic=version("pydantic"), typer=version("typer"))
    assert checks.packages(tmp_path, ("base",)) == checks.Check("packages", True, "2 as pinned")


def test_a_wrong_or_missing_package_is_named(tmp_path: Path) -> None:
    """Both the version that was found and the one that is pinned are said."""
    write_lock(tmp_path, pydantic="0.0.1", nosuchthing="1.0")
    check = checks.packages(tmp_path, ("base",))
    assert not check.ok
    assert f"pydantic {version('pydantic')} (pinned 0.0.1)" in check.detail
    assert "nosuchthing missing (pinned 1.0)" in check.detail
    assert check.advice


@pytest.fixture
def asked(tmp_path: Path) -> StackConfig:
    """A stack on ports that were free a moment ago, with no model yet."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        ports = []
        for each in (one, two, three):
            each.bind(("127.0.0.1", 0))
            ports.append(each.getsockname()[1])
    recipe = tmp_path / "sft.yaml"
    recipe.write_text("stage: sft\nrun: s\ndemo_model: {}\nlora: null\ntrain: [none.jsonl]\n")
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"prepare: [{recipe}]\nname: s\nserver: {{model: {tmp_path}/none, port: {ports[0]}}}\n"
        f"judge: {{port: {ports[1]}}}\nwebui: {{port: {ports[2]}}}\n"
    )
    return stack.load(file)


def test_free_ports_are_fine(asked: StackConfig) -> None:
    """With nothing up, every port is free for its service."""
    assert [check.ok for check in checks.ports(asked, None)] == [True, True, True]


def test_a_port_is_fine_with_its_own_service_and_wrong_with_another(asked: StackConfig) -> None:
    """Our own service may hold its port; anybody else's holding it is named."""
    ours = processes.this_process("judge").model_copy(update={"url": asked.urls()["judge"]})
    running = StackState(config=Path("s.yaml"), processes=(ours,))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", asked.judge.port))
        listener.listen()
        with_ours = {check.name: check for check in checks.ports(asked, running)}
        with_strangers = {check.name: check for check in checks.ports(asked, None)}
    name = f"port {asked.judge.port}"
    assert with_ours[name].ok
    assert not with_strangers[name].ok
    assert f"(pid {os.getpid()})" in with_strangers[name].detail


@pytest.mark.parametrize(("free", "ok"), [(1.9e9, False), (2e9, True)])
def test_little_disk_is_reported(free: float, ok: bool) -> None:
    """What the stack will write must be free."""
    assert checks.disk(int(free), needed_gb=2.0).ok is ok


def test_without_a_model_a_toy_one_passes(asked: StackConfig) -> None:
    """Before the first rehearsal, template and generation are checked on a model made for it."""
    with model_checks.model_folder(asked) as folder:
        assert folder is not None
        assert model_checks.template(folder).ok
        check = model_checks.generation(asked, folder)
    assert (check.ok, check.detail) == (True, "4 tokens here; the server is not up")
    assert not folder.exists()


def test_a_missing_model_is_no_toy(asked: StackConfig) -> None:
    """What is checked on a toy says nothing about a model that nobody has downloaded."""
    with model_checks.model_folder(asked.model_copy(update={"prepare": ()})) as folder:
        assert folder is None


def test_a_tokenizer_without_a_chat_template_is_reported(tmp_path: Path) -> None:
    """A base model's folder in place of a chat model's is seen by its missing template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<e>").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    check = model_checks.template(tmp_path)
    assert not check.ok
    assert "chat template" in check.detail


def test_a_tokenizer_that_loses_the_tags_is_reported(asked: StackConfig) -> None:
    """Tags that are special tokens vanish from decoded text, and all reasoning with them."""
    with model_checks.model_folder(asked) as folder:
        assert folder is not None
        path = folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text("utf-8"))
        for token in tokenizer["added_tokens"]:
            token["special"] = True
        path.write_text(json.dumps(tokenizer), "utf-8")
        check = model_checks.template(folder)
    assert (check.ok, check.detail) == (False, "reasoning and answer do not come back")


def test_a_server_that_is_up_is_asked(asked: StackConfig) -> None:
    """With a server up, the tiny generation goes through it, and its refusal is a failure."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Refusal(503, "not now"))
        check = model_checks._ask_server(server.url)
    assert not check.ok
    assert "HTTPStatusError" in check.detail
