"""Laws of downloads, with the hubs' real clients before a fake hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from galen.errors import Forbidden, NotFound, Unavailable
from tests.fakes.hub import FakeHub, serving
from trainer import hub

FILES = {"config.json": b"{}", "data/train.jsonl": b'{"a": 1}\n' * 100, "model.bin": b"pickle"}
HUBS: list[hub.Hub] = ["huggingface", "modelscope"]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    with serving(FakeHub({"some/thing": FILES, "gated/thing": FILES}, gated={"gated/thing"})) as it:
        yield it


@pytest.mark.parametrize("source", HUBS)
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_the_files_that_match_are_brought(
    fake: FakeHub, tmp_path: Path, kind: hub.Kind, source: hub.Hub
) -> None:
    """Each as it is at the hub; no other file is asked for."""
    hub.download(kind, "some/thing", tmp_path, ["*.json", "data/*.jsonl"], source, fake.url)
    for name in ("config.json", "data/train.jsonl"):
        assert (tmp_path / name).read_bytes() == FILES[name]
    assert not (tmp_path / "model.bin").exists()
    assert not any("model.bin" in asked for asked in fake.asked if "resolve" in asked)


def test_a_file_that_was_damaged_on_its_way_is_never_kept(fake: FakeHub, tmp_path: Path) -> None:
    """Its length is right, its SHA-256 is not. The next download brings it anew."""
    fake.damaged = {"model.bin"}
    with pytest.raises(Unavailable, match="was damaged on its way"):
        hub.download("model", "some/thing", tmp_path, ["*"], "huggingface", fake.url)
    assert not (tmp_path / "model.bin").exists()
    fake.damaged = set()
    hub.download("model", "some/thing", tmp_path, ["*"], "huggingface", fake.url)
    assert (tmp_path / "model.bin").read_bytes() == FILES["model.bin"]


@pytest.mark.parametrize("source", HUBS)
def test_a_name_that_the_hub_does_not_have_is_said(
    fake: FakeHub, tmp_path: Path, source: hub.Hub
) -> None:
    """With the variable for a token, since private ones look the same."""
    with pytest.raises(NotFound, match=f"no public repository no/thing.*{hub.TOKENS[source]}"):
        hub.download("model", "no/thing", tmp_path, ["*.json"], source, fake.url)


@pytest.mark.parametrize("source", HUBS)
def test_a_gated_repository_is_said(fake: FakeHub, tmp_path: Path, source: hub.Hub) -> None:
    """With what its owner wants."""
    with pytest.raises(Forbidden, match="accept its terms"):
        hub.download("model", "gated/thing", tmp_path, ["*.json"], source, fake.url)


def test_a_hub_out_of_reach_is_said_with_another_way() -> None:
    """The same command goes on once the connection is back. The clients wait long before that, so
    only the words are tried here."""
    said = hub._ours(ConnectionError(), "some/thing", "modelscope")
    assert isinstance(said, Unavailable)
    assert "run the same command again, it goes on; or try --hub huggingface" in said.message
