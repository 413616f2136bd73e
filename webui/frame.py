"""The frame of every page: heading, disclaimer, notices, theme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from webui.markup import attribute, escape
from webui.text import Notice

STYLE_SHEET = Path(__file__).with_name("style.css")
TITLE = "Galen 医学问答 Medical Q&A"

EXAMPLES = (
    "感冒三天了，发烧38度，需要吃抗生素吗？",
    "父亲突然胸痛、出冷汗，怎么办？",
    "最近总是睡不好，有什么办法改善？",
    "血压145/95，要马上吃药吗？",
)

_FONTS = ("system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "monospace")


def theme() -> Any:
    """A calm theme with the reader's own fonts, so that the page loads nothing from elsewhere."""
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.cyan,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=_FONTS,
        font_mono=_MONO,
    )


def heading(rehearsal: bool) -> str:
    """The page's header; its disclaimer stays visible while the page scrolls."""
    warning = (
        '<p class="rehearsal" role="note"><b>演练模型</b> 这是约一百万参数的演示模型，'
        "回答没有任何医学价值。 <b>Rehearsal</b> This is a tiny demo model; its answers are "
        "worthless as medicine.</p>"
        if rehearsal
        else ""
    )
    return (
        '<header class="galen-head"><h1>Galen <span>医学问答 Medical Q&amp;A</span></h1>'
        f'<p class="disclaimer" role="note">{escape(DISCLAIMER_ZH)}<br>'
        f'<span class="en">{escape(DISCLAIMER_EN)}</span></p>{warning}</header>'
    )


def welcome() -> str:
    """Shown in an empty conversation."""
    return (
        '<div class="galen-welcome"><h2>您想了解什么？<span class="en">What would you like to know?'
        "</span></h2><p>模型先思考，再回答；每个回答都由评审打分。<br>"
        '<span class="en">The model reasons first, then answers; every answer is judged.</span>'
        "</p></div>"
    )


def notice_html(notice: Notice, kind: str) -> str:
    return (
        f'<div class="galen-notice {attribute(kind)}" role="status">'
        f"{escape(notice.zh)}<br>{escape(notice.en)}</div>"
    )
