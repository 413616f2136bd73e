"""A comparison as one page that stands alone, as Markdown, as JSON, and as lines for a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from galen import DISCLAIMER_EN, DISCLAIMER_ZH, disk
from trainer.evaluate import examples
from trainer.evaluate.differences import Difference, SuiteComparison
from trainer.evaluate.evaluate import Measured
from trainer.evaluate.examples import Example
from trainer.evaluate.pairwise import Pairwise
from trainer.evaluate.result import PASSES
from trainer.evaluate.scoring import MOCK

PAGE, TABLE, FACTS = "comparison.html", "comparison.md", "comparison.json"
COLOURS = {"better": "#0f766e", "worse": "#b42318", "none": "#5b7079"}
_LEFT, _WIDTH = 10.0, 240.0
"""Of a plot's line, in its own units."""


@dataclass(frozen=True, slots=True)
class Row:
    """A difference and where its parts lie in the plot."""

    difference: Difference
    low: float
    mean: float
    high: float
    zero: float
    won: float
    tied: float
    lost: float
    is_first: bool
    """Of its measure, whose name then need not be said again."""

    @property
    def colour(self) -> str:
        return COLOURS[self.difference.seen]


@dataclass(frozen=True, slots=True)
class View:
    """One suite as the page shows it."""

    comparison: SuiteComparison
    rows: list[Row]
    changed: list[Example]
    worst: list[Example]
    passes: tuple[str, ...] = PASSES

    @property
    def measures(self) -> list[str]:
        every = [[*r.figures, *r.unmeasured] for r in self.comparison.results]
        return list(dict.fromkeys(name for each in every for name in each))

    @property
    def categories(self) -> list[str]:
        """Those of the headline, if every model has it."""
        found = [r.figures.get(self.comparison.headline) for r in self.comparison.results]
        shown = list(found[0].by_category) if found[0] and all(found) else []
        return shown if len(shown) > 1 else []

    @property
    def share(self) -> bool:
        return _is_share(self.comparison)

    @property
    def is_mock(self) -> bool:
        judge = self.comparison.baseline.conditions.judge
        return judge is not None and judge.provider == MOCK

    @property
    def levels(self) -> str:
        found = sorted({round(100 * row.difference.level, 2) for row in self.rows})
        return " and ".join(f"{level:g} %" for level in found)

    @property
    def reaches(self) -> str:
        """How far the plots reach to either side."""
        found = [
            f"±{100 * reach:.0f} points" if share else f"±{reach:.2f}"
            for share in (True, False)
            if (reach := _reach(self.comparison, share=share))
        ]
        return " and ".join(found)

    def power(self, difference: Difference) -> str:
        return power(difference)

    def opinion(self, found: Pairwise) -> list[str]:
        return opinion(found)


def power(difference: Difference) -> str:
    """How many prompts would show a difference of the size that was looked for."""
    size = (
        f"{100 * difference.looked_for:.0f} points"
        if difference.share
        else f"{difference.looked_for:g}"
    )
    if difference.needed is None:
        return (
            f"the same difference on all {difference.prompts} prompts; the interval says what is "
            "left open"
        )
    verb = "shows" if difference.needed <= difference.prompts else "needs"
    return f"{verb} {size} with {difference.needed} prompts; there are {difference.prompts}"


def write(
    folder: Path, comparisons: Sequence[SuiteComparison], measured: Sequence[Measured]
) -> None:
    """Write the page, the table and the facts into `folder`."""
    disk.replace(folder / PAGE, page(comparisons, measured).encode())
    disk.replace(folder / TABLE, "\n".join(markdown(comparisons)).encode())
    facts = [each.model_dump(mode="json") for each in comparisons]
    disk.replace(folder / FACTS, json.dumps(facts, ensure_ascii=False, indent=1).encode())


def page(comparisons: Sequence[SuiteComparison], measured: Sequence[Measured]) -> str:
    """The page as HTML, with everything that it shows inside."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        models=[result.model for result in comparisons[0].results],
        disclaimers=(DISCLAIMER_ZH, DISCLAIMER_EN),
        views=[
            _view(each, [m for m in measured if m.suite.name == each.suite]) for each in comparisons
        ],
    )


def _view(comparison: SuiteComparison, models: Sequence[Measured]) -> View:
    first = _is_share(comparison)
    return View(
        comparison,
        [row for share in (first, not first) for row in _rows(comparison, share=share)],
        examples.most_changed(models),
        examples.worst(models),
    )


def _is_share(comparison: SuiteComparison) -> bool:
    """Whether the headline is a share; without its figure there is nothing to be said of it."""
    figure = comparison.baseline.figures.get(comparison.headline)
    return figure is None or figure.share


def _rows(comparison: SuiteComparison, *, share: bool) -> Iterator[Row]:
    """The differences of one unit, on one scale."""
    found = [each for each in comparison.differences if each.share is share]
    reach = _reach(comparison, share=share) or 1.0

    def at(value: float) -> float:
        inside = min(max(value, -reach), reach)  # a single prompt's interval has no bounds
        return round(_LEFT + _WIDTH * (inside + reach) / (2 * reach), 1)

    before = ""
    for d in found:
        won, tied, lost = (100 * n / d.prompts for n in (d.wins, d.ties, d.losses))
        is_first, before = d.measure != before, d.measure
        yield Row(d, at(d.low), at(d.mean), at(d.high), at(0.0), won, tied, lost, is_first)


def _reach(comparison: SuiteComparison, *, share: bool) -> float:
    """The farthest bound of the differences of one unit; 0 without any."""
    found = [each for each in comparison.differences if each.share is share]
    bounds = [abs(bound) for d in found for bound in (d.low, d.high) if math.isfinite(bound)]
    return max(bounds, default=0.0)


def markdown(comparisons: Sequence[SuiteComparison]) -> Iterator[str]:
    """The figures and differences as tables."""
    for each in comparisons:
        yield f"## {each.suite}\n"
        yield f"| measure | {' | '.join(r.model for r in each.results)} |"
        yield f"|---|{'---|' * len(each.results)}"
        for name in each.baseline.figures:
            cells = [
                f"{r.figures[name]} (n={r.figures[name].prompts})" if name in r.figures else "–"
                for r in each.results
            ]
            yield f"| {name} | {' | '.join(cells)} |"
        titles = "measure | difference | interval at | won/tied/lost | finding"
        yield f"\n| candidate − {each.baseline.model} | {titles} |"
        yield "|---|---|---|---|---|---|"
        for d in each.differences:
            interval = f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
            outcome = f"{d.wins}/{d.ties}/{d.losses}"
            yield (
                f"| {d.candidate} | {d.measure} | {interval} | {100 * d.level:.4g} % | {outcome} | "
                f"{finding(d)} |"
            )
        if each.pairwise:
            titles = "share of wins | won/draw/lost | orders disagree | agrees with | kappa"
            yield f"\n| pair by pair, against {each.baseline.model} | {titles} |"
            yield "|---|---|---|---|---|---|"
        for p in each.pairwise:
            yield f"| {p.candidate} | {' | '.join(opinion(p))} |"
        yield from _conditions(each)
        yield ""
    yield DISCLAIMER_EN


def opinion(found: Pairwise) -> list[str]:
    """A second opinion's cells; its failures are in no figure."""
    failed = f", {found.failed} failed" if found.failed else ""
    bias, kappa = found.position_bias, found.kappa
    agreement = "–" if found.agreement is None else f"{found.agreement:.1%}"
    return [
        f"{found.share:.1%} [{found.low:.1%}, {found.high:.1%}]",
        f"{found.wins}/{found.draws}/{found.losses}{failed}",
        "–" if bias is None else f"{bias:.1%}",
        f"{found.measure}: {agreement}",
        "–" if kappa is None else f"{kappa:.2f}",
    ]


def _conditions(comparison: SuiteComparison) -> Iterator[str]:
    """What stands beside the figures: the answers' shares, and what all models had in common."""
    yield "\n| model | answers | failed | cut off | unanswered | tokens | seconds | US $ |"
    yield f"|{'---|' * 8}"
    for r in comparison.results:
        yield (
            f"| {r.model} | {r.answers} | {r.failed} | {r.cut_off:.1%} | {r.unanswered:.1%} | "
            f"{r.tokens_mean:.0f} of {r.conditions.tokens_allowed} | {r.seconds_mean:.1f} | "
            f"{r.cost_usd:.4f} |"
        )
    c = comparison.baseline.conditions
    rubric = f"{c.judge.rubric} {c.judge.rubric_sha256[:12]}" if c.judge else ""
    judge = f"; judge {c.judge.provider}, {rubric}" if c.judge else ""
    yield (
        f"\nTemperature {c.temperature:g}, {c.samples} answers a prompt, seed {c.seed}; template "
        f"{c.template[:12] if c.template else 'unknown'}; suite {c.suite_sha256[:12]}, data "
        f"{c.data_sha256[:12]}{judge}"
    )


def finding(difference: Difference) -> str:
    """What may be said of a difference, in a sentence's part."""
    if difference.seen != "none":
        return difference.seen
    return f"no difference seen; {power(difference)}"


def summary(comparisons: Sequence[SuiteComparison]) -> Iterator[str]:
    """What `galen compare` prints."""
    for each in comparisons:
        yield f"{each.suite}: {', '.join(r.model for r in each.results)}"
        for name in each.baseline.figures:
            figures = [r.figures[name] for r in each.results if name in r.figures]
            yield f"  {name:<20} " + "   ".join(str(figure) for figure in figures)
        for d in each.differences:
            yield (
                f"  {d.candidate} − {each.baseline.model}, {d.measure}: {d.mean:+.3f} "
                f"[{d.low:+.3f}, {d.high:+.3f}] at {100 * d.level:.4g} %, won/tied/lost "
                f"{d.wins}/{d.ties}/{d.losses}: {finding(d)}"
            )
        for p in each.pairwise:
            share, outcome, bias, agreement, kappa = opinion(p)
            yield (
                f"  {p.candidate} pair by pair: {share} of wins, won/draw/lost {outcome}, orders "
                f"disagree {bias}, agrees with {agreement}, kappa {kappa} ({p.provider})"
            )
        judge = each.baseline.conditions.judge
        if judge is not None:
            yield f"  judge: {judge.provider}, rubric {judge.rubric} ({judge.rubric_sha256[:12]})"
            if judge.provider == MOCK:
                yield "  The teacher is a mock: this only shows that the loop learns."
    yield DISCLAIMER_EN
