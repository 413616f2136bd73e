"""Names of persons: a surname and a given name where the words around say that it is one.

A name standing alone is not found; in medical text too many words begin with a surname (高血压,
黄疸, 白细胞). What says that it is a name: a title after it, a label or an introduction before it,
or sex and age after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SURNAMES = (
    "欧阳 上官 司马 诸葛 司徒 令狐 皇甫 尉迟 慕容 夏侯 东方 公孙 端木 长孙 宇文 独孤 南宫 "
    "王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 郭 何 高 林 罗 郑 梁 谢 宋 唐 许 韩 冯 邓 曹 彭 曾 "
    "肖 萧 田 董 袁 潘 于 蒋 蔡 余 杜 叶 程 苏 魏 吕 丁 任 沈 姚 卢 姜 崔 钟 谭 陆 汪 范 金 石 廖 贾 "
    "夏 韦 付 傅 方 白 邹 孟 熊 秦 邱 江 尹 薛 闫 阎 段 雷 侯 龙 史 陶 黎 贺 顾 毛 郝 龚 邵 万 钱 严 覃 "
    "武 戴 莫 孔 向 汤 温 康 施 文 牛 樊 葛 邢 安 齐 易 乔 伍 庞 颜 倪 庄 聂 章 鲁 岳 翟 殷 詹 申 欧 耿 "
    "关 兰 焦 俞 左 柳 甘 祝 包 宁 尚 符 舒 阮 柯 纪 梅 童 凌 毕 单 季 裴 霍 涂 成 苗 谷 盛 曲 翁 冉 骆 "
    "蓝 路 游 辛 靳 管 柴 蒙 鲍 华 喻 祁 蒲 房 滕 屈 饶 解 牟 艾 尤 阳 时 穆 农 司 卓 古 吉 缪 简 车 项 "
    "连 芦 麦 褚 娄 窦 戚 岑 景 党 宫 费 卜 冷 晏 席 卫 米 柏 宗 瞿 桂 全 佟 应 臧 闵 苟 邬 边 卞 姬 师 "
    "和 仇 栾 隋 商 刁 沙 荣 巫 寇 桑 郎 甄 丛 仲 虞 敖 巩 明 佘 池 查 麻 苑 迟 邝"
).split()
_TITLES = (
    "主任医师|副主任医师|主治医师|主治医生|住院医师|医师|医生|大夫|主任|副主任|院长|护士长|护士|教授|"
    "博士|先生|女士|小姐|老师|阿姨|叔叔|大爷|大妈|大娘|大叔|奶奶|爷爷|同志|师傅|老先生|老太太|药师|技师"
)
_LABELS = (
    "患者姓名|病人姓名|患儿姓名|姓名|名字|联系人|家属|监护人|申请人|受检者|就诊人|送检医生|主治医师|"
    "主治医生|管床医生|责任护士|接诊医生|经治医师|签名|署名|收件人|投保人|患者|病人|患儿|产妇|孕妇|死者|"
    "医师|医生|护士|主任|教授"
)
_INTRODUCED = (
    "叫|我是|我姓名是|本人|"
    "家人|孙子|孙女|同事|室友|同学|朋友|邻居|丈夫|妻子|老公|老婆|儿子|女儿|母亲|父亲|爸爸|妈妈|爷爷|奶奶|外公|外婆|"
    "表哥|表姐|表弟|表妹|哥哥|姐姐|弟弟|妹妹|舅舅|姑姑|男友|女友|老板|亲戚"
)
_NO_NAME = re.compile(
    r"某|者|人$|医|病|症|炎|癌|的|了|是|在|有|和|与|或|及|因|为|被|把|要|不|没|很|也|都|就|能|会|可|应|"
    r"[，。、；：？！\s\d]|性|期|压|糖|脂|痛|疼|热|咳|血|胃|肝|肾|肺|心$|检查|治疗|建议|需要|情况|多次|"
    r"目前|今年|长期|平时|最近|服用|出现|经常|已经|近日|妊娠|怀孕|细胞|蛋白|[胆钾钠钙氧量次月周后前术药剂片针"
    r"状感觉素酶管腔骨节肌食饮睡眠便尿汗腿手脚头眼耳鼻喉咽皮肤面腹腰背颈胸显度率值级型]"
)
"""What no given name holds, in a text about health."""
_WORDS = frozenset(
    "谢谢 感谢 关照 安胎 应向 应该 关心 和平 安心 安抚 安慰 关爱 应对 管理 解释 解答 明确 常见 金额 "
    "安静 成年 高龄 有时 时有 应当 曾有 曾在 曾于 方可 单侧 全身 双侧 查房 查体 白天 金额 万分 连日 包块 "
    "任何 卫生室 卫生院 万一 成人 常规 安全 高级 高年资 方便 关于 单位 时间 全部 全科 白班 管床 解剖 "
    "安排 主管 任课 金牌 文化 古代 成都 武汉 沈阳 上海 方面 应该 连续 明天 石家庄 冷静 尚且 包括 向上 "
    "和蔼 施行 严格 严重 温和 康复 顾客 田园 强化 雷打 祝愿 车间 计划 季节 家庭 毕业 路过 景区".split()
)
"""Words before a title that begin like a name."""
_FUNCTION = frozenset("于和从向由经给让应时单都有能须全同曾当常方后成任何查解管关包")
"""Surnames that are also common words: alone before a title they are no name."""
_NEVER_FIRST = frozenset("和应与及于从由")
"""Surnames that nearly always are another word in a sentence."""
_IN_NAMES = frozenset(
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉萍红娥玲芬燕彩春菊兰凤洁梅琳素云莲真环雪荣爱妹香月莺媛"
    "瑞凡佳嘉琼勤珍贞莉桃锦黛青倩婷姣婉娴瑾颖露瑶怡婵雁蓓纨仪荷丹蓉眉君琴蕊薇菁梦岚苑婕馨瑗琰韵融园艺咏卿聪澜纯"
    "毓悦昭冰爽琬茗羽希宁欣飘育滢馥筠柔竹霭凝晓欢霄枫芸菲寒伊亚宜可姬舒影荔枝思毅俊峰保东文辉力永健世广志义兴良海"
    "山仁波贵福生龙元国胜学祥才发武新利清飞彬富顺信子浩亮政谦亨奇固之轮翰朗伯宏言若鸣朋斌梁栋维启克伦翔旭鹏泽晨辰"
    "士以建家致树炎德行时泰盛雄琛钧冠策腾楠榕弘诚星光天达安岩中茂进林有坚和彪博绍功松善厚庆民友裕河哲江浩坤乐轩昊"
    "然宇航睿涵梓萱诗琪皓逸晗瑜铭恒展鑫婧璐淼雯楚岳宸煜熙沐恩慧小大少长远征洪礼孝忠康智勋震霖宝珠凯旋野牧歌川渊源"
    "礼贤振坚威亦齐尧舜禹培延金银石玮琦琅璇瑄珊玥珂培益赞原方圆正阳景辉映晖晴暄昕昱朝暮冬夏秋菡萌苗蕾芝芷苓茜茹莎"
    "莹萧葵蔓蕙藜穆邈骞翎翱翠翼聆胤腾臻舟航良艾芃苒迅迪逍遥邦郁采铁锋锐镇阔陶雅雷震霏靖音韬顶频颂飒馗驰骏魁鸿鹤鹭"
    "麒麟黎默乔人仙代优传伶佩侠信健儒元先克兆冉冶净凌勃勉北千升卓博双叶吟周唯喜嘉四图坦城基堂墨声奎好如妍妙姗姝姿"
)
"""Characters that given names are mostly made of."""
_FOLLOWS = (
    "的|诉|说|称|因|于|主|以|测|签|晕|带|照顾|住院|入院|就诊|出生|突然|今天|昨天|昨晚|今年|现在|一直|最近|"
    "在|把|被|已|未|还|也|和|与|对|有|想|要|来|去|给|让|问|陪|术后|病情|情况"
)
"""What may follow a name in the middle of a sentence."""
_SURNAME = f"(?:{'|'.join(SURNAMES)})"
_GIVEN = r"[\u4e00-\u9fff]"
_START = r"(?:^|(?<=[，。；：、！？\s“”\"'（(《【\n:,.;!?的给找问请谢看是由经向让叫跟和与到男女]))"

_BEFORE_TITLE = re.compile(rf"({_SURNAME}{_GIVEN}{{0,2}}?)(?={_TITLES})")
_AFTER_LABEL = re.compile(
    rf"(?:{_LABELS})(?:\s*(?:是|为|叫|:|：)\s*|\s+|(?=[^\W\d_]))({_SURNAME}{_GIVEN}{{1,2}}?)"
    rf"(?=[，。、；：,.;（(）)\s]|$|[男女]|\d+岁|{_FOLLOWS})"
)
_AFTER_INTRODUCTION = re.compile(
    rf"(?:{_INTRODUCED})(?:\s*[:：]?\s*)({_SURNAME}{_GIVEN}{{1,2}}?)(?=[，。、；,.;（(\s]|$|[男女]，|\d|{_FOLLOWS})"
)
_BEFORE_SEX = re.compile(
    rf"{_START}({_SURNAME}{_GIVEN}{{1,2}}?)(?=\s*[，,、（(/ ]\s*(?:[男女](?:性|孩|童|士)?\s*[，,、）)/ 。]|\d{{1,3}}\s*岁))"
)
_ENGLISH_TITLE = re.compile(
    r"\b(?:Dr|Doctor|Mr|Mrs|Ms|Miss|Prof|Professor|Nurse|Sister)\.?\s+"
    r"((?:[A-Z]\.\s?)?(?:O')?[A-Z][a-z]+(?:[-'][A-Z][a-z]+)?(?:\s+(?:O')?[A-Z][a-z]+(?:[-'][A-Z][a-z]+)?)?)"
)
_ENGLISH_LABEL = re.compile(
    r"(?:(?i:\b(?:name|patient|my name is|i am|i'm|this is|contact|next of kin|guardian|named|called|"
    r"signed|regards|sincerely|husband|wife|son|daughter|mother|father)\b)(?:\s*[:,]\s*|\s+|\s*\n\s*))"
    r"((?:O')?[A-Z][a-z]+(?:[-'][A-Z][a-z]+)?\s+(?:[A-Z]\.\s+)?(?:O')?[A-Z][a-z]+(?:[-'][A-Z][a-z]+)?)"
)
_NO_ENGLISH_NAME = re.compile(
    r"\b(?:The|This|Type|Blood|Heart|Is|Has|Was|Will|Who|With|Please|Take|Grade|Stage|Crohn|Parkinson|"
    r"Alzheimer|Down|Disease|Syndrome|Hospital|Clinic|Center|Centre|Safety|Education|Health|Care|History|Enterprises|Company|Foundation|University|Google|Internet|Who)\b"
)


def find(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every name."""
    for match in _BEFORE_TITLE.finditer(text):
        start = _start_of_name(text, match.start(1), match[1])
        if start is not None:
            yield start, match.end(1)
    for pattern in (_AFTER_LABEL, _AFTER_INTRODUCTION, _BEFORE_SEX):
        for match in pattern.finditer(text):
            is_word = match[1][:2] in _WORDS or match[1][0] in _NEVER_FIRST
            if not is_word and not _NO_NAME.search(_given(match[1])):
                yield match.span(1)
    for match in _LIKELY.finditer(text):
        is_word = match[1][:2] in _WORDS or match[1][0] in _FUNCTION
        if not is_word and _looks_like_one(match[1]):
            yield match.span(1)
    if not text.isascii() and not re.search("[A-Z][a-z]", text):
        return
    for pattern in (_ENGLISH_TITLE, _ENGLISH_LABEL):
        for match in pattern.finditer(text):
            if not _NO_ENGLISH_NAME.search(match[1]):
                yield match.span(1)


def _start_of_name(text: str, start: int, name: str) -> int | None:
    """Where a name before a title begins; None if the words are none."""
    given = _given(name)
    if name in _WORDS or (given and _NO_NAME.search(given)):
        return None
    opens = not start or bool(_OPENS.match(text[start - 1]))
    opens = opens or bool(_AFTER_RELATION.search(text[max(0, start - 3) : start]))
    if not given:
        return start if opens and name not in _FUNCTION else None
    return start if opens or (_looks_like_one(name) and text[start - 1] != "帕") else None


def _looks_like_one(name: str) -> bool:
    """Whether the given name has two characters, both common in names."""
    given = _given(name)
    return len(given) == 2 and set(given) <= _IN_NAMES and not _NO_NAME.search(given)


_LIKELY = re.compile(rf"(?:{_LABELS}|{_INTRODUCED}|爱人|家长|户名)({_SURNAME}{_GIVEN}{{2}})")
"""After a label or a relation, whatever comes next."""
_AFTER_RELATION = re.compile(rf"(?:{_INTRODUCED})$")
_OPENS = re.compile(r"[^\u4e00-\u9fff]|[的给找问请谢看是由经向让叫跟和与到位约挂由了天晚早]")
"""What a name may follow."""


def _given(name: str) -> str:
    compound = name[:2] in SURNAMES and len(name) > 2
    return name[2:] if compound else name[1:]
