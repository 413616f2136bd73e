"""The chat page's widgets and their layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui import verdict
from webui.frame import EXAMPLES, welcome


@dataclass(frozen=True, slots=True)
class Widgets:
    """The widgets that the page's events use."""

    picker: Any
    refresh: Any
    notice: Any
    chatbot: Any
    question: Any
    send: Any
    stop: Any
    fresh: Any
    verdict: Any
    again: Any
    examples: tuple[Any, ...]
    turns: Any
    """State: the conversation (`Turns`)."""
    current: Any
    """State: the current policy version when the server was last asked."""
    picked: Any
    """State: the version picked, to restore it when a switch is refused."""


def lay_out() -> Widgets:
    """Create the widgets inside the open `Blocks`; on a phone the columns stack."""
    with gr.Row(elem_id="galen-columns"):
        with gr.Column(scale=3, min_width=320, elem_id="galen-chat-column"):
            picker, refresh = _version_row()
            notice = gr.HTML("", elem_id="galen-notice")
            chatbot = _conversation()
            with gr.Row(elem_id="galen-examples"):
                examples = tuple(gr.Button(text, size="sm", min_width=120) for text in EXAMPLES)
            question, send, stop, fresh = _ask_row()
        with gr.Column(scale=2, min_width=300, elem_id="galen-verdict-column"):
            panel = gr.HTML(verdict.nothing_yet(), elem_id="galen-verdict")
            label = "重新评审 Judge again"
            again = gr.Button(label, size="sm", interactive=False, elem_id="galen-again")
    return Widgets(
        picker, refresh, notice, chatbot, question, send, stop, fresh, panel, again, examples,
        turns=gr.State(()), current=gr.State(None), picked=gr.State(None),
    )  # fmt: skip


def _version_row() -> tuple[Any, Any]:
    with gr.Row(elem_id="galen-version-row"):
        picker = gr.Dropdown(
            label="模型版本 Model version",
            choices=[],
            interactive=True,
            elem_id="galen-picker",
            scale=5,
        )
        refresh = gr.Button("刷新 Refresh", size="sm", scale=0, elem_id="galen-refresh")
    return picker, refresh


def _conversation() -> Any:
    return gr.Chatbot(
        label="对话 Conversation",
        show_label=False,
        elem_id="galen-chatbot",
        height="max(340px, calc(100vh - 440px))",
        placeholder=welcome(),
        buttons=[],
        latex_delimiters=[],
        feedback_options=None,
        layout="bubble",
    )


def _ask_row() -> tuple[Any, Any, Any, Any]:
    with gr.Row(elem_id="galen-ask"):
        question = gr.Textbox(
            label="问题 Question",
            placeholder="请描述症状或问题… Describe a symptom or ask a question…",
            lines=2,
            max_lines=6,
            max_length=4000,
            elem_id="galen-question",
            scale=5,
        )
        with gr.Column(scale=1, min_width=150, elem_id="galen-actions"):
            send = gr.Button("发送 Send", variant="primary", elem_id="galen-send")
            stop = gr.Button("停止 Stop", variant="stop", interactive=False, elem_id="galen-stop")
            fresh = gr.Button("新对话 New chat", size="sm", elem_id="galen-new")
    return question, send, stop, fresh
