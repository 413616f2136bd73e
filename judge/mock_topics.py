"""What a text is about, for the rehearsal's teacher: everyday complaints by their words."""

from __future__ import annotations

import re

_WORDS = {
    "nose": "鼻|涕|喷嚏",
    "cough": "咳|痰",
    "throat": "喉咙|嗓子|咽喉|咽口水",
    "fever": "发烧|发热|低烧|高烧|体温|[娃宝]烧|身上发烫",
    "headache": "头痛|头疼|脑袋|太阳穴|后脑勺|头像要",
    "dizziness": "头晕|发黑|一转头|头昏|晕乎",
    "sleep": "失眠|睡不着|凌晨醒|入睡|多梦",
    "numbness": "麻(?!疹)",
    "stomach": "胃|上腹|反酸|烧心|返|躺下就|后面烧",
    "diarrhoea": "拉肚子|拉[五四]|大便[很稀]|拉稀|水样便|坏[了]?肚子",
    "constipation": "便秘|大便一次|大便很干|解大?便|解大便",
    "bloating": "腹胀|肚子胀|肚子鼓|胃胀|肚子里都是气|打嗝",
    "nausea": "恶心|想吐",
    "piles": "痔|鲜血|手纸|肛门",
    "back": "腰痛|腰酸|腰扭|弯腰|腰那里|腰肌",
    "neck": "颈|脖子|肩|落枕",
    "knee": "膝|走多了|蹲下|下楼",
    "ankle": "踝|崴|扭了脚",
    "joints": "关节|发僵",
    "gout": "痛风|脚趾[头关红]|大脚趾|脚趾痛",
    "heart": "心慌|心跳|心里扑|心脏",
    "blood pressure": "血压|高压",
    "blood sugar": "血糖|口渴|尿多|喝水、小便|喝水上厕|想喝水|胰岛素|糖尿病|降糖药",
    "thyroid": "甲状腺|疙瘩",
    "skin": "疹|风团|红印|皮肤|红点",
    "acne": "痘|痤疮",
    "hair": "头发|掉一大把|脱发|发际线",
    "feet": "脚气|脚趾缝|脚上起|脚痒|脚丫",
    "shingles": "带状疱疹|水泡",
    "eyes": "眼",
    "ears": "耳",
    "mouth": "溃疡|嘴里",
    "teeth": "牙|苹果有血",
    "urine": "尿频|尿急|小便|尿线|尿不|排尿|总想上厕",
    "period": "痛经|月经|例假|经期|停经|宫外孕",
    "memory": "健忘|忘|记性|不记得",
    "worry": "焦虑|紧张担心|坐不住|害怕|七上八下",
    "low mood": "情绪低落|提不起劲|不想做|高兴不起|没兴趣|没精神，对",
    "chest": "胸|心口",
    "stroke": "嘴歪|口角歪|半边身子|说不出话|一边脸",
    "breath": "呼吸|喘|憋",
    "allergy": "过敏|嘴唇肿|脸肿|蜂蜇|[吃针]后",
    "bleeding": "吐血|呕血|吐出|吐了一大口|吐的东西|黑便|黑色大便|柏油|大便又黑|大出血|血止不住"
    "|流血|喷血|出血很多|血往外",
    "belly": "腹痛|肚子突然|肚子痛得打滚|腹剧痛|肚子剧痛|肚子疼得直",
    "seizure": "抽",
    "unconscious": "昏|叫不醒|没反应|知觉",
    "infant": "新生儿|小婴儿|婴儿|满月|宝宝两个月",
    "pregnancy": "怀孕|孕",
    "head injury": "撞到头|碰到头|头被砸|摔了头|磕到|外伤",
    "poison": "农药|老鼠药|清洁剂|误服|除草剂",
    "gas": "煤气|烧炭|炭火|烧炉子",
    "suicide": "自杀|不想活|结束生命|遗书|离开这个世界",
}
_TOPICS = {name: re.compile(words) for name, words in _WORDS.items()}
_ONLY_IF = re.compile(r"如果|若|一旦|出现")
"""A warning names what may come, not what the answer is about."""


def is_off_topic(question: str, answer: str) -> bool:
    """Whether both are about known complaints, and have none in common."""
    asked = _topics(question)
    spoken = "。".join(part for part in re.split("[。！？\n]", answer) if not _ONLY_IF.search(part))
    found = _topics(spoken)
    return bool(asked and found and not asked & found)


def _topics(text: str) -> set[str]:
    return {name for name, words in _TOPICS.items() if words.search(text)}
