"""A run's curves as a picture: `python -m benchmarks._picture RUN OUT.svg`.

Of `metrics.jsonl`: reward, entropy, share of clipped tokens, questions whose answers earned alike.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trainer.run_report import charts

SHOWN = ("batch", "reward_mean", "entropy", "clipped", "flat_groups", "cut_off", "step_s")


def main(run: Path, out: Path) -> None:
    rows = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    drawn = charts.draw([{name: row[name] for name in SHOWN} for row in rows if "batch" in row])
    if drawn is None:
        raise SystemExit(f"{run}: fewer than two batches")
    out.write_text(drawn, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
