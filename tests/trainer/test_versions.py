"""Laws of making a version from any folder of weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from galen import digest
from galen.errors import Conflict, InvalidInput, RecipeError, StorageFull, VersionRefused
from server.schemas import MANIFEST, Kind, PolicyState, VersionCard, VersionManifest
from tests.fakes.rollouts import write_adapter, write_toy
from trainer import versions
from trainer.runs import FinishedRun


@pytest.fixture(scope="module")
def adapter(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read it, never write to it."""
    return write_adapter(toy, tmp_path_factory.mktemp("adapter") / "adapter")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def state_of(base: Path, serves: Kind = "merged") -> PolicyState:
    card = VersionCard(name="base", kind="merged", sha256=digest.of_folder(base), loaded=True)
    return PolicyState(current="base", serves=serves, versions=(card,), disclaimer="")


def made(
    given: Path | str, name: str, base: Path, root: Path, serves: Kind = "merged"
) -> tuple[Path, VersionManifest]:
    """The version that is made of what was given, and its manifest."""
    source = versions.source_of(str(given), root, serves)
    folder = versions.prepare(source, name, state_of(base, serves), [base], root, lambda _: None)
    return folder, VersionManifest.model_validate_json((folder / MANIFEST).read_text("utf-8"))


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def logprobs_by(model: torch.nn.Module, manifest: VersionManifest) -> Iterator[list[float]]:
    for ids in manifest.probe.token_ids:
        with torch.no_grad():
            rows = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        yield [float(rows[t, token]) for t, token in enumerate(ids[1:])]


def assert_probe_is_of(model: torch.nn.Module, manifest: VersionManifest) -> None:
    pairs = zip(logprobs_by(model, manifest), manifest.probe.token_logprobs, strict=True)
    for computed, published in pairs:
        assert list(published) == pytest.approx(computed, abs=1e-4)


def test_a_model_from_anywhere_becomes_a_version(toy: Path, tmp_path: Path, root: Path) -> None:
    """A copy with manifest and probe; the folder that was given stays as it was."""
    given = Path(shutil.copytree(toy, tmp_path / "mine"))
    (given / "optimizer.pt").write_bytes(b"a pickle")
    (given / ".gitattributes").write_text("")
    before = files_in(given)
    folder, manifest = made(given, "mine", toy, root)
    assert folder == root / "published" / "mine"
    assert files_in(given) == before
    assert set(files_in(folder)) == {*before, MANIFEST} - {"optimizer.pt", ".gitattributes"}
    assert manifest.sha256 == digest.of_folder(folder, leave_out=frozenset({MANIFEST}))
    assert (manifest.name, manifest.kind, manifest.parent) == ("mine", "merged", "base")
    assert_probe_is_of(AutoModelForCausalLM.from_pretrained(toy).eval(), manifest)


def test_files_that_are_links_are_copied(toy: Path, tmp_path: Path, root: Path) -> None:
    """A model's cache is full of links, which no server takes."""
    given = tmp_path / "snapshot"
    given.mkdir()
    for file in toy.iterdir():
        (given / file.name).symlink_to(file)
    folder, _ = made(given, "linked", toy, root)
    assert not any(path.is_symlink() for path in folder.iterdir())


def test_an_adapter_is_published_as_one_where_adapters_are_served(
    toy: Path, adapter: Path, root: Path
) -> None:
    """With the checksum of its base, and a probe that its weights have a part in."""
    folder, manifest = made(adapter, "a", toy, root, "adapter")
    assert (manifest.kind, manifest.base) == ("adapter", digest.of_folder(toy))
    assert sorted(files_in(folder)) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        MANIFEST,
    ]
    base = AutoModelForCausalLM.from_pretrained(toy)
    assert_probe_is_of(PeftModel.from_pretrained(base, adapter).eval(), manifest)


def test_an_adapter_is_merged_where_merged_weights_are_served(
    toy: Path, adapter: Path, root: Path
) -> None:
    """What it says afterwards is what it said before."""
    folder, manifest = made(adapter, "a", toy, root)
    assert (manifest.kind, manifest.base) == ("merged", None)
    assert (folder / "model.safetensors").is_file()
    base = AutoModelForCausalLM.from_pretrained(toy)
    assert_probe_is_of(PeftModel.from_pretrained(base, adapter).eval(), manifest)


def test_whole_weights_are_refused_where_adapters_are_served(toy: Path, root: Path) -> None:
    """The message says what to do, and nothing is left behind."""
    with pytest.raises(VersionRefused, match="takes only LoRA adapters; publish the adapter"):
        made(toy, "a", toy, root, "adapter")
    assert not list((root / "published").glob("*"))


def test_weights_of_another_base_are_refused(toy: Path, tmp_path: Path, root: Path) -> None:
    """Before anything is loaded, with all that is wrong and nothing left behind."""
    given = Path(shutil.copytree(toy, tmp_path / "mine"))
    config = json.loads((given / "config.json").read_text("utf-8"))
    changed = {**config, "num_attention_heads": 2, "head_dim": 32}
    (given / "config.json").write_text(json.dumps(changed), "utf-8")
    with pytest.raises(VersionRefused, match=r"num_attention_heads(.|\n)*head_dim"):
        made(given, "a", toy, root)
    assert not root.exists() or not list(root.rglob("*.safetensors"))


def test_a_disk_that_cannot_be_written_is_one_line(toy: Path, root: Path) -> None:
    """Nobody needs a trace to make room."""
    root.write_text("a file where the folder should be")
    with pytest.raises(StorageFull, match="cannot be copied to"):
        made(toy, "a", toy, root)


def test_a_version_that_fits_is_published_where_it_lies(toy: Path, root: Path) -> None:
    """Nothing is copied or computed again."""
    folder, _ = made(toy, "v1", toy, root)
    assert made(folder, "v1", toy, root)[0] == folder


def test_a_version_may_get_another_name(toy: Path, tmp_path: Path, root: Path) -> None:
    """Its copy keeps the probe, needs no model of the base, and may come from anywhere."""
    folder, manifest = made(toy, "v1", toy, tmp_path / "elsewhere")
    source = versions.source_of(str(folder), root, "merged")
    copy = versions.prepare(source, "best", state_of(toy), [], root, lambda _: None)
    found = VersionManifest.model_validate_json((copy / MANIFEST).read_text("utf-8"))
    assert copy == root / "published" / "best"
    assert found == manifest.model_copy(update={"name": "best"})


def test_a_renamed_version_has_the_checksum_of_its_own_files(
    toy: Path, tmp_path: Path, root: Path
) -> None:
    """Files that no server needs, like PEFT's README, are not copied."""
    folder, manifest = made(toy, "v1", toy, tmp_path / "elsewhere")
    (folder / "README.md").write_text("a model card")
    whole = digest.of_folder(folder, leave_out=frozenset({MANIFEST}))
    listed = manifest.model_copy(update={"sha256": whole})
    (folder / MANIFEST).write_text(listed.model_dump_json(), "utf-8")
    copy, found = made(folder, "best", toy, root)
    assert found.sha256 == manifest.sha256
    assert found.sha256 == digest.of_folder(copy, leave_out=frozenset({MANIFEST}))


def test_a_version_whose_files_have_changed_gets_no_other_name(
    toy: Path, tmp_path: Path, root: Path
) -> None:
    """Its probe belongs to other weights."""
    folder, _ = made(toy, "v1", toy, tmp_path / "elsewhere")
    (folder / "generation_config.json").write_text("{}", "utf-8")
    with pytest.raises(VersionRefused, match="SHA-256"):
        made(folder, "best", toy, root)


def test_a_version_from_elsewhere_keeps_its_name(toy: Path, tmp_path: Path, root: Path) -> None:
    """It is copied, for a server loads only what lies inside its `versions_root`."""
    folder, manifest = made(toy, "v1", toy, tmp_path / "elsewhere")
    assert made(folder, "v1", toy, root) == (root / "published" / "v1", manifest)


def test_publishing_twice_is_publishing_once(toy: Path, root: Path) -> None:
    """The first version's folder is found again, without another probe."""
    folder, _ = made(toy, "v1", toy, root)
    stamp = (folder / MANIFEST).stat().st_mtime_ns
    assert made(toy, "v1", toy, root)[0] == folder
    assert (folder / MANIFEST).stat().st_mtime_ns == stamp


def test_a_name_belongs_to_its_weights(toy: Path, adapter: Path, root: Path) -> None:
    """Other weights under it are refused, and the first stay."""
    folder, manifest = made(toy, "v1", toy, root)
    with pytest.raises(Conflict, match="holds other weights of that name"):
        made(adapter, "v1", toy, root)
    assert VersionManifest.model_validate_json((folder / MANIFEST).read_text()) == manifest


def test_a_base_that_is_not_here_is_named(toy: Path, tmp_path: Path) -> None:
    """The folders that were looked at are named as well."""
    other = write_toy(tmp_path / "other")
    (other / "more.txt").write_text("another checksum")
    with pytest.raises(InvalidInput, match=rf"not {other}.*--config"):
        versions.served_by(state_of(toy), [other, tmp_path / "none"])


def write_run(root: Path, name: str, **facts: object) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    manifest = {"recipe": "a" * 64, "finished": True, **facts}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (folder / "recipe.yaml").write_text("stage: sft\n", "utf-8")
    return folder


@pytest.mark.parametrize("by_folder", [True, False])
def test_a_finished_sft_run_is_published_by_its_name_or_folder(
    toy: Path, root: Path, by_folder: bool
) -> None:
    """Its version says which run and recipe it comes from."""
    run = write_run(root, "my-sft")
    shutil.copytree(toy, run / "final")
    _, manifest = made(run if by_folder else "run:my-sft", "v1", toy, root)
    assert (manifest.run, manifest.recipe_sha256) == ("my-sft", "a" * 64)


def test_a_run_offers_what_the_server_takes(toy: Path, adapter: Path, root: Path) -> None:
    """Merged weights, or the adapter from before they were merged; else what there is."""
    run = write_run(root, "my-sft")
    shutil.copytree(adapter, run / "adapter")
    assert versions.source_of("run:my-sft", root, "merged").kind == "adapter"
    shutil.copytree(toy, run / "final")
    assert versions.source_of("run:my-sft", root, "merged").folder == run / "final"
    assert versions.source_of("run:my-sft", root, "adapter").folder == run / "adapter"


def test_a_ppo_run_offers_its_last_version(toy: Path, root: Path) -> None:
    """The folder that it published, as it is."""
    run = write_run(root, "my-ppo", version="my-ppo-0004-ab")
    folder, _ = made(toy, "my-ppo-0004-ab", toy, root)
    folder = folder.rename((run / "versions").mkdir() or run / "versions" / folder.name)
    source = versions.source_of("run:my-ppo", root, "merged")
    assert (source.kind, source.folder) == ("version", folder)


def test_a_run_without_weights_is_refused(root: Path) -> None:
    """Somebody deleted them."""
    write_run(root, "my-sft")
    with pytest.raises(RecipeError, match="holds no weights any more"):
        versions.source_of("run:my-sft", root, "merged")


@pytest.mark.parametrize(
    ("make", "message"),
    [(False, "no such folder; a run is named run:<name>"), (True, "no weights there; it holds")],
)
def test_a_folder_without_weights_is_refused(tmp_path: Path, make: bool, message: str) -> None:
    """The message says what may be given."""
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(InvalidInput, match=message):
        versions.source_of(str(folder), tmp_path, "merged")


def test_a_damaged_manifest_is_refused(toy: Path, tmp_path: Path, root: Path) -> None:
    """The message says that deleting it is enough."""
    given = Path(shutil.copytree(toy, tmp_path / "mine"))
    (given / MANIFEST).write_text("{}", "utf-8")
    with pytest.raises(VersionRefused, match="damaged; delete it"):
        made(given, "v1", toy, root)


def test_the_base_that_weights_name_is_looked_at(adapter: Path, toy: Path, root: Path) -> None:
    """An adapter's base, a run's start model."""
    assert versions.bases_of(versions.source_of(str(adapter), root, "adapter")) == [toy]
    run = write_run(root, "r")
    (run / "recipe.yaml").write_text("model: models/mine\n", "utf-8")
    finished = FinishedRun("r", run, None, "")
    source = versions.Source(run / "final", "merged", finished)
    assert versions.bases_of(source) == [Path("models/mine"), run / "start"]
