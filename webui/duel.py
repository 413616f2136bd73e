"""Two answers to one question, side by side, and a person's vote between them.

Which version writes on which side is drawn by lot, and is shown only after the vote.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

import gradio as gr

from galen.errors import GalenError
from judge.audit_schemas import Vote, VoteChoice
from server.schemas import PolicyState
from webui import versions
from webui.assistant import Assistant
from webui.bubbles import bubbles
from webui.explain import JUDGE, SERVER, explain
from webui.frame import notice_html
from webui.text import Notice, Turn, storable

Updates = dict[Any, Any]
Pair = tuple[Turn, Turn]
Side = Literal["left", "right"]
CHOICES: dict[VoteChoice, str] = {
    "a": "甲更好 A is better",
    "tie": "一样好 Tie",
    "both_bad": "都不好 Both bad",
    "b": "乙更好 B is better",
}
_CONCURRENT = 16
"""Questions that the page has answered at once, for all readers together."""
_SAME = Notice(
    "两个回答相同，无法比较。", "Both answers are the same, so there is nothing to choose."
)
_UNFINISHED = Notice("有回答没有写完，无法比较。", "An answer is not whole, so there is no vote.")
_INTRO = Notice(
    "提一个问题，比较两个回答，投票后揭晓是哪个版本。投票可用于训练：galen data votes OUT。",
    "Ask once, compare two answers, vote; then the versions are named. "
    "Votes become training data: galen data votes OUT.",
)
_ONE_VERSION = Notice(
    f"{_INTRO.zh}现在只加载了一个版本，由它回答两次。",
    f"{_INTRO.en} One version is loaded now, so it answers twice.",
)


def problem(pair: Pair) -> Notice | None:
    """Why there can be no vote between two answers."""
    left, right = pair
    if not (left.finished and right.finished and left.reply.text and right.reply.text):
        return _UNFINISHED
    return _SAME if left.reply.text == right.reply.text else None


def ballot(pair: Pair, choice: VoteChoice, number: str) -> Vote:
    """The vote as the judge keeps it. Sent twice with the same `number`, it counts once."""
    left, right = pair
    return Vote(
        id=number,
        prompt=left.question,
        response_a=storable(left.reply.text),
        response_b=storable(right.reply.text),
        model_a=left.reply.version,
        model_b=right.reply.version,
        vote=choice,
    )


def hidden(turn: Turn) -> Turn:
    """The turn without the name of the version that wrote it."""
    return replace(turn, reply=replace(turn.reply, version=""))


class DuelPage:
    """One page for all readers; what differs between them is in Gradio's session state."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        with gr.Row(elem_id="galen-duel-versions"):
            self._pickers = [
                gr.Dropdown(label=label, choices=[], interactive=True, min_width=240)
                for label in ("版本一 One version", "版本二 The other")
            ]
        self._notice = gr.HTML(notice_html(_INTRO, "remark"), elem_id="galen-duel-notice")
        with gr.Row(elem_id="galen-duel"):
            self._sides = [_side("甲 A", "left"), _side("乙 B", "right")]
        with gr.Row(elem_id="galen-votes"):
            self._buttons = {
                choice: gr.Button(
                    label, interactive=False, min_width=140, elem_id=f"galen-vote-{choice}"
                )
                for choice, label in CHOICES.items()
            }
        with gr.Row():
            self._question = gr.Textbox(
                label="问题 Question",
                placeholder="向两个版本提同一个问题… Ask both the same question…",
                max_length=4000,
                elem_id="galen-duel-question",
                scale=5,
            )
            self._send = gr.Button("发送 Send", variant="primary", elem_id="galen-duel-send")
        self._pair = gr.State(None)
        self._number = gr.State("")

    def wire(self, opened: Any) -> None:
        """Connect widgets and actions; `opened` is the tab, whose choice brings the versions."""
        quiet = {"show_progress": "hidden"}
        opened.select(self._versions, None, {*self._pickers, self._notice}, **quiet)
        shown = {*self._sides, *self._buttons.values(), self._notice, self._send, self._question}
        state = {self._pair, self._number}
        gr.on(
            [self._question.submit, self._send.click],
            self._ask,
            {self._question, *self._pickers},
            shown | state,
            concurrency_limit=_CONCURRENT,
            **quiet,
        )
        for choice, button in self._buttons.items():
            button.click(self._voting(choice), state, shown, **quiet)

    async def _versions(self) -> Updates:
        try:
            state = await self._assistant.policy.policy()
        except GalenError as error:
            return {self._notice: notice_html(explain(error, SERVER), "problem")}
        one, two = _first_choices(state)
        notice = _ONE_VERSION if one == two else _INTRO
        offered = [each for each in versions.choices(state) if versions.is_loaded(state, each[1])]
        shown = {self._notice: notice_html(notice, "remark")}
        return shown | {
            picker: gr.update(choices=offered, value=name)
            for picker, name in zip(self._pickers, (one, two), strict=True)
        }

    async def _ask(self, values: Updates) -> AsyncGenerator[Updates, None]:
        question: str = (values[self._question] or "").strip()
        if not question:  # a generator that yields nothing would empty every widget
            yield {self._question: ""}
            return
        names = [values[picker] for picker in self._pickers]
        random.shuffle(names)
        models = (versions.model_name(names[0], None), versions.model_name(names[1], None))
        number = uuid.uuid4().hex
        yield {
            self._pair: None, self._number: number, self._notice: "", self._question: "",
            self._send: gr.update(interactive=False), **self._votable(False),
        }  # fmt: skip
        pair: Pair | None = None
        async with aclosing(self._assistant.answers(question, models)) as growing:
            async for pair in growing:
                yield self._shown(pair, busy=True)
        assert pair is not None
        trouble = problem(pair)
        yield {
            **self._shown(pair, busy=False),
            **self._votable(trouble is None),
            self._pair: pair,
            self._send: gr.update(interactive=True),
            self._notice: notice_html(trouble, "warning") if trouble else "",
        }

    def _shown(self, pair: Pair, *, busy: bool) -> Updates:
        return {
            side: bubbles((hidden(turn),), busy=busy)
            for side, turn in zip(self._sides, pair, strict=True)
        }

    def _votable(self, is_votable: bool) -> Updates:
        return {each: gr.update(interactive=is_votable) for each in self._buttons.values()}

    def _voting(self, choice: VoteChoice) -> Any:
        async def vote(values: Updates) -> Updates:
            pair: Pair = values[self._pair]
            try:
                await self._assistant.vote(ballot(pair, choice, values[self._number]))
            except GalenError as error:
                return {self._notice: notice_html(explain(error, JUDGE), "problem")}
            left, right = (turn.reply.version for turn in pair)
            done = Notice(
                f"已记录。甲由 {left} 写，乙由 {right} 写。",
                f"Recorded. A was written by {left}, B by {right}.",
            )
            sides = zip(self._sides, pair, strict=True)
            named = {side: bubbles((turn,)) for side, turn in sides}
            return {**named, **self._votable(False), self._notice: notice_html(done, "done")}

        return vote


def _side(label: str, side: Side) -> Any:
    return gr.Chatbot(
        label=label,
        elem_id=f"galen-duel-{side}",
        height="max(300px, calc(100vh - 560px))",
        min_width=300,
        buttons=[],
        latex_delimiters=[],
        feedback_options=None,
        layout="bubble",
    )


def _first_choices(state: PolicyState) -> tuple[str, str]:
    """The current version, and another one that is loaded; itself again where there is none."""
    loaded = [name for _, name in versions.choices(state) if versions.is_loaded(state, name)]
    return state.current, next((name for name in loaded if name != state.current), state.current)
