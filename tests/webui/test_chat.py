"""What the chat page does for its visitors."""

from __future__ import annotations

import gradio as gr
import pytest

from judge.client import JudgeClient
from server.client import PolicyClient
from tests.fakes.services import FakePolicyServer
from webui.assistant import Assistant
from webui.chat import ChatPage
from webui.settings import WebuiSettings


@pytest.mark.parametrize(("visitor", "current"), [("anna", "sft"), ("bob", "ppo-2")])
async def test_only_an_admin_changes_the_version_for_everybody(visitor: str, current: str) -> None:
    """The page asks with its own key, so it looks at the visitor's role itself."""
    versions = {"sft": True, "ppo-2": False}
    with FakePolicyServer(versions, current="sft") as server, gr.Blocks():
        async with PolicyClient(server.url) as policy, JudgeClient(server.url) as judge:
            assistant = Assistant(WebuiSettings(), policy, judge)
            page = ChatPage(assistant, lambda name: name == "bob")
            request = gr.Request(username=visitor)
            updates = [update async for update in page._choose("ppo-2", "sft", request)]
    assert server.current == current
    assert ("needs a key with the role admin" in str(updates)) == (visitor == "anna")
