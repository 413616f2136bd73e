"""Run totals: a run's numbers are those of its judgements."""

from __future__ import annotations

from judge.audit.archive import Archive
from judge.audit_schemas import PageQuery
from judge.ledger import database
from tests.judge.runs import tell, told


def test_numbers_that_were_kept_are_numbers_that_were_counted(
    archive: Archive, database_url: str
) -> None:
    """What was added up batch by batch is what the migration counts in all judgements."""
    alone = told("b", -2.0).model_copy(update={"status": "rules_only", "provider": "other"})
    tell(database_url, "r", [told("a", 0.5), alone, told("c", None)], step=3)
    tell(database_url, "s", [told("a", -0.25, flags=["rx_misuse"])], step=None)
    tell(database_url, "r", [told("d", 0.25, flags=["rx_misuse"]), told("e", None, read=False)])
    tell(database_url, "r", [told("f", 0.5)], step=3)
    kept = archive.runs(PageQuery())
    assert (kept.runs[1].judgements, kept.runs[1].steps) == (6, 2)
    database.downgrade(database_url, "0003")
    database.upgrade(database_url)
    assert archive.runs(PageQuery()) == kept
