"""Whose a file is, and what is on disk of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import (
    GalenError,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    StorageFull,
    UnsupportedMedia,
)
from galen.keys import Caller
from server.batches.files import LEAST_COUNTED, FileStore
from server.batches.schemas import FileObject
from server.batches.uploads import Form, FormReader
from tests.fakes.small_disk import small_disk

ANN, BEN, ROOT = Caller("ann", "user"), Caller("ben", "user"), Caller("root", "admin")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


def add(store: FileStore, content: bytes = b"x", owner: str = "ann") -> FileObject:
    with store.draft() as draft:
        draft.write(content)
        return store.keep(draft, owner, "in.jsonl", "batch")


def on_disk(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "files").iterdir())


def test_a_file_is_there_for_its_owner_and_an_admin(store: FileStore) -> None:
    """For every other key there is no such file."""
    file = add(store)
    assert store.find(file.id, ANN) == store.find(file.id, ROOT) == file
    assert store.page(BEN, None, 10).items == []
    with pytest.raises(NotFound):
        store.find(file.id, BEN)


def test_ids_cannot_be_guessed(store: FileStore) -> None:
    """Each has 144 bits of its own."""
    ids = {add(store).id for _ in range(20)}
    assert len(ids) == 20
    assert {len(name) for name in ids} == {len("file-") + 36}


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_is_read_page_by_page(store: FileStore, newest_first: bool) -> None:
    """Every file once, in order, and the last page says that it is the last."""
    made = [add(store).id for _ in range(5)]
    seen: list[str] = []
    more = True
    while more:
        page = store.page(ANN, seen[-1] if seen else None, 2, newest_first=newest_first)
        seen += [file.id for file in page.items]
        more = page.has_more
    assert seen == (made[::-1] if newest_first else made)


def test_a_list_cannot_go_on_after_anothers_file(store: FileStore) -> None:
    """Nor tell that there is one."""
    with pytest.raises(NotFound):
        store.page(BEN, add(store).id, 2)


def test_files_are_there_after_a_restart(store: FileStore, tmp_path: Path) -> None:
    """In the same order, with the same content."""
    made = [add(store, f"{n}".encode()) for n in range(3)]
    again = FileStore(tmp_path / "files")
    assert list(again.page(ANN, None, 9, newest_first=False).items) == made
    assert [again.content(file.id).read_bytes() for file in made] == [b"0", b"1", b"2"]
    assert add(again).id == again.page(ANN, None, 1).items[0].id


def test_a_deleted_file_is_gone(store: FileStore, tmp_path: Path) -> None:
    """From the list and from the disk."""
    store.delete(add(store).id)
    assert on_disk(tmp_path) == []
    assert FileStore(tmp_path / "files").page(ANN, None, 9).items == []


def test_what_a_kill_left_half_done_goes_at_the_next_start(
    store: FileStore, tmp_path: Path
) -> None:
    """An upload that was under way, and a content whose record was not yet written."""
    file = add(store)
    for name in ("abc.partial", "file-1.data", ".file-2.json.partial"):
        (tmp_path / "files" / name).write_bytes(b"half")
    FileStore(tmp_path / "files")
    assert on_disk(tmp_path) == [f"{file.id}.data", f"{file.id}.json"]


def test_a_damaged_record_costs_its_file_and_no_other(store: FileStore, tmp_path: Path) -> None:
    """It is logged and left where it is; the server starts."""
    file, damaged = add(store), add(store)
    (tmp_path / "files" / f"{damaged.id}.json").write_bytes(b"{")
    assert list(FileStore(tmp_path / "files").page(ANN, None, 9).items) == [file]
    assert f"{damaged.id}.data" in on_disk(tmp_path)


def test_a_full_disk_leaves_no_half_file(store: FileStore, tmp_path: Path) -> None:
    """The upload is refused, and what it had written is gone."""
    with small_disk(20_000), pytest.raises(StorageFull), store.draft() as draft:
        for _ in range(10):
            draft.write(b"x" * 10_000)
        store.keep(draft, "ann", "in.jsonl", "batch")
    assert on_disk(tmp_path) == []


def test_a_file_whose_record_finds_no_room_is_not_there(store: FileStore, tmp_path: Path) -> None:
    """Its content goes at once, as it would take the room that is needed."""
    with small_disk(100), pytest.raises(StorageFull):
        add(store, b"x" * 50)
    assert on_disk(tmp_path) == []


def test_a_key_has_a_share_of_the_disk(tmp_path: Path) -> None:
    """By its own files alone; small ones too come to an end, since each is remembered."""
    store = FileStore(tmp_path / "files", share_limit=2 * LEAST_COUNTED)
    first = add(store)
    store.refuse_beyond_share("ann")
    add(store, owner="ben")
    add(store)
    with pytest.raises(PayloadTooLarge, match="delete some"):
        store.refuse_beyond_share("ann")
    store.delete(first.id)
    store.refuse_beyond_share("ann")


def body_of(*parts: tuple[str, str | None, bytes]) -> tuple[str, bytes]:
    """Content type and body of a form with these fields: name, file name, content."""
    files = [(name, (filename, content)) for name, filename, content in parts]
    request = httpx.Request("POST", "http://x", files=files)  # type: ignore[arg-type]
    return request.headers["content-type"], request.read()


def read(store: FileStore, kind: str, pieces: Iterator[bytes]) -> tuple[Form, bytes]:
    with store.draft() as draft:
        reader = FormReader(kind, draft)
        for piece in pieces:
            reader.feed(piece)
        form = reader.finish()
        draft.close()
        return form, draft.path.read_bytes()


PURPOSE = ("purpose", None, b"batch")


@given(content=st.binary(min_size=1), size=st.integers(1, 300), file_first=st.booleans())
def test_a_form_is_read_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int, file_first: bool
) -> None:
    """The file arrives byte for byte, whatever is in it and in whatever pieces it came."""
    store = FileStore(tmp_path_factory.mktemp("files"))
    file = ("file", "in.jsonl", content)
    kind, body = body_of(*([file, PURPOSE] if file_first else [PURPOSE, file]))
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    assert read(store, kind, pieces) == (Form("in.jsonl", "batch"), content)


@given(name=st.text(min_size=1))
def test_a_files_name_is_never_a_path(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever the uploader calls it, it lies under an id of ours, in the one folder."""
    folder = tmp_path_factory.mktemp("files")
    store = FileStore(folder / "files")
    disposition = f'form-data; name="file"; filename="{name}"'.encode("utf-8", "replace")
    if b"\r" in disposition or b"\n" in disposition:
        return
    head = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n"
    body = head + b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    with store.draft() as draft:
        reader = FormReader("multipart/form-data; boundary=b", draft)
        try:
            reader.feed(body)
            store.keep(draft, "ann", reader.finish().filename, "batch")
        except InvalidInput:
            return
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert sorted(path.suffix for path in folder.rglob("*") if path.is_file()) == [".data", ".json"]
    assert all(name.startswith("file-") for name in names)


@pytest.mark.parametrize(
    ("parts", "error", "param"),
    [
        ([PURPOSE], InvalidInput, "file"),
        ([PURPOSE, ("file", "a", b"")], InvalidInput, "file"),
        ([("file", "a", b"x"), ("file", "b", b"x")], InvalidInput, "file"),
        ([("file", "a", b"x"), ("expires_after[days]", None, b"3")], InvalidInput, None),
        ([("purpose", None, b"x" * 5000)], PayloadTooLarge, None),
    ],
)
def test_a_wrong_form_is_refused(
    store: FileStore,
    parts: list[tuple[str, str | None, bytes]],
    error: type[GalenError],
    param: str | None,
) -> None:
    """With the field at fault, and nothing kept."""
    kind, body = body_of(*parts)
    with pytest.raises(error) as caught:
        read(store, kind, iter([body]))
    assert caught.value.param == param


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data"])
def test_another_kind_of_body_is_refused(store: FileStore, kind: str) -> None:
    """With what to send instead."""
    with pytest.raises(UnsupportedMedia, match="multipart/form-data"):
        read(store, kind, iter([b"{}"]))


@given(data=st.data())
def test_a_broken_form_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut off anywhere or plain nonsense, it is no file and no error of ours."""
    store = FileStore(tmp_path_factory.mktemp("files"))
    kind, body = body_of(PURPOSE, ("file", "in.jsonl", b"content"))
    # What follows the last boundary does not count.
    cut = data.draw(st.integers(0, len(body) - 5).map(lambda end: body[:end]) | st.binary())
    with pytest.raises(InvalidInput):
        read(store, kind, iter([cut]))
