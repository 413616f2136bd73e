"""The data card: what the finished files hold and where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import yaml

from trainer.data import rl_prompts, sources
from trainer.data.preparing.prepare import Outcome
from trainer.recipes.data import DataRecipe

RISKS = ("low", "medium", "high", "critical")
NOTICE = (
    "For research and learning only, never a diagnosis. 仅供研究和学习，不能用于诊断。",
    "De-identification by rule finds most personal data, not all: look at the rows before you pass "
    "them on.",
)


def card(recipe: DataRecipe, outcome: Outcome) -> str:
    """`data_card.md`. The same recipe over the same files gives the same text."""
    return "\n".join(_lines(recipe, outcome)) + "\n"


def _lines(recipe: DataRecipe, outcome: Outcome) -> Iterator[str]:
    yield f"# Data: {recipe.out.name}\n"
    yield from (f"{line}\n" for line in NOTICE)
    yield "## Sources\n"
    yield from _table(("source", "title", "licence", "files (SHA-256)"), _sources(outcome))
    yield "\n## From rows read to rows written\n"
    reasons = sorted({reason for each in outcome.dropped.values() for reason in each})
    head = ("source", "read", *reasons, "kept", "taken")
    yield from _table(head, (_counts(name, reasons, outcome) for name in outcome.files))
    yield "\nEvery row that was left out is in `dropped.jsonl`, with its place and the reason.\n"
    yield "## Files\n"
    yield from _table(("file", "rows", *RISKS), _parts(outcome))
    if outcome.rl_prompts:
        yield "\n## RL prompts\n"
        yield from _table(("", "rows", "share"), rl_prompts.table(outcome.rl_prompts))
        if outcome.rl_prompts.shortage:
            yield f"\n{outcome.rl_prompts.shortage}"
        yield "\n![RL prompts](rl_prompts.png)"
    if outcome.masked:
        yield "\n## Personal data that was replaced\n"
        yield from _table(("kind", "places"), ((k, n) for k, n in sorted(outcome.masked.items())))
    yield "\n## Checksums\n"
    yield from _table(("file", "SHA-256"), sorted(outcome.written.items()))
    yield "\n## Recipe\n\n```yaml"
    fields = recipe.model_dump(mode="json", exclude={"out"})
    yield yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).rstrip()
    yield "```"


def _sources(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for name, files in outcome.files.items():
        known = sources.get(name) if name in sources.names() else None
        title, licence = (known.title, known.licence) if known else ("a local file", "yours")
        yield name, title, licence, "<br>".join(files)


def _counts(name: str, reasons: Iterable[str], outcome: Outcome) -> tuple[object, ...]:
    dropped = outcome.dropped.get(name, Counter())
    kept = outcome.read[name] - dropped.total()
    return (
        name,
        outcome.read[name],
        *(dropped[each] for each in reasons),
        kept,
        outcome.mixed[name],
    )


def _parts(outcome: Outcome) -> Iterator[tuple[object, ...]]:
    for part, risks in outcome.parts.items():
        yield (f"{part}.jsonl", risks.total(), *(risks[risk] for risk in RISKS))


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    names = list(head)
    yield _row(names)
    yield _row(["---"] * len(names))
    for row in rows:
        yield _row(row)


def _row(cells: Iterable[object]) -> str:
    shown = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    return f"| {' | '.join(shown)} |"
