"""An examination as one self-contained HTML page, in Chinese and English."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from judge.examination import plots as plots
from judge.examination.examiner import Examination
from judge.examination_schemas import DimensionFigures, Figures
from judge.teacher.mock_teacher import PROVIDER as MOCK

CEILING_EN = (
    "Physicians who grade the same medical answers agree with each other on 55 to 75 % of them; "
    "compare the agreement column with that."
)
CEILING_ZH = "医生之间对同一回答的评判一致率约为 55–75%，请与“一致率”一列对照。"
REHEARSAL_EN = "rehearsal: mock. No teacher model has judged anything here."
REHEARSAL_ZH = "演练：模拟评分，没有任何教师模型参与。"
_STYLE = """
body{font:15px/1.6 system-ui,'Noto Sans SC','PingFang SC','Microsoft YaHei',sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2933}
h1{font-size:1.5rem} h2{font-size:1.1rem;margin-top:2.2rem} small{color:#52606d;font-weight:400}
table{border-collapse:collapse;margin:.6rem 0} th,td{padding:.25rem .8rem;text-align:right;
border-bottom:1px solid #e4e7eb} th:first-child,td:first-child{text-align:left}
img{max-width:100%} .passed{color:#0f766e} .failed{color:#b91c1c}
.note{background:#f5f7fa;padding:.6rem 1rem;border-left:3px solid #9aa5b1}
"""


def as_html(examination: Examination) -> str:
    """The page; its pictures are embedded."""
    figures = examination.figures
    title = f"评审教师资格考核 · Qualification of {escape(examination.examinee.provider)}"
    parts = [
        f"<h1>{title}</h1>",
        *_outcome(examination),
        *_agreement(examination),
        _heading("重测", "Retest"),
        _image(
            plots.retest(examination.judged, list(figures.dimensions)),
            "second verdict against the first",
        ),
        *_length(examination),
        _heading("不安全回答的漏放率", "Unsafe answers let pass"),
        f"<p>{figures.false_pass.value:.0%} of {figures.unsafe}, Wilson "
        f"[{figures.false_pass.low:.0%}, {figures.false_pass.high:.0%}]</p>",
        _heading("诱饵", "Canaries: attacks, and honest answers that only look like them"),
        _attacks(figures),
    ]
    return (
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}</style>" + "\n".join(parts) + "</html>\n"
    )


def verdict(examination: Examination) -> str:
    if not examination.is_kept:
        return "a trial on part of the labels; not sent to the judge"
    return "passed" if examination.qualification.passed else "not passed"


def succeeded(figures: Figures) -> str:
    """The ids of canaries that were judged wrongly, by kind."""
    kinds = sorted(figures.attacks.succeeded.items())
    return "; ".join(f"{kind}: {', '.join(ids)}" for kind, ids in kinds)


def _outcome(examination: Examination) -> list[str]:
    passed = examination.qualification.passed
    colour, word = ("passed", "通过") if passed else ("failed", "未通过")
    mock = [f"<p class=note><b>{REHEARSAL_ZH} {REHEARSAL_EN}</b></p>"]
    return [
        f"<p class=note><b>{DISCLAIMER_ZH}<br>{DISCLAIMER_EN}</b></p>",
        *(mock if examination.examinee.provider == MOCK else []),
        _heading("结论", "Verdict"),
        f"<p class={colour}><b>{word} · {verdict(examination)}</b></p>",
        _list(examination.qualification.shortfalls),
        _facts(examination),
    ]


def _agreement(examination: Examination) -> list[str]:
    figures = examination.figures
    picture = plots.agreement(figures, examination.qualification.thresholds)
    return [
        _heading("与标注的一致性", "Agreement with the labels"),
        _image(picture, "kappa and macro-F1 by dimension"),
        _agreement_table(figures),
        f"<p>{CEILING_ZH}<br>{CEILING_EN}</p>",
        _heading("混淆表", "Confusion tables"),
        "".join(_confusion(name, found) for name, found in figures.dimensions.items()),
    ]


def _length(examination: Examination) -> list[str]:
    figures = examination.figures
    return [
        _heading("得分与篇幅", "Score and length"),
        _image(plots.length(examination.judged), "overall score against length"),
        f"<p>Spearman {figures.length}; labels {figures.length_of_labels:+.2f}; excess "
        f"{figures.length_excess}</p>",
    ]


def _heading(chinese: str, english: str) -> str:
    return f"<h2>{chinese} <small>{english}</small></h2>"


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _facts(examination: Examination) -> str:
    figures, examinee = examination.figures, examination.examinee
    rows = {
        "评分标准 rubric": examinee.rubric,
        "教师 teacher": f"{examinee.provider} ({examinee.teacher_sha256[:12]})",
        "时间 examined at": f"{examination.qualification.created_at:%Y-%m-%d %H:%M} UTC",
        "标注回答 labelled answers, judged twice": str(figures.items),
        "失败的评审 failed judgements": f"{figures.failed} / {figures.asked}",
        "标注文件 labels": figures.labels_sha256[:12],
    }
    return _table([], list(rows.items()))


def _agreement_table(figures: Figures) -> str:
    head = (
        "维度 dimension",
        "kappa",
        "macro-F1",
        "一致率 agreement",
        "重测差 retest",
        "翻转 flips",
    )
    rows = [
        (
            name,
            str(found.kappa),
            str(found.macro_f1),
            f"{found.agreement:.0%}",
            f"{found.retest_difference:.3f}",
            f"{found.retest_flips:.0%}",
        )
        for name, found in figures.dimensions.items()
    ]
    return _table(head, rows)


def _confusion(name: str, found: DimensionFigures) -> str:
    head = (name, "教师：好 teacher: pass", "教师：差 teacher: fail")
    good = ("标注：好 label: pass", str(found.true_pass), str(found.false_fail))
    bad = ("标注：差 label: fail", str(found.false_pass), str(found.true_fail))
    return _table(head, [good, bad])


def _attacks(figures: Figures) -> str:
    attacks = figures.attacks
    if not attacks.total:
        return "<p>没有完成任何诱饵测试。No canary was judged.</p>"
    return (
        f"<p>评审正确 judged correctly: {attacks.withstood} / {attacks.total}; "
        f"失败的评审 unjudged: {attacks.unjudged}</p>"
        + _image(plots.attacks(attacks), "canaries by kind")
        + _list([line] if (line := succeeded(figures)) else [])
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{body}</table>"


def _image(svg: str, words: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{data}">'
