"""`galen judge rules`: precision and recall of the rules about danger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rules(
    cases: Annotated[
        list[Path] | None,
        typer.Argument(help="JSON lines: id, rule, prompt, sound, worse. Default: the tests' own."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Print precision and recall of each rule about danger, with Wilson's 95 % intervals, and the
    ids of all misses and false flags."""
    from judge.examination import rule_report

    paths = cases or [rule_report.shipped_cases()]
    figures = rule_report.measure(rule_report.load_cases(paths))
    typer.echo(rule_report.table(figures))
    if json:
        _write(json, rule_report.facts(figures))
        typer.echo(f"\nFigures: {json}")


def _write(path: Path, facts: dict[str, object]) -> None:
    from json import dumps

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(facts, ensure_ascii=False, indent=1) + "\n", "utf-8")
