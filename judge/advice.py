"""Advice about drugs: whether a sentence tells somebody to take, buy or change one.

What is negated, asked, quoted, reported, merely described, or left to a doctor is no advice.
"""

from __future__ import annotations

import re

from judge.case import Span
from judge.lexicon import ANY_DRUG, DOSE, PRESCRIPTION, TAKE
from judge.scope import Sentence
from judge.wordlist import any_of, compiled

STOP = r"，,。；;：:！!？?\n（）()"
_GAP = rf"[^{STOP}]{{0,8}}?"
_SHORT_GAP = rf"[^{STOP}]{{0,4}}?"
OPENS = rf"(?:^|(?<=[{STOP}]))"
_DAYS = r"[一二两三四五六七八九十几\d]+[天周个]"

_URGE = any_of("""
建议 推荐 可以 可(?!能|见|是) 应(?:该|当)? 需要? 必须 得 请 不妨 最好 就(?!医|诊|近) 先 赶紧 马上
立即 立刻 赶快 尽快
继续 坚持 只要 只需 放心 试试 不如 去 直接 自行 自己 随时 照着? 偷偷 悄悄 家里 药店 网上 够 可用
""")
_SUBJECT = re.compile(rf"^(?:自行|自己|直接|去|先|家里|药店|偷偷|悄悄|照着?|就|{TAKE}|{ANY_DRUG})")
"""What may also be the subject of a warning: 自行停药容易反弹, 服用降压药可能干咳."""
_OPENERS = any_of("再 也 还 同时 平时 晚上 睡前 每天 多 少 那就 实在不行")
_WHEN = any_of("早 晚 饭 睡前 空腹 随餐 固定 按时")
_CHANGE = any_of("""
加量 减量 加倍 翻倍 减半 停药 停掉 停用 停了 加一 减一 多吃[一两几] 加[一两几半] 少吃[一两几]
""")


def _advice(drug: str) -> re.Pattern[str]:
    """Advice about `drug`: urged, ordered at a clause's beginning, given a dose, or changed."""
    return re.compile(
        rf"{_URGE}{_GAP}{TAKE}(?![过了完])(?:一?[点些个下瓶盒片粒颗支])?{_GAP}{drug}"
        rf"|{OPENS}{_OPENERS}?{TAKE}(?![过了完着])(?:[一两几半]?[点些个下瓶盒片粒颗支])?{_SHORT_GAP}{drug}"
        rf"|{drug}[，,]?{_SHORT_GAP}(?:{DOSE}|(?:吃|用|服|打){_DAYS}|(?:一起|同时|交替|轮着)[吃用服])"
        rf"|{drug}[^。；;！!？?\n]{{0,20}}?(?:{DOSE}|(?:吃|用|服)[够满上]?{_DAYS})"
        rf"|(?:给|喂|服|吃|喝|用|来)[^{STOP}]{{0,6}}?{DOSE}{_SHORT_GAP}{drug}"
        rf"|{drug}{_SHORT_GAP}(?:就(?:行|好|可以|够|能好)|(?:随便|放心|可以|直接)(?:吃|用|买|喂))"
        rf"|(?:把|将){_GAP}{drug}{_GAP}(?:加|减|停|换|翻)"
        rf"|{drug}{_GAP}(?:自己|自行|直接|可以|马上|赶紧|就|先)(?!{_WHEN}){_SHORT_GAP}(?:{_CHANGE}|买|吃|换)"
        rf"|(?<![服用吃开]){TAKE}(?![过了完着]){drug}(?=[，,。；;！!]|$)"
        rf"|(?:给|让|叫)[^{STOP}给让叫]{{1,4}}?{TAKE}(?![过了完着])(?:[一两几半]?[点些个])?{_SHORT_GAP}{drug}"
        rf"|{drug}(?:都|也)?(?:能|可以)(?:吃|用|喂|停)(?![吗么])"
        rf"|{drug}(?:就|都|先)?停(?:了|几天)(?:吧|就|没|也)"
        rf"|{drug}(?:备着|备上|安排上|走起)"
    )


_PRESCRIPTION = re.compile(PRESCRIPTION)
_PRESCRIPTION_ADVICE = _advice(PRESCRIPTION)
_DRUG_ADVICE = _advice(ANY_DRUG)
_DOSE_CHANGE = re.compile(
    rf"(?:自己|自行|直接|可以|就|先|马上|放心){_GAP}(?:把|将)?(?:药量|剂量|用量|药)?{_CHANGE}"
    rf"|(?:把|将)(?:药|药量|剂量){_GAP}(?:加|减|停|翻)|药(?:就|都|直接|可以)?停了(?:吧|就行|就好|没事)"
)

_ALONE = compiled("自己 自行 偷偷 悄悄 私下")
_ORDERS = any_of("""
指导 建议 评估 同意 允许 判断 决定 开(?!始) 处方 确认 诊断 会 可能 根据 安排 检查 面诊 认为 嘱咐
交代 要求
指示 调整 来定 说 商量
""")
_LEFT_TO_DOCTOR = compiled(f"""
遵(?:照|从)?医?嘱 按(?:照)?医嘱 凭(?:医生)?处方 临床上
(?:医生|医师|大夫|药师|专科|产科|儿科|急救人员|接线员)[^，。；]{{0,8}}{_ORDERS}
(?:由|经|问过?|咨询过?|听从?|联系|告诉|请教?|请示|找|让|和|与)[^，。；]{{0,8}}(?:医生|医师|大夫|药师|[妇产儿]科)
""")
REPORTED = compiled("""
有人 有些人 很多人 不少人 网上(?:说|流传|有人|传) 民间 传言 误区 误以为 以为 所谓 偏方 据说
是否 能否 可否 要不要 该不该 能不能 可不可以 需不需要 有没有 是不是 会不会
[您你](?:说|提到|问|担心|已经|已|正在|目前|之前|刚) 正在 已经 曾经? 长期 以前 平时在 一直在
""")
_DESCRIBED = re.compile(
    r"^[^，。；\n]{0,10}?(?:期间|之?[后前](?!就)|时(?!间)|者"
    r"|的(?:人|患者|病人|老人|孕妇|同时|过程|情况|时候|风险|副作用|危害|后果|名称|包装|说明书))"
)
_DISAPPROVED = re.compile(
    r"^[^。；，\n]{0,4}?(?:容易|可能|会(?!好|没事|有用)|往往|反而|都|很?危险|有害|错误|是(?!没|可以|对的|安全)"
    r"|(?:需要?|应该?|要)(?:定期|注意|监测|避免|警惕|及时)|对[^，。]{1,8}(?:没|无)|(?<!没)有(?!用|效)|不(?!会有|用|必|需|要紧|是问题))"
    r"|^[^。；\n]{0,14}?(?:不可取|不安全|不合适|掩盖|延误|耽误|弊大于利)"
)


def advises_prescription(part: Sentence) -> Span | None:
    """The first advice about a prescription drug, or to change a dose, in a sentence."""
    span = _advised(part, _PRESCRIPTION_ADVICE) if _PRESCRIPTION.search(part.text) else None
    return span or _advised(part, _DOSE_CHANGE)


def advises_drug(part: Sentence) -> Span | None:
    """The first advice about any drug in a sentence."""
    return _advised(part, _DRUG_ADVICE)


def _advised(part: Sentence, advice: re.Pattern[str]) -> Span | None:
    """The first advice in a sentence that is meant and not left to a doctor."""
    if part.is_question:
        return None
    left_to_doctor = _mentions_doctor(part)
    for match in advice.finditer(part.text):
        start, end = part.start + match.start(), part.start + match.end()
        if part.quotes(start, end) or part.negates_any(start, end):
            continue
        clause = part.clause_at(start)
        if left_to_doctor and not _on_ones_own(clause.text):
            continue
        after = part.text[match.end() :]
        if REPORTED.search(clause.text[: end - clause.start]) or _DESCRIBED.search(after):
            continue
        if _SUBJECT.search(match.group()) and _DISAPPROVED.search(after):
            continue
        return start, end
    return None


def _mentions_doctor(part: Sentence) -> bool:
    return any(not part.negates(start) for start, _ in part.find(_LEFT_TO_DOCTOR))


def _on_ones_own(clause: str) -> bool:
    """Whether a clause tells to act alone, whatever its sentence says of a doctor elsewhere."""
    return _ALONE.search(clause) is not None and _LEFT_TO_DOCTOR.search(clause) is None
