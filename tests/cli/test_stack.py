"""Laws of stack files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from cli import stack
from galen.errors import RecipeError
from trainer import recipes


@pytest.mark.parametrize("name", ["demo", "medical", "medical-safety"])
def test_a_shipped_stack_and_its_recipes_are_valid(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stack in configs/ can be read, and so can every recipe that it names."""
    monkeypatch.chdir(root)
    read = stack.load(Path("configs") / f"{name}.yaml")
    assert read.name == name
    assert read.compare is not None
    stages = [recipes.load(path).stage for path in (*read.prepare, *read.train, read.compare)]
    assert stages == ["sft", "ppo", "compare"]


@pytest.mark.parametrize("name", ["demo", "medical", "medical-safety"])
def test_a_shipped_stack_serves_what_its_recipes_make(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's base is the model that the first recipe leaves and the later ones start from."""
    monkeypatch.chdir(root)
    read = stack.load(Path("configs") / f"{name}.yaml")
    assert read.server.model == recipes.load(read.prepare[-1]).folder / "final"
    assert [recipes.load(path).model for path in read.train] == [read.server.model]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stack.yaml"
    path.write_text("name: small\nserver: {model: m}\n")
    return path


def test_a_field_that_no_stack_has_is_refused_by_name(file: Path) -> None:
    """A misspelt field is an error that names it, at any depth."""
    with pytest.raises(RecipeError, match=r"server\.prot"):
        stack.load(file, ["server.prot=8010"])
    with pytest.raises(RecipeError, match="webiu"):
        stack.load(file, ["webiu.port=1"])


def test_the_page_talks_to_this_stacks_services(file: Path) -> None:
    """Moving a service's port moves the page's idea of it, unless the file says otherwise."""
    moved = stack.load(file, ["server.port=9000", "judge.port=9001"]).webui
    assert (moved.server_url, moved.judge_url) == ("http://127.0.0.1:9000", "http://127.0.0.1:9001")
    elsewhere = stack.load(file, ["webui.judge_url=http://judge:8001"]).webui
    assert elsewhere.judge_url == "http://judge:8001"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("example.org", "http://example.org:80"),
    ],
)
def test_a_url_is_one_that_can_be_typed(host: str, url: str) -> None:
    """Nobody can call 0.0.0.0; a service that listens there is on loopback."""
    assert stack.url_of(host, 80) == url


def test_two_services_cannot_share_a_port(file: Path) -> None:
    """A stack that would start two services on one port is refused before any starts."""
    stack.ports_must_differ(stack.load(file))
    with pytest.raises(RecipeError, match=r"judge\.port and server\.port are both 8000"):
        stack.ports_must_differ(stack.load(file, ["judge.port=8000"]))


def _places(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The dotted name of every field below `model`."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _places(field.annotation, f"{above}{name}.")


@pytest.mark.parametrize("wrong", ["{a: 1}", "-1.5", "x y", "[[]]", "[1]"])
def test_no_setting_is_refused_in_a_programmers_words(wrong: str, file: Path) -> None:
    """Whatever is set to whatever, either it is taken or the message reads like a person's."""
    refused = 0
    for place in _places(stack.StackConfig):
        try:
            stack.load(file, [f"{place}={wrong}"])
        except RecipeError as error:
            refused += 1
            assert f"\n  {place}" in error.message
            assert not re.search("Input|valid|parse|instance|dictionary", error.message)
    assert refused > 40
