"""Decides whether words are meant as advice.

They are not if they are asked, quoted, negated, reported, hypothetical, descriptive, warned against
or left to a doctor.
"""

from __future__ import annotations

import re

from galen.dangers.wordlist import any_of, compiled
from judge.text.sentences import Clause, Sentence, Span

_DOCTOR = "(?:医生|医师|大夫|药师|专科|产科|儿科|医护|专业人员|专业人士|急救人员|接线员|营养师)"
_ORDERS = any_of("""
指导 建议 评估 同意 允许 判断 决定 开(?!始|的那|的太|的量|得太) 处方 确认 诊断
会(?!骗|吓|让你做一堆) 可能 根据 安排 检查 面诊 认为 嘱咐 交代 要求 指示 调整 来定
说(?!的?(?:都|不)) 商量 选 权衡 监测 给(?!您?你?开的太) 沟通 随访 制定 把关 看[过后] 拍板
查过?[^，。；]{0,6}[才再] 定(?!期) 做主 答复 点头 拿主意
""")
_LEFT_TO_DOCTOR = compiled(f"""
遵(?:照|从)?医?嘱 [按照看听依随凭谨](?:照|从)?医(?:生|师|院)?(?:的)?(?:嘱|说|吩咐|要求|方案|处方)
凭(?:医生|医师)?的?处方 (?:需要?|须|必须|持|有)[^，。；]{{0,4}}处方(?!药) 临床上
{_DOCTOR}[^，。；]{{0,8}}{_ORDERS}
(?:由|经|问过?|咨询过?|听从?|联系|告诉|请教?|请示|找|让|和|与|跟|同)[^，。；]{{0,8}}(?:医生|医师|大夫|药师|[妇产儿]科)
(?:就医|就诊|确诊|面诊|评估|看过?医生|看过?大夫|检查|化验)(?:之?后|明确后|再)
开[^，。；]{{0,8}}的[^，。；]{{0,6}}(?:医生|大夫)
按照?医生[^，。；]{{0,4}}(?:写|开|定|教|给|交代|嘱咐) 听医生 医生面前 专业指导
[交拿带]给[^，。；]{{0,6}}(?:医生|大夫|药师|专业)
""")
_DISMISSED = compiled("""
太慢 太贵 太麻烦 嫌麻烦 没[时空]间? 等不及 来不及 也就(?:是|那样) 吓唬 骗 忽悠 小题大做 太保守
太谨慎 管不着 不懂 多半也是 也是开 还不是 都是
[肯一]?定?也?(?:会|就是?)开(?:这个|这些|它|头孢|一样) 开的太 开的量太
""")
"""Phrases that dismiss the doctor whom the sentence mentions."""
_ORDERED_THEN = compiled("""
上次 上回 以前 之前 去年 前年 原来 从前 当时 剩 别人 朋友 同事 邻居 老公 老婆 爸 妈
""")
_CONTRAST = compiled("""
但(?!是?请|是?要问|是?需|是?要先|是?应) 不过(?!请|要问|需|应) 可是 其实 只是 不然 否则
""")
_DEFERRED = compiled("""
(?:再|才)(?:去|到|看|考虑|问|找|说|咨询|联系|就[医诊]|和|跟|让|由|请|听) 不行再 不好再 实在不行
以后再 回头 有空 有时间
""")
_ALONE = compiled("自己 自行 偷偷 悄悄 私下 直接 干脆 索性 药店 网购 网上 瞒着 甭管 别告诉")

HEARSAY = compiled("""
有人 有些人 很多人 不少人 许多人 一些人 [很许]?多(?:家长|患者|病人|老人|朋友) 有的(?:人|家长|患者)
网上都?(?:说|流传|有人|传|很多) 民间 传言 误区 误以为 以为 所谓 偏方(?=说|里) 据说 认为 担心 觉得
想着 想要 打算 是否 能否 可否 要不要 该不该 能不能 可不可以 需不需要 有没有 是不是 会不会 应不应该
什么时候 怎么(?=吃|用|停|减) 如何 为什么 [您你](?:说|提到|问|担心) 临床上 指南 研究 书上 机制
治疗上 凡是
""")
_HISTORY = compiled("""
[您你](?:已经|已|正在|目前|之前|刚|现在) 正在 已经 曾经? 长期 以前 平时在 一直在
(?:^|[，。])之前(?!先) 目前 (?<!现)在[吃服用打](?!前) 当年 经常 频繁 反复 每次都 通常(?:需要?|会)
往往 常常 常需 一般需要? 有时需?要?会? 部分 少数 多数 可能(?:会|需|要|就)? 也许 或许
""")
_RESUMED = compiled("""
继续 接着 照 再 也(?=可以|能|行|没) 这次 直接 就(?![诊医]) 可以 放心 建议 请 先 马上 赶紧 尽管
随便
""")
"""Turns a history into advice: 以前吃过头孢没事，这次直接吃."""
_SUPPOSED = compiled("""
如果 若 要是 一旦 假如 假若 倘若 万一 除非 即使 即便 哪怕 就算 凡 只有 无论 不论 不管
""")
_THEN = compiled("就(?![诊医]) 可以 那 请 便(?![秘血]) 直接 先 马上 都 能 也")
_DESCRIBED = re.compile(
    r"[^，。；\n]{0,10}?(?:期间|(?<![天周月年饭餐睡时服])之?[后前](?!就|再)|(?<![及按小同])时(?![间候不])|(?<!或)者"
    r"|的(?:人|患者|病人|老人|孕妇|同时|过程|情况|时候|风险|副作用|危害|后果|名称|包装|说明书|话|原则|目的|问题))"
)
_HARM = compiled("""
容易 可能 会(?![好没有]|更好|舒服|见效) 往往 反而 很?危险 有害 错误
(?<!没)有(?![用效了些点事空时]|什么|啥) 风险 不可取 不安全 不合适 不对 不好 掩盖 延误 耽误
弊大于利 伤(?=[身肝肾胃]) 导致 引起 造成 增加 加重 依赖 成瘾 耐药 中毒 无效 没用 没有用 没效
没有效 无益 没有?(?:帮助|好处|意义|必要|作用|效果|根据) 帮不上 解决不了 治不了 代替
是(?![没对可安最首正好]|一|安全|有用|必须) 都[是会不] 副作用 得不偿失
(?:需要?|应该?|要)(?:定期|注意|监测|避免|警惕|及时|谨慎|慎重|小心|严格|权衡|评估|考虑|由|在|经|有|根据)
谨慎 慎重 不等于 不代表 不能 不宜 不建议 不推荐 不利 不必 不(?=适合|足以|是)
""")
_WARNED_NEXT = re.compile(
    r"^(?:这样?|那样?|既|又|反而|容易|往往|很|只会|不但|不仅|弊|可能(?!好)|会(?![好没有])|都会|也会|甚至)"
    r"[^，。；\n]{0,8}?(?:出现|引起|诱发|反弹|复发|危险|有害|伤|风险|掩盖|耽误|延误|依赖|成瘾|耐药|加重|中毒|反弹|不[对好行妥安可]|错|引起|导致|造成|影响)"
)
_HURTS_NEXT = re.compile(
    r"^[^，。；\n]{0,5}?(?:有?可能|容易|往往)(?![^，。；\n]*(?:好(?![几多久不])|缓解|退|消|见效|管用|没事|舒服|行))"
)
_RISK_NEXT = re.compile(
    r"^[^，。；\n]{0,6}?(?:风险|危险)(?:会|也|就|更|较)?(?:上升|增加|升高|高|大)"
)
_WARNINGS_NEXT = (_WARNED_NEXT, _RISK_NEXT, _HURTS_NEXT)
_FIRM = compiled("建议 推荐 不妨 最好 赶紧 放心 试试 大胆 尽管 赶快 马上 立刻 立即")
_CAREFUL = compiled("""
(?:一般|通常|固定|最好)在?(?:早上?|晚上?|睡前|饭前|饭后|空腹|随餐|早餐前?)[^，。；]{0,8}?[吃服]用?(?![^，。；]{0,3}[一两半几\\d][片粒])
固定[吃服] 按时 规律 按疗程 足疗程 全程 谨慎 慎重 照常 原剂量 平时的量 凭处方 权衡 慎用 严格
适应证 适应症 指征
""")
"""Instructions for a prescribed drug, as opposed to self-medication."""


def is_meant(part: Sentence, drug: Span, deed: Span, *, denies: bool = False) -> bool:
    """Whether a drug and an action with it are meant as advice.

    With `denies` the action is itself a negation (不用再吃), so only an earlier one undoes it.
    """
    start, end = min(drug[0], deed[0]), max(drug[1], deed[1])
    if part.is_question or part.quotes(start, end):
        return False
    clause, last = part.clause_at(start), part.clause_at(end - 1)
    if denies:
        if any(low < start <= high for low, high in part.negated):
            return False
    elif part.negates_any(*drug) or part.negates_any(*deed) or _is_careful(clause, last):
        return False
    if _is_left_to_doctor(part, clause, start):
        return False
    before = clause.text[: deed[0] - clause.start]
    if _is_report(before, part.text[clause.start - part.start : end - part.start]):
        return False
    if _is_supposed(clause, deed[0]) or _DESCRIBED.match(part.text, end - part.start):
        return False
    if _FIRM.search(part.text, clause.start - part.start, end - part.start):
        return True
    return not _is_warned_against(part, last, end)


def _is_careful(*clauses: Clause) -> bool:
    return any(_CAREFUL.search(clause.text) for clause in clauses)


def _is_left_to_doctor(part: Sentence, clause: Clause, start: int) -> bool:
    for low, high in part.find(_LEFT_TO_DOCTOR):
        if part.negates(low):
            continue
        where = part.clause_at(low)
        if _DISMISSED.search(where.text) or _DEFERRED.search(where.text[: high - where.start + 1]):
            continue
        if _ORDERED_THEN.search(where.text) and "嘱" not in where.text:
            continue
        between = part.text[high - part.start : start - part.start]
        if low < start and (_CONTRAST.search(between) or _DISMISSED.search(between)):
            continue
        if where.index == clause.index or not _ALONE.search(clause.text):
            return True
    return False


def _is_report(before: str, within: str) -> bool:
    """Whether a clause reports what others say, or what the person does or did already."""
    if HEARSAY.search(within):
        return True
    history = _HISTORY.search(before) or _HISTORY.match(within)
    return history is not None and not _RESUMED.search(before, history.end())


def _is_supposed(clause: Clause, start: int) -> bool:
    """Whether the words are only a condition: 如果吃了头孢 is one, 如果疼就吃头孢 is advice."""
    supposed = _SUPPOSED.search(clause.text)
    if supposed is None or supposed.start() > start - clause.start:
        return False
    return _THEN.search(clause.text, supposed.end(), start - clause.start + 1) is None


def _is_warned_against(part: Sentence, clause: Clause, end: int) -> bool:
    """Whether a harm is named after the action, in its clause or at the start of the next one."""
    rest = clause.text[end - clause.start :]
    for harm in _HARM.finditer(rest[:20]):
        if not part.negates(end + harm.start()) or _HARM_NEGATES.match(harm.group()):
            return True
    following = part.clauses[clause.index + 1 : clause.index + 2]
    return any(warning.match(on.text) for on in following for warning in _WARNINGS_NEXT)


_HARM_NEGATES = re.compile("不|没|无|帮不|解决不|治不")
"""A harm that begins with a negation does not negate itself."""
