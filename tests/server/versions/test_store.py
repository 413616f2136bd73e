"""Which folders may become versions, and how the list of them outlives a kill."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from galen import digest
from galen.errors import Conflict, InvalidInput, NotFound, VersionRefused
from server.schemas import BASE, MANIFEST
from server.settings import AdapterSettings, ServerSettings
from server.versions.store import VersionStore
from tests.fakes.engine import write_version
from tests.server.harness import Launcher


@pytest.fixture
def settings(launcher: Launcher) -> ServerSettings:
    return launcher.settings


@pytest.fixture
def store(settings: ServerSettings) -> VersionStore:
    return VersionStore(settings)


@pytest.fixture
def root(settings: ServerSettings) -> Path:
    return settings.versions_root


@pytest.fixture
def adapters(settings: ServerSettings) -> VersionStore:
    changed = {"adapters": AdapterSettings(max_rank=8)}
    return VersionStore(settings.model_copy(update=changed))


def rewrite(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}), "utf-8")


def test_a_sound_folder_is_accepted_with_its_lineage(store: VersionStore, root: Path) -> None:
    """Name, kind, checksum, parent, run and step come from the manifest."""
    folder = write_version(root, "v1", -2.0, parent="v0", run="ppo", step=3)
    entry, weights = store.inspect("v1", folder)
    assert (entry.parent, entry.run, entry.step, entry.kind) == ("v0", "ppo", 3, "merged")
    assert (
        entry.sha256 == weights.sha256 == digest.of_folder(folder, leave_out=frozenset({MANIFEST}))
    )


def test_a_changed_byte_is_found(store: VersionStore, root: Path) -> None:
    """The checksum is computed over the files, not believed."""
    folder = write_version(root, "v1", -2.0)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(VersionRefused, match="SHA-256"):
        store.inspect("v1", folder)


def test_an_added_file_is_found(store: VersionStore, root: Path) -> None:
    """The checksum covers every file of the folder."""
    folder = write_version(root, "v1", -2.0)
    (folder / "config.json").write_text("{}", "utf-8")
    with pytest.raises(VersionRefused, match="SHA-256"):
        store.inspect("v1", folder)


def test_a_folder_outside_the_root_is_refused(store: VersionStore, tmp_path: Path) -> None:
    """Only what lies inside `versions_root` may be loaded."""
    with pytest.raises(InvalidInput, match="inside"):
        store.inspect("v1", write_version(tmp_path, "v1", -2.0))


def test_dots_do_not_lead_out(store: VersionStore, root: Path, tmp_path: Path) -> None:
    """`..` is resolved before the folder is compared with the root."""
    write_version(tmp_path, "v1", -2.0)
    with pytest.raises(InvalidInput, match="inside"):
        store.inspect("v1", root / ".." / "v1")


def test_a_link_out_of_the_root_is_refused(store: VersionStore, root: Path, tmp_path: Path) -> None:
    """A link counts as where it leads to."""
    (root / "v1").symlink_to(write_version(tmp_path, "v1", -2.0))
    with pytest.raises(InvalidInput, match="inside"):
        store.inspect("v1", root / "v1")


def test_a_file_that_is_a_link_out_is_refused(
    store: VersionStore, root: Path, tmp_path: Path
) -> None:
    """The files of a version lie in its folder, or they could change behind the checksum."""
    folder = write_version(root, "v1", -2.0)
    outside = tmp_path / "elsewhere.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(VersionRefused, match="is a link"):
        store.inspect("v1", folder)


def test_links_in_a_circle_are_the_callers_mistake(store: VersionStore, root: Path) -> None:
    """They lead nowhere."""
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    with pytest.raises(InvalidInput) as refused:
        store.inspect("v1", root / "a")
    assert refused.value.param == "path"


def test_a_pipe_in_place_of_weights_holds_nothing_up(store: VersionStore, root: Path) -> None:
    """Nor one in place of the manifest: they are refused unread."""
    for name in ("model.safetensors", MANIFEST):
        folder = write_version(root, f"v-{name}", -2.0)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(VersionRefused, match="no plain file"):
            store.inspect(folder.name, folder)


@pytest.mark.parametrize("path", ["missing", "a\x00b", "x" * 5000])
def test_a_path_that_leads_nowhere_is_the_callers_mistake(
    store: VersionStore, root: Path, path: str
) -> None:
    """Missing, with a NUL, too long: each is named as a wrong `path`."""
    with pytest.raises(InvalidInput) as refused:
        store.inspect("v1", root / path)
    assert refused.value.param == "path"


def test_a_folder_without_a_manifest_is_refused(store: VersionStore, root: Path) -> None:
    """No manifest, no version."""
    (root / "v1").mkdir()
    with pytest.raises(VersionRefused, match=r"holds no version\.json"):
        store.inspect("v1", root / "v1")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"sha256": "abc"}, "sha256"), ({"extra": 1}, "extra"), ({"kind": "dense"}, "kind")],
)
def test_a_wrong_manifest_is_refused_by_field(
    store: VersionStore, root: Path, change: dict[str, object], field: str
) -> None:
    """The field at fault is named."""
    folder = write_version(root, "v1", -2.0)
    rewrite(folder, **change)
    with pytest.raises(VersionRefused, match=field):
        store.inspect("v1", folder)


@pytest.mark.parametrize(("asked", "written"), [("v2", "v1"), (BASE, BASE)])
def test_the_name_must_be_the_manifests_and_not_the_bases(
    store: VersionStore, root: Path, asked: str, written: str
) -> None:
    """A version has one name, and `base` is taken."""
    folder = write_version(root, written, -2.0)
    with pytest.raises(VersionRefused, match="names"):
        store.inspect(asked, folder)


def test_a_name_stands_for_one_checksum(store: VersionStore, root: Path) -> None:
    """Other weights under a known name are a conflict; the same ones are not."""
    folder = write_version(root, "v1", -2.0)
    store.put(store.inspect("v1", folder)[0])
    assert store.inspect("v1", folder)[0].name == "v1"
    other = write_version(root / "again", "v1", -3.0)
    with pytest.raises(Conflict, match="another checksum"):
        store.inspect("v1", other)


def test_a_name_is_free_again_once_its_weights_are_gone(store: VersionStore, root: Path) -> None:
    """A run that was deleted and is done again may use its names again."""
    folder = write_version(root, "v1", -2.0)
    store.put(store.inspect("v1", folder)[0])
    shutil.rmtree(folder)
    again = write_version(root, "v1", -3.0)
    assert store.inspect("v1", again)[0].sha256 != store.find("v1").sha256


def test_the_name_that_serves_is_never_free(store: VersionStore, root: Path) -> None:
    """What answers under a name is what was published under it, even if the folder is gone."""
    folder = write_version(root, "v1", -2.0)
    store.put(store.inspect("v1", folder)[0])
    store.make_current("v1")
    shutil.rmtree(folder)
    with pytest.raises(Conflict):
        store.inspect("v1", write_version(root, "v1", -3.0))


def test_the_server_takes_the_kind_that_it_was_started_for(
    store: VersionStore, adapters: VersionStore, root: Path
) -> None:
    """Merged weights and adapters do not mix in one engine."""
    merged = write_version(root, "m", -2.0)
    adapter = write_version(root, "a", -2.0, kind="adapter")
    with pytest.raises(VersionRefused, match="serves adapters"):
        adapters.inspect("m", merged)
    with pytest.raises(VersionRefused, match="serves merged"):
        store.inspect("a", adapter)


def test_an_adapter_for_another_base_is_refused(
    adapters: VersionStore, settings: ServerSettings, root: Path
) -> None:
    """The manifest's base checksum must be that of the model that is served."""
    ours = digest.of_folder(settings.model)
    fits = write_version(root, "fits", -2.0, kind="adapter", base=ours)
    other = write_version(root, "other", -2.0, kind="adapter", base="0" * 64)
    assert adapters.inspect("fits", fits)[0].kind == "adapter"
    with pytest.raises(VersionRefused, match="another base"):
        adapters.inspect("other", other)


@pytest.mark.parametrize(("change", "why"), [({"r": 16}, "rank 16"), ({"use_dora": True}, "dora")])
def test_an_adapter_that_vllm_cannot_serve_is_refused(
    adapters: VersionStore, root: Path, change: dict[str, object], why: str
) -> None:
    """Too large a rank or an unsupported kind is found before the load."""
    folder = write_version(root, "v1", -2.0, kind="adapter")
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}), "utf-8")
    rewrite(folder, sha256=digest.of_folder(folder, leave_out=frozenset({MANIFEST})))
    with pytest.raises(VersionRefused, match=why):
        adapters.inspect("v1", folder)


def test_the_list_outlives_the_process(
    store: VersionStore, settings: ServerSettings, root: Path
) -> None:
    """Versions and the current one are on disk as soon as they are changed."""
    store.put(store.inspect("v1", write_version(root, "v1", -2.0))[0])
    store.make_current("v1")
    again = VersionStore(settings)
    assert again.current == "v1"
    assert list(again) == list(store)


def test_a_kill_while_writing_leaves_the_old_list(
    store: VersionStore, settings: ServerSettings, root: Path
) -> None:
    """A draft beside the list is not read."""
    store.put(store.inspect("v1", write_version(root, "v1", -2.0))[0])
    (settings.state / ".versions.json.partial").write_text('{"current": "v', "utf-8")
    assert [entry.name for entry in VersionStore(settings)] == ["v1"]


def test_a_list_that_cannot_be_read_is_named(settings: ServerSettings) -> None:
    """As where it belongs to another user; here a folder stands for it."""
    (settings.state / "versions.json").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"versions\.json cannot be read \(Is a directory\)"):
        VersionStore(settings)


def test_a_damaged_list_is_named(settings: ServerSettings) -> None:
    """The message says which file and what to do; nothing is overwritten."""
    settings.state.mkdir()
    (settings.state / "versions.json").write_text("{", "utf-8")
    with pytest.raises(InvalidInput, match=r"versions\.json is damaged; move it away"):
        VersionStore(settings)


def test_an_unknown_version_is_told_what_there_is(store: VersionStore, root: Path) -> None:
    """The names that could have been meant are in the message."""
    store.put(store.inspect("v1", write_version(root, "v1", -2.0))[0])
    with pytest.raises(NotFound, match="known: base, v1"):
        store.find("v2")
