"""The last output of `galen up`: addresses, and lines to paste."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from galen import DISCLAIMER_EN, DISCLAIMER_ZH

QUESTION = "最近总是头痛，睡得也不好，该怎么办？"


def farewell(urls: Mapping[str, str], *, rubric: str, rehearsal: bool, keys: bool) -> str:
    """The text; `keys`: whether the services require a key."""
    header = ' -H "Authorization: Bearer $GALEN_KEY"' if keys else ""
    chat = {
        "model": "policy",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 256,
        "stream": True,
    }
    score = {
        "rubric": rubric,
        "teacher": "optional",
        "items": [{"id": "1", "prompt": QUESTION, "response": "多喝水，注意休息。"}],
    }
    remark = (
        "\n  演示模型只为排练流程，它的回答没有医学价值。"
        "\n  The demo model only rehearses the loop; its answers are worthless as medicine.\n"
        if rehearsal
        else ""
    )
    return f"""
  网页 Web page          {urls["webui"]}
  模型接口 Policy server  {urls["server"]}/v1
  评审 Judge             {urls["judge"]}/v1/score
{remark}
  {DISCLAIMER_ZH}
  {DISCLAIMER_EN}

  对话 Talk to it:
    curl -N {urls["server"]}/v1/chat/completions -H "Content-Type: application/json"{header} \\
      -d '{json.dumps(chat, ensure_ascii=False)}'
  评分 Have an answer judged:
    curl {urls["judge"]}/v1/score -H "Content-Type: application/json"{header} \\
      -d '{json.dumps(score, ensure_ascii=False)}'
  终端对话 In the terminal: {galen()} chat
  停止 Stop everything:     make down
"""


def galen() -> str:
    """The command `galen` as a user in this folder types it."""
    return in_environment("galen")


def in_environment(command: str) -> str:
    """An installed command as a user in this folder types it."""
    installed = Path(".venv/bin") / command
    return str(installed) if installed.is_file() else command
