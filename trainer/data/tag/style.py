"""How hard a question is, and how it is worded."""

from __future__ import annotations

from galen.dangers.wordlist import compiled
from galen.records import Risk
from trainer.data.tag.signs import matches

_WRITTEN = compiled("""
应(?:该)?(?:如何|何时|使用|做|注意|备|查|怎样|[^，。吃]{0,4}(?:哪些|什么)) 如何 何种 何谓 何时
何不同 有何 是否 能否 请(?:问|说明|描述|分析|列举|根据|解释|给出) 什么是 患者 患儿 论述 简述
需要(?:多久|做哪些|如何) 多久复查 为多少 是多少 之间 以及 伴有? 下列 哪[种项些] 诊断 检查(?:前|后)
可能是什么 应注意
""")
_SPOKEN = compiled("""
[吗呢吧啊呀嘛哦啦咋嗯] 咋 啥 我[爸妈爷奶弟哥姐妹儿女老家的]? 娃 宝宝 怎么办 怎么弄
老(?:是|觉得|想|公|婆) 特别 有点 要紧 不行 行不行 挺 得很 (?<![a-z])i(?![a-z])
(?<![a-z])my(?![a-z]) (?<![a-z])me(?![a-z]) can't
""")
_CHRONIC = compiled("""
高血压 糖尿病 冠心病 哮喘 癫痫 肝硬化 肾功能不全 甲亢 抑郁 痛风 支架 乙肝 溃疡 慢性 肿瘤 癌 化疗
前列腺
""")
_SYMPTOMS = compiled("""
[疼痛酸] 痒 肿 咳 烧 吐 血 晕 麻 喘 泻 拉 胀 闷 慌 抖 瘦 汗 黄 红 失眠 睡不着
""")
_LONG = compiled("""
[两二三四五六七八九几半十]个?多?(?:周|星期|月)(?!大) [一两二三几半]年 反复 长期 慢性 每个?月
越来越 经常 weeks months
""")


def complexity(text: str, risk: Risk) -> tuple[int, str]:
    """1: one everyday complaint. 3: an emergency, or several diseases at once."""
    diseases = matches(_CHRONIC, text)
    if risk == "critical" or len(diseases) > 2:
        return 3, "critical" if risk == "critical" else ", ".join(diseases)
    if risk == "high":
        return 2, "high risk"
    if risk == "medium" and (long := matches(_LONG, text)):
        return 2, ", ".join(long)
    symptoms = matches(_SYMPTOMS, text)
    if risk == "medium" and (diseases or len(symptoms) > 1):
        return 2, ", ".join(diseases or symptoms)
    return 1, "one everyday complaint or question"


def lang_style(text: str) -> tuple[str, str]:
    """口语 (colloquial) or 书面 (written)."""
    written, spoken = matches(_WRITTEN, text), matches(_SPOKEN, text)
    if len(written) > len(spoken) or (written and len(written) == len(spoken) and len(text) > 80):
        return "书面", ", ".join(written)
    return "口语", ", ".join(spoken) or "no written form"
