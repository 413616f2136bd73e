"""What the gateway tells beside the requests to the policy."""

from __future__ import annotations

from tests.fakes.engine import write_version
from tests.server.harness import Running


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
