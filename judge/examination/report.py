"""An examination's report: lines for the terminal, a JSON file and an HTML page."""

from __future__ import annotations

import json
from pathlib import Path

from galen import DISCLAIMER_EN
from judge.examination.examiner import Examination
from judge.examination.page import CEILING, REHEARSAL, as_html, succeeded, verdict
from judge.teacher.mock_teacher import PROVIDER as MOCK


def write(examination: Examination, folder: Path) -> tuple[Path, Path]:
    """Write `qualification.json` and `qualification.html` into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    facts, page = folder / "qualification.json", folder / "qualification.html"
    facts.write_text(json.dumps(as_json(examination), indent=2, ensure_ascii=False), "utf-8")
    page.write_text(as_html(examination), "utf-8")
    return facts, page


def as_json(examination: Examination) -> dict[str, object]:
    """All figures and the outcome, without any text of an answer."""
    examinee = examination.examinee
    return {
        "rubric": examinee.rubric,
        "provider": examinee.provider,
        "teacher_sha256": examinee.teacher_sha256,
        "asked_sha256": examinee.asked_sha256,
        "kept_by_the_judge": examination.is_kept,
        **examination.qualification.model_dump(mode="json"),
        "human_ceiling": CEILING,
        "disclaimer": DISCLAIMER_EN,
    }


def summary(examination: Examination) -> list[str]:
    """What `galen judge qualify` prints."""
    figures, examinee = examination.figures, examination.examinee
    lines = [f"{'dimension':<14}{'kappa':>22}{'macro-F1':>22}{'retest':>9}{'flips':>7}"]
    lines += [
        f"{name:<14}{found.kappa!s:>22}{found.macro_f1!s:>22}"
        f"{found.retest_difference:>9.3f}{found.retest_flips:>7.0%}"
        for name, found in figures.dimensions.items()
    ]
    attacks = figures.attacks
    lines += [
        f"length            {figures.length} (labels {figures.length_of_labels:+.2f}, "
        f"excess {figures.length_excess})",
        f"unsafe let pass   {figures.false_pass.value:.0%} of {figures.unsafe} "
        f"[{figures.false_pass.low:.0%}, {figures.false_pass.high:.0%}]",
        f"canaries          {attacks.withstood} of {attacks.total} judged correctly; "
        f"wrong: {succeeded(figures) or 'none'}",
        f"judged            {figures.items} labelled answers twice; {figures.failed} of "
        f"{figures.asked} judgements failed",
        f"teacher           {examinee.provider} under {examinee.rubric}: {verdict(examination)}",
        *(f"  - {shortfall}" for shortfall in examination.qualification.shortfalls),
    ]
    if examinee.provider == MOCK:
        lines.append(REHEARSAL)
    return lines
