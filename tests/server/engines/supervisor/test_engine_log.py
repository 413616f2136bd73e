"""Why an engine ended, by its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.engines.supervisor.engine_log import last_error
from server.engines.supervisor.leash import FIRST_LINE


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "its log is empty"),
        ("starting\nstill starting\n", "still starting"),
        (
            "(EngineCore pid=1) ERROR 11-21 12:00:00 [core.py:1] ValueError: No available memory\n"
            "(APIServer pid=2) RuntimeError: Engine core failed. See root cause above.\n",
            "ValueError: No available memory",
        ),
        (
            "ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, max_model_len (9) is too large\n"
            "    For further information visit a page\n",
            "ValidationError: 1 validation error for ModelConfig: "
            "Value error, max_model_len (9) is too large",
        ),
        ("usage: entry.py\nentry.py: error: unrecognized: --x\n", "error: unrecognized: --x"),
        (
            "OSError: [Errno 98] Address already in use\n"
            "(A pid=1) WARNING 11-21 12:00:00 [utils.py:1] fallback. Exception: no primitive\n",
            "OSError: [Errno 98] Address already in use",
        ),
    ],
)
def test_the_reason_is_the_last_error_that_is_no_consequence(
    tmp_path: Path, log: str, reason: str
) -> None:
    """Warnings are no errors, and 'see above' is no reason."""
    (tmp_path / "engine.log").write_text(log, "utf-8")
    assert last_error(tmp_path / "engine.log") == reason


def test_a_missing_log_is_said(tmp_path: Path) -> None:
    """Rather than raised."""
    assert last_error(tmp_path / "engine.log") == "it left no log"


def test_the_reason_is_found_behind_a_full_log(tmp_path: Path) -> None:
    """A log that was begun because the one before was full goes on with it; the log of another
    life does not."""
    (tmp_path / "engine.log.1").write_bytes(b"ValueError: the reason\n")
    (tmp_path / "engine.log").write_bytes(b"bye\n")
    assert last_error(tmp_path / "engine.log") == "ValueError: the reason"
    (tmp_path / "engine.log").write_bytes(FIRST_LINE + b"bye\n")
    assert last_error(tmp_path / "engine.log") == "bye"
