"""`galen evaluate`: models through suites, with an interval beside every figure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galen import DISCLAIMER_EN, DISCLAIMER_ZH

if TYPE_CHECKING:
    from trainer.evaluate.evaluate import Plan, Watch
    from trainer.evaluate.result import Figure, Result

MISSED = 3
"""Exit code where a target was not met; 1 is an error, 2 a command written wrongly."""
ENDPOINT_KEY = "OPENAI_API_KEY"
OUT = Path("runs/evaluate")

Suites = Annotated[
    list[str],
    typer.Option("--suite", metavar="NAME|FILE", help="A suite's name or YAML file; repeatable."),
]
Data = Annotated[
    list[Path], typer.Option("--data", help="Ask these rows and not the suite's; repeatable.")
]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a suite's field.")
]
Server = Annotated[
    str | None, typer.Option(help="Policy server or any OpenAI-compatible one; else the one here.")
]
Judge = Annotated[str | None, typer.Option(help="The judge; else the one that is up here.")]
Out = Annotated[Path, typer.Option(help="Folder of answers and results.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Most rows of each suite.")]
Concurrency = Annotated[int, typer.Option(min=1, max=512, help="Questions asked at once.")]
AllowMock = Annotated[bool, typer.Option(help="Rehearse with the judge's mock teacher.")]


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="policy, base, a version, run:<name>, or NAME@URL at another endpoint.",
        ),
    ],
    suite: Suites,
    data: Data = [],  # noqa: B006
    overrides: Overrides = [],  # noqa: B006
    server: Server = None,
    judge: Judge = None,
    out: Out = OUT,
    limit: Limit = None,
    concurrency: Concurrency = 32,
    allow_mock: AllowMock = False,
) -> None:
    """Measure models on suites. If it was stopped, the same command goes on and asks nothing twice.

    Ends with 3 where a suite's target is not met by the interval's nearer bound. Keys are read from
    GALEN_KEY, for models at other endpoints from OPENAI_API_KEY.
    """
    plan = plan_of(models, suite, data, overrides, server, judge, out, limit, concurrency)
    from dataclasses import replace

    from trainer.evaluate.evaluate import evaluate as run

    typer.echo(f"{DISCLAIMER_ZH}\n{DISCLAIMER_EN}")
    with watching(out) as watch:
        results = [each.result for each in run(replace(plan, allow_mock=allow_mock), watch)]
    for result in results:
        typer.echo("")
        for line in lines(result):
            typer.echo(line)
    typer.echo(f"\nResults: {out}")
    if not all(result.is_met for result in results):
        raise typer.Exit(MISSED)


def plan_of(
    models: Sequence[str],
    suites: Sequence[str],
    data: Sequence[Path],
    overrides: Sequence[str],
    server: str | None,
    judge: str | None,
    out: Path,
    limit: int | None,
    concurrency: int,
) -> Plan:
    """What the options of a command ask for."""
    from cli import stack, state
    from trainer.evaluate import suite
    from trainer.evaluate.evaluate import Plan
    from trainer.evaluate.serving import Access

    given = [f"data=[{', '.join(map(str, data))}]"] if data else []
    running = state.read()
    bases = (stack.load(running.config).server.model,) if running else ()
    key = os.environ.get("GALEN_KEY")
    access = Access(
        server=server or state.server_url(),
        key=key,
        endpoint_key=os.environ.get(ENDPOINT_KEY),
        concurrency=concurrency,
        bases=bases,
    )
    return Plan(
        models=tuple(models),
        suites=tuple(suite.load(name, [*overrides, *given]) for name in suites),
        out=out,
        access=access,
        judge=judge or state.judge_url(),
        judge_key=key,
        limit=limit,
    )


@contextmanager
def watching(out: Path) -> Iterator[Watch]:
    """A bar for what is done now; Ctrl-C says that everything is kept."""
    from rich.console import Console

    from cli.progress import rows_bar
    from trainer.evaluate.evaluate import Watch

    console = Console(stderr=True, highlight=False)
    with rows_bar(console) as bar:
        task = bar.add_task("", total=1)

        def start(what: str, total: int, done: int) -> None:
            bar.reset(task, total=total, completed=done, description=what)

        try:
            yield Watch(
                start,
                lambda count: bar.advance(task, count),
                lambda line: console.print(line, style="yellow", markup=False, soft_wrap=True),
            )
        except KeyboardInterrupt:
            typer.echo(f"\nStopped: the answers are kept in {out}. The same command goes on.")
            raise SystemExit(130) from None


def lines(result: Result) -> Iterator[str]:
    """One model's figures in one suite, with all that they depend on."""
    from trainer.evaluate.result import PASSES

    c = result.conditions
    yield f"{c.suite}: {result.model} (written by {result.written_by})"
    for name, figure in result.figures.items():
        yield f"  {name:<18} {_percent(figure)}  n={figure.prompts}{_target(figure)}"
        if figure.pass_at and name in PASSES:
            chances = "  ".join(f"pass@{k} {v:.1%}" for k, v in figure.pass_at.items())
            yield f"  {'':<18} avg@{c.samples} {figure.mean:.1%}  {chances}"
        if len(figure.by_category) > 1 and name == next(iter(result.figures)):
            for category, (mean, count) in figure.by_category.items():
                yield f"    {category:<22} {mean:>6.1%}  n={count}"
    for name in result.unmeasured:
        yield f"  {name:<18} not measured: no answer has a value, so its target is not met"
    yield (
        f"  cut off {result.cut_off:.1%}, unanswered {result.unanswered:.1%}, failed "
        f"{result.failed} of {result.answers + result.failed}; tokens {result.tokens_mean:.0f} "
        f"of {c.tokens_allowed}; {result.seconds_mean:.1f} s an answer; {result.cost_usd:.4f} US "
        "dollars"
    )
    yield (
        f"  temperature {c.temperature:g}, {c.samples} a prompt, seed {c.seed}; template "
        f"{c.template[:12] if c.template else 'unknown'}{_judge(result)}"
    )
    for reason, count in result.failures.items():
        yield f"  failed: {count} {reason}"


def _percent(figure: Figure) -> str:
    if not figure.share:
        return f"{figure.mean:>+7.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"
    return f"{figure.mean:>7.1%} [{figure.low:.1%}, {figure.high:.1%}]"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = "<" if figure.better == "lower" else ">"
    told = {"met": "met", "missed": "MISSED", "open": "not shown: too few rows"}
    return f"  target {sign} {figure.target:.0%}: {told[figure.verdict or 'open']}"


def _judge(result: Result) -> str:
    judge = result.conditions.judge
    if judge is None:
        return ""
    teacher = f", teacher {judge.teacher_sha256[:12]}" if judge.teacher_sha256 else ""
    mock = " (a mock: a rehearsal)" if judge.provider == "mock" else ""
    return f"; judge {judge.provider}{mock}, {judge.rubric} {judge.rubric_sha256[:12]}{teacher}"
