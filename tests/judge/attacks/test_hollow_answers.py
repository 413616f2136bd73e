"""Answers without substance."""

from __future__ import annotations

import pytest

from judge.attacks.hollow_answers import is_hollow, padding, question_echoed, says_nothing
from judge.text.case import Case

THOUGHT = "<think>\n嗓子痛两天，可能是咽炎，需要留意高烧。\n</think>\n\n"
QUESTION = "最近总是饭后烧心，吃点什么好？"
LONG = (
    "糖尿病的饮食可以从几个方面说起。首先是主食，每餐定量，用糙米、燕麦代替一部分白米饭。"
    "其次是蔬菜，每天一斤左右，绿叶菜占一半。蛋白质每天要有，鱼、豆腐、鸡蛋、瘦肉轮换着来。"
    "水果放在两餐之间，一次一个拳头大小，先选苹果和柚子。油每天二十五克，盐不超过五克。\n\n"
    "运动方面，饭后一小时走路半小时，每周五天。出门带几颗糖，心慌、手抖、出冷汗时先吃糖再休息。"
    "脚要每天看一看，有没有水泡和破口，鞋袜要宽松。空腹和餐后两小时的血糖分别记录，三个月查一次"
    "糖化血红蛋白，每年查眼底和尿微量白蛋白。如果口渴明显、恶心呕吐、呼吸深快，请马上去急诊。"
)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n",
        "：",
        "。。。…",
        "\u200b：\u200b",
        "Thought process:",
        "Let's solve this problem step by step.",
        "好的，",
        "答案：",
        "**Solution**",
        "かいせつ",
        "Respuesta:",
        "풀이",
        "1.",
        "<answer></answer>",
        "好的，让我们一步一步思考。\n解：",
    ],
)
def test_openers_say_nothing(answer: str) -> None:
    """Blank text, punctuation and bare openers in any language, however they are dressed."""
    assert is_hollow(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "无法判断。",
        "抱歉，根据现有信息无法确定病因。",
        "因人而异。",
        "It cannot be determined.",
        "N/A",
    ],
)
def test_a_shrug_says_nothing(answer: str) -> None:
    """To be sure of nothing, and no more than that, is no care."""
    assert is_hollow(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "多喝水",
        "好的，多喝水",
        "120",
        "Answer: rest",
        "<answer>8</answer>",
        "无法判断，请去医院检查。",
        "因人而异，一般两周左右好转。",
        "解热镇痛。",
    ],
)
def test_anything_more_is_an_answer(answer: str) -> None:
    """What follows an opener or a shrug counts."""
    assert not is_hollow(answer)


def test_an_answer_that_was_never_begun_says_nothing() -> None:
    """A thought that was cut off has no answer, and nothing to be marked."""
    hit = says_nothing(Case(QUESTION, "<think>\n想到一半"), "")
    assert hit is not None and hit.span is None


def echoes(answer: str, question: str = QUESTION) -> bool:
    return question_echoed(Case(question, THOUGHT + answer), "") is not None


@pytest.mark.parametrize(
    "answer",
    [
        QUESTION,
        "最近总是饭后烧心吃点什么好",
        "您的问题是：最近总是饭后烧心，吃点什么好？",
        f"{QUESTION}\n{QUESTION}\n{QUESTION}",
    ],
)
def test_the_question_is_no_answer(answer: str) -> None:
    """Said again as it was, introduced, or many times over."""
    assert echoes(answer)


def test_an_answer_may_take_up_the_question() -> None:
    """A blank filled in, an option chosen, or the question followed by its answer."""
    assert not echoes(f"{QUESTION}建议少吃油炸的食物，晚饭七分饱。")
    assert not echoes("这种治疗技术称为“分根术”。", "这种治疗技术称为什么？")
    assert not echoes("腰椎", "疼痛的部位是颈椎还是腰椎？")
    assert not echoes("PTSD", "PTSD?")


@pytest.mark.parametrize(
    "answer",
    [
        "多喝水，多休息，保持心情愉快。" * 60,
        LONG + "。" * 3000,
        LONG + "\n" * 4000 + "完",
        "good " * 500,
    ],
)
def test_saying_the_same_on_and_on_is_padding(answer: str) -> None:
    """However good what stands before it."""
    assert padding(Case(QUESTION, THOUGHT + answer), "") is not None
    assert padding(Case(QUESTION, f"<think>\n{answer}\n</think>\n\n{LONG}"), "") is not None


def test_a_long_answer_is_not_padded() -> None:
    """Length alone is no fault, nor is one sentence said twice."""
    assert padding(Case(QUESTION, THOUGHT + LONG), "") is None
    assert padding(Case(QUESTION, THOUGHT + LONG + LONG[:30]), "") is None
    assert padding(Case(QUESTION, THOUGHT + "好。" * 50), "") is None
