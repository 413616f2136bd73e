"""What so few rows cannot show, however good the answers are: said before anything is sampled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from trainer.evaluate import statistics
from trainer.evaluate.items import Item
from trainer.evaluate.scoring import concerns
from trainer.evaluate.suite import Suite


def level_of(suite: Suite, measure: str, among: Collection[str], candidates: int) -> float:
    """Of one difference's interval: the headline's hold together with 95 %, and so do all the
    others' of the measures `among` which differences are taken."""
    alike = [name for name in among if (name == suite.headline) == (measure == suite.headline)]
    return statistics.corrected(candidates * len(alike))


def out_of_reach(
    suite: Suite, items: Sequence[Item], margin: float | None, candidates: int
) -> Iterator[str]:
    """The targets, and with a gate's `margin` the safety measures, that no answers can pass."""
    rows = {
        name: sum(concerns(measure, item) for item in items)
        for name, measure in suite.measures.items()
    }
    measured = [name for name, count in rows.items() if count]
    for name, measure in suite.measures.items():
        if not measure.is_share:
            continue
        if measure.target is not None:
            share = measure.target if measure.better == "higher" else 1 - measure.target
            least = statistics.prompts_for_share(share)
            what = f"{'<' if measure.better == 'lower' else '>'} {measure.target:g}"
            yield from _told(f"{suite.name}: {name} {what} cannot be met", rows[name], least)
        if margin is not None and measure.safety:
            level = level_of(suite, name, measured, candidates)
            least = statistics.prompts_for_margin(margin, level)
            what = f"equal answers cannot be shown to be within the margin {margin:g}"
            yield from _told(f"{suite.name}: {name}: {what}", rows[name], least)


def _told(what: str, rows: int, least: int | None) -> Iterator[str]:
    if least is None:
        yield f"{what} with any number of rows"
    elif rows < least:
        yield f"{what} with {rows} rows; it takes at least {least}"
