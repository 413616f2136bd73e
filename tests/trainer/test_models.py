"""Laws of `galen models get`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from galen.errors import Conflict, InvalidInput
from tests.fakes.hub import FakeHub, serving
from trainer import models, recipes
from trainer.model import load_policy

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def fake(toy: Path) -> Iterator[FakeHub]:
    files = {path.name: path.read_bytes() for path in toy.iterdir()}
    with serving(FakeHub({"Some/Toy": files})) as it:
        yield it


def test_a_model_is_brought_once_and_is_named_as_at_the_hub(
    fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe may use the hub's name from then on."""
    monkeypatch.chdir(tmp_path)
    assert models.get("Some/Toy", Path("models"), "huggingface", fake.url) == Path("models/Toy")
    load_policy(Path("models/Toy"))
    asked = len(fake.asked)
    models.get("Some/Toy", Path("models"), "huggingface", fake.url)
    assert len(fake.asked) == asked
    fields = {"stage": "dpo", "run": "r", "train": ["x"], "model": "Some/Toy"}
    assert recipes.DpoRecipe.model_validate(fields).model == Path("models/Toy")


def test_the_command_ends_with_the_next_step(toy: Path, tmp_path: Path) -> None:
    """Which names the model that was brought."""
    place = tmp_path / "models"
    done = CliRunner().invoke(app, ["models", "get", str(toy), "--models", str(place)])
    model, following = done.output.splitlines()
    assert model == f"Model:   {place / toy.name}"
    assert following.endswith(f"--set model={place / toy.name} --dry-run")


def test_a_folder_is_linked_and_not_copied(toy: Path, tmp_path: Path) -> None:
    """Twice is the same as once; another model under that name is refused."""
    for _ in range(2):
        assert models.get(str(toy), tmp_path / "models", "huggingface").resolve() == toy
    other = tmp_path / "other" / toy.name
    other.mkdir(parents=True)
    for path in toy.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(Conflict, match="is there already"):
        models.get(str(other), tmp_path / "models", "huggingface")


@pytest.mark.parametrize("fault", ["cut", "missing", "none", "noise"])
def test_a_model_that_is_not_whole_is_refused(toy: Path, tmp_path: Path, fault: str) -> None:
    """The file is named, with what to do; nothing stays under `models`."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in toy.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = folder / "model.safetensors"
    if fault == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif fault == "missing":
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    elif fault == "noise":
        weights.write_bytes(b"\x00" * 100)
    else:
        weights.unlink()
    with pytest.raises(InvalidInput, match="download it again"):
        models.get(str(folder), tmp_path / "models", "huggingface")
    assert not (tmp_path / "models").exists()


def test_a_name_that_is_neither_is_refused(tmp_path: Path) -> None:
    """With both forms."""
    with pytest.raises(InvalidInput, match="neither a folder nor a hub's name"):
        models.get("qwen", tmp_path, "huggingface")
