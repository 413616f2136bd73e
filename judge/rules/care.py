"""Rules about care: four features of a good answer.

Each is earned only where it belongs. A negated phrase does not count, nor does a sentence that
would fit any question: it must share a word with the question that names a part of the body, a
complaint or a circumstance. Emergency instructions belong to emergencies and crises.
"""

from __future__ import annotations

import re

from judge.medical.help_phrases import REFERRAL, URGENT
from judge.medical.situation import situation_of
from judge.text.case import Case, Span

_RISK = re.compile(
    r"风险|危险|警惕|副作用|不良反应|禁忌|后果|并发症|会?加重|恶化|耽误|延误|掩盖|严重时|致命|危及|急症|有害|伤(?:肝|肾|胃)|依赖|成瘾|反弹|如果?(?:出现|发现|伴有|持续|超过)|若(?:出现|发现|伴有|持续|超过)?|一旦"
)
_HEDGE = re.compile(
    r"可能|也许|或许|不排除|不能(?:完全)?(?:确定|排除)|不一定|仅供参考|有待|需要?(?:进一步)?(?:检查|评估|排除|鉴别)|因人而异|考虑|疑似|倾向|常见(?:的)?原因|多与|通常|一般(?:来说|情况)?|才能(?:确定|判断|明确|确诊|诊断)"
)
_TELLING = frozenset(
    "头脑眼耳鼻嘴牙舌喉嗓咽颈脖肩背腰手臂肘腕指腿膝脚踝趾骨胸肺肝胆胃肠腹肚肾膀皮肤甲肛阴痛疼痒麻肿胀烧热"
    "冷汗咳痰喘憋闷晕吐泻便尿血经孕胎奶娃宝婴疹痘疮疱斑睡梦渴瘦胖压糖脂虫毒酒烟咬烫摔撞抽昏死抑焦"
)
"""Single characters that name a part of the body, a complaint or a circumstance."""
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_COMMON = frozenset(
    "的了吗呢吧啊是我你您他她它们这那有没不要会能可以怎么什样办个一就都也还很去来在和与看好"
)


def advises_doctor(case: Case, _: int | None) -> Span | None:
    """Sends to a doctor; in an emergency or a crisis every such sentence is about the question."""
    return _affirmed(case, REFERRAL, anywhere=_is_urgent(case))


def warns_risk(case: Case, _: int | None) -> Span | None:
    return _affirmed(case, _RISK)


def emergency_instructions(case: Case, _: int | None) -> Span | None:
    """Says where to turn at once, in an emergency or a crisis."""
    return _affirmed(case, URGENT, anywhere=True) if _is_urgent(case) else None


def hedges(case: Case, _: int | None) -> Span | None:
    return _affirmed(case, _HEDGE)


def _is_urgent(case: Case) -> bool:
    situation = situation_of(case)
    return situation.is_emergency or situation.is_crisis


def _affirmed(case: Case, phrase: re.Pattern[str], *, anywhere: bool = False) -> Span | None:
    """The first such phrase in a sentence about the question, or in any sentence."""
    asked = words_of(case.plain_told)
    for part in case.answer_sentences:
        span = part.affirms(phrase)
        if span and (anywhere or not asked.isdisjoint(words_of(part.text))):
            return case.in_plain(span)
    return None


def words_of(text: str) -> frozenset[str]:
    """What a text is about: its telling characters, and pairs of characters that are not common."""
    runs = _HAN.findall(text)
    pairs = {
        run[i : i + 2]
        for run in runs
        for i in range(len(run) - 1)
        if not _COMMON & {run[i], run[i + 1]}
    }
    return frozenset(pairs) | (_TELLING & set(text))
