"""What is remembered of batches, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server.batches.files import FileStore
from server.batches.schemas import CreateBatch
from server.batches.store import BatchStore
from tests.server.batches.bench import ANN, ENDPOINT

ASKED = CreateBatch(input_file_id="file-1", endpoint=ENDPOINT, completion_window="24h")


def test_the_oldest_batches_at_their_end_are_forgotten(tmp_path: Path) -> None:
    """In memory and on disk, each key's own; one that is not at its end stays, however old."""
    store = BatchStore(tmp_path, most_ended=2)
    other = store.create(ASKED, "ben", 1).batch.id
    store.update(other, status="completed")
    made = [store.create(ASKED, "ann", now).batch.id for now in range(5)]
    for batch_id in made[1:]:
        store.update(batch_id, status="completed")
    newest = store.create(ASKED, "ann", 5).batch.id
    kept = [newest, made[4], made[3], made[0]]
    assert [batch.id for batch in store.page(ANN, None, 100).items] == kept
    on_disk = {path.stem for path in tmp_path.glob("batch_*.json")}
    assert on_disk == {*kept, other}


@pytest.mark.parametrize("made_before", [False, True])
@pytest.mark.parametrize("store", [FileStore, BatchStore])
def test_nobody_else_on_the_machine_reads_what_was_asked(
    tmp_path: Path, store: Callable[[Path], object], made_before: bool
) -> None:
    """Past the keys, that is; nor in a folder that was open to all when the server was older."""
    folder = tmp_path / "store"
    if made_before:
        folder.mkdir(mode=0o755)
    store(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
