"""What the gateway counts of its batches."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from server.batches.files import FileStore
from server.batches.metrics import BatchMetrics
from server.batches.service import BatchService
from server.batches.store import BatchStore
from tests.fakes.asker import FakeAsker, Reply
from tests.server.batches.bench import begin, ended, line


async def test_a_batchs_line_counts_once_by_how_it_ended(tmp_path: Path) -> None:
    """However often it was asked; and both outcomes are there from the start."""
    registry, asker = CollectorRegistry(), FakeAsker()

    def counted() -> list[float | None]:
        name = "galen_server_batch_lines_total"
        return [registry.get_sample_value(name, {"outcome": how}) for how in ("ok", "failed")]

    async def no_pause(seconds: float) -> None:
        """Waiting takes no time here."""

    asker.enqueue("b", Reply(503), Reply(200))
    asker.enqueue("c", Reply(400))
    files, store = FileStore(tmp_path / "files"), BatchStore(tmp_path / "batches")
    metrics = BatchMetrics(registry)
    assert counted() == [0, 0]
    service = BatchService(asker, files, store, pause=no_pause, on_line=metrics.line)
    async with service.running():
        await ended(service, begin(service, [line(name) for name in "abc"]).id)
    assert counted() == [2, 1]
