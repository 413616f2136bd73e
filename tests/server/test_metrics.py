"""What the gateway counts beside the requests to the policy."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from server.batches.files import FileStore
from server.batches.service import BatchService
from server.batches.store import BatchStore
from server.metrics import BatchMetrics
from tests.fakes.asker import FakeAsker, Reply
from tests.fakes.engine import write_version
from tests.server.batches.bench import begin, ended, line
from tests.server.harness import Running


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


async def test_one_scrape_has_gateway_engine_and_batches(running: Running) -> None:
    """Each engine by its label, every family once."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    scrape = await running.http.get("/metrics")
    text = scrape.text
    assert scrape.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'galen_server_engine_ready{engine="local"} 1.0' in text
    assert 'vllm:num_requests_running{engine="local"} 0.0' in text
    assert 'galen_server_batch_lines_total{outcome="ok"} 0.0' in text
    heads = [row for row in text.splitlines() if row.startswith("# TYPE ")]
    assert len(set(heads)) == len(heads)
