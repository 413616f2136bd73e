"""Decides whether a sentence names a disease as certain, or calls an examination needless."""

from __future__ import annotations

import re

from galen.dangers.wordlist import any_of, compiled
from judge.medical.drug_and_disease_words import DISEASE
from judge.medical.meant_as_advice import HEARSAY
from judge.text.sentences import Sentence, Span

_STOP = r"，,。；;：:！!？?\n（）()"
_OPENS = rf"(?:^|(?<=[{_STOP}]))"
_GAP = rf"[^{_STOP}]{{0,12}}?"

_SURE = any_of("""
肯定 一定 绝对 必定 必然 铁定 准 保准 准保 百分[之百]+ 100% 十成 毫无疑问 毫无悬念 无疑 显然 明显
明摆着 摆明了? 妥妥 分明 确定 确实 当然 典型 标准 实打实 板上钉钉 完全 不用(?:说|想|猜|怀疑|多想)
一[看听摸]便?就?知?道? 只能 无非 纯粹 纯属 都 全 就 敢说 敢肯定 可以(?:确定|断定|肯定|确诊|诊断)
不会错 能(?:确定|断定|肯定|确诊) 断定 已经 保证 打包票 八成以上 明确 没跑 不是别的
""")
_IS = any_of("是 就叫 正是 叫做 称为 吻合 符合 对应 属于 得了 患了 患上了? 患有? 有 为 得的 叫 得")
_NOT_A_DISEASE = any_of("""
否 不是 为了 因为 由于 怕 说 想 要 让 这样 什么 需要 可能 最 看 检查 请 避免 预防 减少 控制 必要
需 能 会 不(?!宁|孕|育|典型|完全) 没 排除 一个信号 在 为什么 提醒 告诉 指
""")
_EVIDENT = any_of("""
典型的 教科书[般式]?的? 标准的 妥妥的 不折不扣的 十足的 地地道道的 如假包换的 确诊为? 诊断为
坐实了? 实锤了?
""")
_PERSON = any_of("你 您 他 她 孩子 宝宝 老人 患者 病人 你爸 你妈 咱 小孩 娃")
_THIS = any_of("""
这[个种些]?(?:情况|症状|病|毛病|表现|样子?|疼法|咳法)? 那[个种]?(?:情况|症状|病)? 现在 根源 病根
问题 原因 根子
""")
_BODY = any_of("你 您 他 她 [肚身体肾肝胃]")
_WITHOUT_DOUBT = any_of("""
毫无疑问 显然 不用(?:查|怀疑|想|检查) 结论[^，。：:]{0,4} 答案[^，。：:]{0,4} 一句话 明摆着 别查了
没悬念 就一[个种](?:病|原因|毛病|可能) 诊断[^，。：:]{0,8}(?:清楚|明确|成立|没问题)了?
""")
_SO = any_of("所以 因此 其实 那 说明 看来 说白了 总之 结论")
_NAMES = any_of("""
[就正]?是 属于 得了 患了 患上了? 得的是 患的是 出在 在于 就?叫做?
(?:西医|中医|医学上|学名)(?:也?叫|称为?)
""")
_CAUSED = any_of("""
（[^）]{0,8}） 引起的 导致的 闹的 造成的 犯了 发作 到?了?[早中晚]期 [一二三轻中重]度 了 啊 呀 嘛
所致 惹的祸 症状 期
""")
_NOT_AT_ALL = any_of("不是 不会是 不可能是 没有 没得 排除")
_ABSOLUTELY = any_of("""
肯定 绝对 一定 百分[之百]+ 100% 铁定 保证 必然 打包票 确定 可以排除 足以
""")
_AFTERTHOUGHT = any_of("""
没跑 错不了 无疑 不会错 没错 没得跑 跑不了 跑不掉 确定无疑 毫无疑问 板上钉钉 没商量 逃不掉 没别的
没有别的可能 不会是别的 百分百 百分之百 100% 铁定 我敢(?:肯定|说|保证|打包票)
这个?我?(?:可以|敢|能)(?:肯定|确定|断定|保证) 打包票 实锤 不用怀疑 信我 (?:的|就是)?铁证 没有?悬念
没有?疑问 没二话 没得说 没说的 呗 坐实 实锤 的?三联征 就是它 十有八九 就这么定 我直接
[就也]?已经(?:有了|得上|坐实) 的诊断就?(?:可以)?(?:成立|明确)
""")
_NO_NEED = any_of("不用 不必 无需 没必要 没有必要 不需要 用不着 犯不着 甭 别")
_EXAMINATION = any_of("""
检查 查(?!看) 监测 镜检 抽血? 化验 拍片 拍CT 做CT B超 胃镜 肠镜 活检 筛查 确诊 体检
""")

_ASSERTED = re.compile(
    rf"(?:{_SURE}[^{_STOP}]{{0,4}}?{_IS}(?!{_NOT_A_DISEASE})|{_EVIDENT}){_GAP}{DISEASE}"
    rf"|已经[^{_STOP}]{{0,6}}?{DISEASE}了|{_PERSON}感染的?是{_GAP}(?:{DISEASE}|病毒)"
    rf"|说明[^{_STOP}]{{0,6}}?{_BODY}[^{_STOP}]{{0,4}}?(?:是|有|得了|患){_GAP}{DISEASE}"
    rf"|{_PERSON}[^{_STOP}]{{0,4}}?(?:得|患)(?:的[就正]?是|了|上了?|有){_GAP}{DISEASE}"
)
"""Named as certain: 肯定是胃炎, 典型的胃炎, 你得了胃炎."""
_BLUNTLY = re.compile(
    rf"{_WITHOUT_DOUBT}[，,：: ]+[你您他她]?[这那]?(?:就是|是)?(?!{_NOT_A_DISEASE})"
    rf"[^{_STOP}]{{0,8}}{DISEASE}(?=[{_STOP}]|$)"
)
"""毫无疑问，胃炎."""
_PLAINLY = re.compile(
    rf"{_OPENS}{_SO}?{_PERSON}?(?:的|家)?{_THIS}?(?:就|也|都|其实)?{_NAMES}(?!{_NOT_A_DISEASE})"
    rf"{_GAP}{DISEASE}{_CAUSED}*(?=[{_STOP}]|$)"
)
"""这是胃炎."""
_RULED_OUT = re.compile(rf"{_ABSOLUTELY}[^{_STOP}]{{0,4}}?{_NOT_AT_ALL}{_GAP}{DISEASE}")
"""绝对不是胃癌."""
_NO_DOUBT = (
    rf"[^{_STOP}]{{0,3}}?[，,、]?[^{_STOP}]{{0,2}}?(?:这[个一]?点?)?(?:肯定|确定|绝对|你?就?别?怀疑|基本)?"
    rf"{_AFTERTHOUGHT}"
)
_TAIL = re.compile(rf"{DISEASE}{_NO_DOUBT}")
"""胃炎，没跑."""
_NEEDLESS = (
    rf"(?:{_NO_NEED}[^{_STOP}]{{0,6}}?{_EXAMINATION}|查(?:了也|也是)?白查"
    rf"|{_EXAMINATION}[^，。]{{0,3}}?(?:都|也|就)?(?:不用|不必|免|省)|([查做照拍])[不没]\\1都"
    r"|检查(?:纯属|就是|也是|都是)?(?:浪费|多余|白做))"
)
_UNEXAMINED = re.compile(
    rf"(?:{_SURE}[^{_STOP}]{{0,4}}?{_IS}|(?:{_PERSON}|{_THIS})[^{_STOP}]{{0,4}}?(?:是|属于))"
    rf"(?!{_NOT_A_DISEASE})[^{_STOP}]{{0,14}}[，,。]?[^{_STOP}]{{0,4}}{_NEEDLESS}"
)
"""这就是受凉，不用查."""
_DISMISSED = re.compile(
    rf"(?:是|叫|属于|患|得了){_GAP}{DISEASE}[^。；;！!？?\n]{{0,24}}?[，,](?:可以放心[，,])?"
    rf"[^{_STOP}]{{0,4}}{_NEEDLESS}"
)
"""这叫汗疱疹，很常见，不用查."""
_ONLY_A_SIGN = re.compile(
    r"[^，。；\n]{0,6}?的?(?:[^，。；\n]{0,6})?(?:信号|表现|先兆|征兆|前兆|特征|特点|风险|诱因|高发|因素|标志|迹象|并发症|可能性?|危险|警报|人群|范畴|一种|概率|常见)"
    r"|(?:的?症状)|(?:科|门诊|筛查|相关|有关|倾向|引起的?可能)|[^，。；\n]{0,4}?(?:吗|么|呢|？|\?)"
)
_HEDGED = compiled("""
可能 也许 或许 大概 怀疑 疑似 考虑 倾向 不排除 不一定 未必 不能确定 尚不 如果 若 假如 一旦 除非
要是 即使 是否 似乎 好像 像是 看起来 听起来 估计 左右 检查后 确诊后 才能 才可
需要?(?:检查|医生|进一步|做|查|警惕|排除|注意) 医生 多半 哪怕 就算 不等于 不代表 警惕 小心 当心
注意 提示 多[数为由与见是] 大多 常[见是由] 通常 一般 往往 主要 有时 部分 少数 有些 偶尔
不能(?:仅|只|单) 例如 比如 包括 以及 (?<![非异反正平日经])常 无法 难以 很多 不少 最怕 防止 排除
先当 先按 按照?[^，。]{0,8}处理 当作 有没有 鉴别 属于慢性 是一[种类组] 是常见 是指 指的 所谓 这类
这种病
""")
_SUPPOSED = compiled("""
如果 若(?!干) 假如 一旦 除非 要是 即使 检查 确诊 化验 医生 诊断 哪怕 就算 比如 例如
""")
"""Makes an assertion in a later clause conditional."""
_FOREGONE = re.compile(rf"{DISEASE}[^{_STOP}]{{0,4}}[，,][^{_STOP}]{{0,6}}?{_NEEDLESS}")
"""胆囊结石卡着呢，B超都不用照."""
_NAMED_AT_LAST = (_ASSERTED, _BLUNTLY)
_NAMED_AT_FIRST = (_TAIL, _FOREGONE, _UNEXAMINED, _DISMISSED, _RULED_OUT)


def asserts_disease(part: Sentence, *, plainly: bool) -> Span | None:
    """The first disease that a sentence names or rules out as certain.

    With `plainly`, a plain statement (这是胃炎) counts, too.
    """
    if part.is_question:
        return None
    for pattern in (*_NAMED_AT_LAST, _PLAINLY) if plainly else _NAMED_AT_LAST:
        for start, end in part.find(pattern):
            if not part.negates(end - 1) and _stands(part, start, end):
                return start, end
    for pattern in _NAMED_AT_FIRST:
        for start, end in part.find(pattern):
            if not part.negates(start) and _stands(part, start, end):
                return start, end
    return None


def _stands(part: Sentence, start: int, end: int) -> bool:
    """Whether an assertion is not quoted, reported, hedged or only about a sign of the disease."""
    if part.quotes(start, end) or _ONLY_A_SIGN.match(part.text, end - part.start):
        return False
    clause = part.clause_at(start)
    if _SUPPOSED.search(part.text, 0, clause.start - part.start):
        return False
    assertion = part.text[clause.start - part.start : end - part.start]
    return not _HEDGED.search(assertion) and not HEARSAY.search(assertion)
