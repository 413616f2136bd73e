"""The chat page: its events, between the widgets and the two services."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import gradio as gr

from galen.errors import GalenError
from judge.schemas import ScoreResult
from server.schemas import PolicyState
from webui import verdict, versions
from webui.assistant import Assistant
from webui.bubbles import bubbles
from webui.explain import JUDGE, SERVER, explain
from webui.frame import EXAMPLES, notice_html
from webui.layout import lay_out
from webui.text import Turn

Turns = tuple[Turn, ...]
Updates = dict[Any, Any]

MaySwitch = Callable[[str | None], bool]
"""Whether the visitor of that name may change the version for everybody."""

_CONCURRENT = 16
"""Answers that the page streams at once, to all readers together."""


class ChatPage:
    """One page for all readers; what differs between them is in Gradio's session state."""

    def __init__(self, assistant: Assistant, may_switch: MaySwitch) -> None:
        self._assistant = assistant
        self._may_switch = may_switch
        self._widgets = lay_out()

    def wire(self, blocks: Any) -> None:
        """Connect widgets and actions; to be called inside `blocks`."""
        w = self._widgets
        versions_shown = {w.picker, w.notice, w.current, w.picked}
        quiet = {"show_progress": "hidden"}
        blocks.load(self._refresh, None, versions_shown, **quiet)
        w.refresh.click(self._refresh, None, versions_shown, **quiet)
        # Not `input`: one choice fires it twice, and the second would repeat a refused switch.
        w.picker.select(self._choose, [w.picker, w.picked], versions_shown, **quiet)
        verdict_shown = {w.chatbot, w.verdict, w.again}
        settled = {*verdict_shown, w.send, w.stop}
        asked = self._wire_asking({w.question, w.turns, *settled, *versions_shown})
        # Cancel before tidying up, or a growing answer would overwrite the result.
        stopping = w.stop.click(None, None, None, cancels=asked)
        stopping.then(self._stopped, {w.turns}, settled, **quiet)
        clearing = gr.on([w.fresh.click, w.chatbot.clear], None, None, None, cancels=asked)
        clearing.then(self._start_over, None, {w.turns, *settled}, **quiet)
        w.again.click(self._judge_again, {w.turns}, verdict_shown, **quiet)

    def _wire_asking(self, outputs: set[Any]) -> list[Any]:
        """Every way to ask a question; the events can be cancelled."""
        w = self._widgets
        asking = {w.turns, w.picked, w.current}
        options = {"concurrency_limit": _CONCURRENT, "show_progress": "hidden"}
        typed = gr.on(
            [w.question.submit, w.send.click], self._ask, {w.question, *asking}, outputs, **options
        )
        clicked = [
            button.click(self._example(text), asking, outputs, **options)
            for button, text in zip(w.examples, EXAMPLES, strict=True)
        ]
        return [typed, *clicked]

    def _example(self, text: str) -> Any:
        async def ask_example(values: Updates) -> AsyncGenerator[Updates, None]:
            async with aclosing(self._ask({**values, self._widgets.question: text})) as updates:
                async for update in updates:
                    yield update

        return ask_example

    async def _ask(self, values: Updates) -> AsyncGenerator[Updates, None]:
        w = self._widgets
        question: str = (values[w.question] or "").strip()
        if not question:
            yield {w.question: ""}
            return
        turns: Turns = values[w.turns]
        model = versions.model_name(values[w.picked], values[w.current])
        yield {w.question: "", w.verdict: verdict.nothing_yet(), **self._busy(True)}
        turn = Turn(question)
        async with aclosing(self._assistant.answer(turns, question, model)) as growing:
            async for turn in growing:
                now = (*turns, turn)
                yield {w.chatbot: bubbles(now, busy=True), w.turns: now}
        now = (*turns, turn)
        yield {w.chatbot: bubbles(now), w.turns: now}
        if turn.finished:
            yield {w.verdict: verdict.judging()}
            yield await self._verdict_on(now)
        else:
            yield {w.verdict: verdict.nothing_yet()}
        yield self._busy(False)
        if turn.reply.version != (values[w.picked] or values[w.current]):
            yield await self._known_versions(values[w.picked], values[w.current])

    def _busy(self, busy: bool) -> Updates:
        """One of the two buttons can be pressed; the style sheet hides the other.

        `visible` would not do: Gradio's page loses one of two quick changes of it.
        """
        w = self._widgets
        return {
            w.send: gr.update(interactive=not busy),
            w.stop: gr.update(interactive=busy),
            w.again: gr.update(interactive=not busy),
        }

    async def _verdict_on(self, turns: Turns) -> Updates:
        w = self._widgets
        turn = turns[-1]
        result: ScoreResult | None = None
        try:
            result = await self._assistant.judge(turn)
            shown = verdict.panel(result, turn.reply.text, self._assistant.settings.rubric)
        except GalenError as error:
            shown = verdict.message(explain(error, JUDGE), "failed")
        return {w.verdict: shown, w.chatbot: bubbles(turns, marks=verdict.marks(result))}

    async def _judge_again(self, values: Updates) -> AsyncGenerator[Updates, None]:
        w = self._widgets
        turns: Turns = values[w.turns]
        if not turns or not turns[-1].reply.text:
            yield {w.verdict: verdict.nothing_yet()}
            return
        yield {w.verdict: verdict.judging()}
        yield await self._verdict_on(turns)

    def _stopped(self, values: Updates) -> Updates:
        w = self._widgets
        return {
            w.chatbot: bubbles(values[w.turns]),
            w.verdict: verdict.stopped(),
            **self._busy(False),
        }

    def _start_over(self) -> Updates:
        w = self._widgets
        return {
            w.turns: (),
            w.chatbot: [],
            w.verdict: verdict.nothing_yet(),
            **self._busy(False),
            w.again: gr.update(interactive=False),
        }

    async def _refresh(self) -> Updates:
        return await self._known_versions(None, None)

    async def _known_versions(self, picked: str | None, current: str | None) -> Updates:
        """The picker brought up to date; a pick of the current version follows a switch."""
        try:
            state = await self._assistant.policy.policy()
        except GalenError as error:
            return {self._widgets.notice: notice_html(explain(error, SERVER), "problem")}
        stays = picked and picked != current and versions.is_loaded(state, picked)
        return self._pick(state, picked if picked and stays else state.current, _standing(state))

    def _pick(self, state: PolicyState, name: str, notice: str) -> Updates:
        w = self._widgets
        return {
            w.picker: gr.update(choices=versions.choices(state), value=name),
            w.notice: notice,
            w.current: state.current,
            w.picked: name,
        }

    async def _choose(
        self, name: str | None, before: str | None, request: gr.Request
    ) -> AsyncGenerator[Updates, None]:
        """Select a loaded version for this page, or make another one everybody's."""
        w = self._widgets
        policy = self._assistant.policy
        if name is None:
            return
        try:
            state = await policy.policy()
            if versions.is_loaded(state, name):
                yield self._pick(state, name, notice_html(versions.selected(name), "done"))
                return
            if not self._may_switch(request.username):
                notice = notice_html(versions.NOT_YOURS, "problem")
                yield {w.picker: gr.update(value=before), w.notice: notice}
                return
            yield {w.notice: notice_html(versions.switching(name), "busy")}
            state = await policy.activate(name)
            yield self._pick(state, name, notice_html(versions.switched(name), "warning"))
        except GalenError as error:
            notice = notice_html(explain(error, SERVER), "problem")
            yield {w.picker: gr.update(value=before), w.notice: notice}


def _standing(state: PolicyState) -> str:
    """The note on the versions while nothing happens."""
    if state.notice:
        return notice_html(versions.server_says(state.notice), "problem")
    return notice_html(versions.INFO, "remark") if versions.some_unloaded(state) else ""
