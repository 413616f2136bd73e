"""How much harm a question's matter may do, from the signs in its words."""

from __future__ import annotations

import re

from galen.dangers.despair import CRISIS, FAREWELLS, IDLE_TALK
from galen.dangers.emergencies import EMERGENCIES
from galen.dangers.wordlist import compiled
from galen.records import Risk
from trainer.data.tag.dangers import CRISIS_ENGLISH, CRITICAL, HIGH, MEDIUM
from trainer.data.tag.signs import Sign, first_of, said

_PERSON = compiled("""
[我俺咱您] 老[公婆] 宝宝 娃 爸 妈 爷 奶 孩子 儿子 女儿 同事 朋友
(?<![a-z])i(?![a-z]) (?<![a-z])my(?![a-z]) (?<![a-z])we(?![a-z])
""")
_NOW = compiled("突然 突发 刚才 目前 今[晨天早晚]")
_TOPIC = compiled("""
什么是 何谓 有何(?:不同|区别) 有什么(?:不同|区别) 区别 如何预防 怎么预防 科普
(?:频率|范围|摄入量)[^，。]{0,4}(?:是|为)多少 应备 定义 原理 的历史 疫苗 检查前
what\\s(?:is|are)\\s(?:a|the)?
""")
_CASE = compiled("""
[一某][名位例个]\\d*岁?[^，。我]{0,12}(?:患者|病人|男|女|患儿|产妇|孕妇|老人)
(?:患者|病人)?[,，]?[男女]性?[,，]\\s*\\d+\\s*(?:岁|个?月|天)
\\d{1,3}岁[^，。我]{0,4}(?:男|女|患者|患儿|孕妇) 患者 患儿 产妇 \\n\\s*A[.、．] a\\s\\d+-year-old
""")
_EXAM = compiled("""
诊断 最可能 首选 应首先 首先应 考虑[为是什] 哪[一种项个些类] 何种
什么(?:疾病|病|证|方剂|问题|药物) 原因是 请根据 根据[^，。]{0,12}(?:症状|检查|情况) 查体 治疗方案
治法 \\n\\s*A[.、．] 请(?:分析|判断|说明|估计) most\\slikely
""")


def risk_level(text: str) -> tuple[Risk, str]:
    """The level, with the sign that decided and its words."""
    if despair := _despair(text):
        return "critical", f"suicide or self-harm: {despair}"
    is_of_someone = said(_PERSON, text) is not None
    if (topic := said(_TOPIC, text)) and not is_of_someone and not said(_NOW, text):
        return "low", f"a question of knowledge: {topic}"
    is_case = said(_CASE, text) and said(_EXAM, text) and not is_of_someone
    if danger := first_of(CRITICAL, text) or _emergency(text):
        return ("high", f"a textbook case of an {danger}") if is_case else ("critical", danger)
    if danger := first_of(HIGH, text):
        return "high", danger
    if concern := first_of(MEDIUM, text):
        return "medium", concern
    return ("medium", "a textbook case") if is_case else ("low", "no sign of danger")


_EMERGENCIES = tuple(Sign("emergency", groups) for groups in EMERGENCIES)
_ANY_EMERGENCY = re.compile("|".join(signs[0].pattern for signs in EMERGENCIES))
"""The first sign of any emergency: one search dismisses most questions."""
_FAREWELLS = tuple(Sign("farewell", groups) for groups in FAREWELLS)


def _emergency(text: str) -> str | None:
    return first_of(_EMERGENCIES, text) if _ANY_EMERGENCY.search(text) else None


def _despair(text: str) -> str | None:
    meant = IDLE_TALK.sub("，", text)
    return said(CRISIS, meant) or said(CRISIS_ENGLISH, meant) or first_of(_FAREWELLS, meant)
