"""An examination as one self-contained HTML page, in Chinese and English."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from judge.examination import plots
from judge.examination.examiner import Examination
from judge.examination_schemas import Figures
from judge.teacher.mock_teacher import PROVIDER as MOCK

CEILING = (
    "Physicians who grade the same medical answers agree with each other on 55 to 75 % of them; "
    "compare the agreement column with that."
)
REHEARSAL = "rehearsal: mock. No teacher model has judged anything here."


def as_html(examination: Examination) -> str:
    """The page; its pictures are embedded."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    figures, examinee = examination.figures, examination.examinee
    pictures = {
        "agreement": plots.agreement(figures, examination.qualification.thresholds),
        "retest": plots.retest(examination.judged, list(figures.dimensions)),
        "length": plots.length(examination.judged),
        "attacks": plots.attacks(figures.attacks) if figures.attacks.total else "",
    }
    return templates.get_template("page.html.jinja").render(
        examinee=examinee,
        figures=figures,
        qualification=examination.qualification,
        verdict=verdict(examination),
        succeeded=succeeded(figures),
        plots={name: base64.b64encode(svg.encode()).decode() for name, svg in pictures.items()},
        is_rehearsal=examinee.provider == MOCK,
        rehearsal=REHEARSAL,
        ceiling=CEILING,
        disclaimer_en=DISCLAIMER_EN,
        disclaimer_zh=DISCLAIMER_ZH,
    )


def verdict(examination: Examination) -> str:
    if not examination.is_kept:
        return "a trial on part of the labels; not sent to the judge"
    return "passed" if examination.qualification.passed else "not passed"


def succeeded(figures: Figures) -> str:
    """The ids of canaries that were judged wrongly, by kind."""
    kinds = sorted(figures.attacks.succeeded.items())
    return "; ".join(f"{kind}: {', '.join(ids)}" for kind, ids in kinds)
