"""Distinct items to judge, as long as a small policy's answers."""

from __future__ import annotations

import json

_ANSWER = (
    "<think>\n{n} 号提问者嗓子痛三天，没有高烧，没有呼吸困难。多见的是病毒性咽炎，"
    "也要排除化脓性扁桃体炎；需要留意吞咽困难和持续高烧。\n</think>\n\n"
    "嗓子痛三天，可能与病毒性咽炎有关，也可能是扁桃体发炎。建议多喝温水，清淡饮食，少说话。"
    "如果出现高烧不退、吞咽困难或呼吸不畅，请立即就医。若三天后仍不见好，请到耳鼻喉科检查后由医生决定是否用药。"
    "以上仅供参考，不能代替诊断。编号{n}。"
)


ANSWERS = 4
"""Answers to each prompt, as in a batch of rollouts."""


def item(number: int) -> dict[str, str]:
    return {
        "id": f"item-{number}",
        "prompt": f"嗓子痛三天，怎么办？（{number // ANSWERS}）",
        "response": _ANSWER.replace("{n}", str(number)),
    }


def body(
    first: int, count: int, *, rubric: str = "medical-safety", teacher: str = "required"
) -> bytes:
    """The body of a request for `count` items, starting with number `first`."""
    items = [item(number) for number in range(first, first + count)]
    request = {"rubric": rubric, "teacher": teacher, "items": items}
    return json.dumps(request, ensure_ascii=False).encode()
