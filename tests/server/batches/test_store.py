"""Whose files and batches are, what is on disk of them, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from galen.errors import NotFound, PayloadTooLarge, StorageFull
from server.batches import store as module
from server.batches.schemas import Batch, FileObject, Listing
from server.batches.store import Store, new_id
from tests.fakes.small_disk import small_disk
from tests.server.batches.bench import ANN, BEN, ENDPOINT, keep

Open = Callable[[], Store]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Opens the one folder, again and again; each store is closed at the end."""
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(Store(tmp_path / "batches"))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()


def add_batch(store: Store, owner: str, **fields: str) -> Batch:
    batch = Batch(
        id=new_id("batch_"),
        input_file_id="file-1",
        endpoint=ENDPOINT,
        completion_window="24h",
        created_at=1,
        **fields,
    )
    store.save(owner, batch)
    return batch


def on_disk(tmp_path: Path) -> list[str]:
    """Names of what lies beside the database."""
    names = (path.name for path in (tmp_path / "batches").iterdir())
    return sorted(name for name in names if not name.startswith("batches.sqlite3"))


def test_ids_cannot_be_guessed(store: Store) -> None:
    """Each has 144 bits of its own."""
    ids = {keep(store, b"x").id for _ in range(20)}
    assert len(ids) == 20
    assert {len(name) for name in ids} == {len("file-") + 36}


def test_a_list_is_read_page_by_page(store: Store) -> None:
    """Every file once, the newest first, and the last page says that it is the last."""
    made = [keep(store, b"x").id for _ in range(5)]
    seen: list[str] = []
    more = True
    while more:
        after = seen[-1] if seen else None
        page = store.page(FileObject, ANN, Listing(after=after, limit=2))
        assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id)
        seen += [file.id for file in page.data]
        more = page.has_more
    assert seen == made[::-1]


def test_a_list_cannot_go_on_after_anothers_file(store: Store) -> None:
    """Nor tell that there is one."""
    with pytest.raises(NotFound):
        store.page(FileObject, BEN, Listing(after=keep(store, b"x").id))


def test_files_are_there_after_a_restart(store: Store, open_store: Open) -> None:
    """In the same order, with the same content."""
    made = [keep(store, f"{n}".encode()) for n in range(3)]
    again = open_store()
    assert list(again.page(FileObject, ANN, Listing()).data) == made[::-1]
    assert [again.path(file.id).read_bytes() for file in made] == [b"0", b"1", b"2"]
    assert keep(again, b"x").id == again.page(FileObject, ANN, Listing(limit=1)).data[0].id


def test_a_deleted_file_is_gone(store: Store, tmp_path: Path) -> None:
    """From the list and from the disk."""
    store.delete_file(keep(store, b"x").id)
    assert on_disk(tmp_path) == []
    assert store.page(FileObject, ANN, Listing()).data == []


def test_what_a_kill_left_half_done_goes_at_the_next_start(
    store: Store, open_store: Open, tmp_path: Path
) -> None:
    """Content without a record, and results of a batch that has ended; what is needed stays."""
    file, batch = keep(store, b"x"), add_batch(store, "ann")
    ended = add_batch(store, "ann", status="completed")
    for path in (store.path("file-1"), store.path(ended.id), store.path(batch.id)):
        path.write_bytes(b"half")
    open_store()
    assert on_disk(tmp_path) == sorted([f"{file.id}.jsonl", f"{batch.id}.jsonl"])


def test_a_file_whose_record_finds_no_room_is_not_there(store: Store, tmp_path: Path) -> None:
    """Its content goes at once, as it would take the room that is needed."""
    with small_disk(100), pytest.raises(StorageFull):
        keep(store, b"x" * 50)
    assert (on_disk(tmp_path), store.page(FileObject, ANN, Listing()).data) == ([], [])
    keep(store, b"x" * 50)


def test_a_key_has_a_share_of_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own files alone; small ones too come to an end, since each is remembered."""
    monkeypatch.setattr(module, "SHARE_LIMIT", 2 * 1024 * 1024)
    first = keep(store, b"x")
    store.refuse_beyond_share("ann")
    keep(store, b"x", owner="ben")
    keep(store, b"x")
    with pytest.raises(PayloadTooLarge, match="delete some"):
        store.refuse_beyond_share("ann")
    store.delete_file(first.id)
    store.refuse_beyond_share("ann")


@pytest.mark.parametrize("made_before", [False, True])
def test_nobody_else_on_the_machine_reads_what_was_asked(
    open_store: Open, tmp_path: Path, made_before: bool
) -> None:
    """Past the keys, that is; nor in a folder that was open to all when the server was older."""
    folder = tmp_path / "batches"
    if made_before:
        folder.mkdir(mode=0o755)
    open_store()
    assert folder.stat().st_mode & 0o777 == 0o700
