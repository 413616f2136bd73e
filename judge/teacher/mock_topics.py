"""What a text is about, for the rehearsal's teacher: everyday complaints by their words."""

from __future__ import annotations

import re

_WORDS = {
    "nose": "鼻|涕|喷嚏",
    "cough": "咳|痰",
    "throat": "喉咙|嗓子|咽喉|咽口水",
    "fever": "发烧|发热|低烧|高烧|体温|[娃宝]烧|烧[到退]|烧得(?!慌)|身上发烫|很烫|有点烫",
    "headache": "头痛|头疼|头顶疼|额头那|头一疼|脑袋|太阳穴|后脑勺|头像要|头突然|头一下子",
    "dizziness": "头晕|发黑|一转头|头昏|晕乎|天旋地转|就晕|头发晕|晕得|头重脚轻",
    "sleep": "失眠|睡不着|凌晨醒|入睡|多梦|睡得很浅|没睡好|容易醒|亮就醒",
    "numbness": "麻(?!疹)",
    "stomach": "胃|上腹|反酸|酸水|烧心|返|后面烧",
    "diarrhoea": "拉肚子|拉[五四]|大便[很稀]|拉稀|水样便|坏[了]?肚子|腹泻|次厕所|不成形|一天水|拉水"
    "|便六次|大便像水",
    "constipation": "便秘|便一次|大便很干|解大便|便解|没大便|拉不出|羊粪|次大便",
    "bloating": "腹胀|肚子[就胀]|肚子鼓|胃里?胀|肚子里都是气|里气多|打嗝",
    "nausea": "恶心|想吐|就吐|干呕",
    "piles": "痔|鲜血|手纸|肛门|擦纸|马桶|便血|便后",
    "back": "腰[痛疼酸扭僵部]|弯腰|闪了腰|腰那里|腰肌",
    "neck": "颈|(?<!脚)脖子|肩|落枕",
    "knee": "膝|走多了|蹲下|下楼",
    "ankle": "踝|崴|扭了脚|脚扭|脚脖子|扭伤",
    "joints": "关节|发僵",
    "gout": "痛风|脚趾[头关红]|大脚趾|脚趾[痛疼]",
    "heart": "心慌|心跳|心里扑|心脏|心怦",
    "blood pressure": "血压|[高低]压",
    "blood sugar": "血糖|渴|尿多|想喝水|喝水[、上多]|三大壶|嘴巴干|胰岛素|糖尿病|降糖药",
    "thyroid": "甲状腺|疙瘩|结节|脖子长|脖子前面",
    "skin": "疹|风团|红印|皮肤|红点",
    "acne": "痘|痤疮",
    "hair": "头发(?!晕)|掉一大把|脱发|掉发|发际线",
    "feet": "脚气|脚趾[缝间]|脚上[起痒]|脚痒|脚丫|脚底|脚臭",
    "shingles": "带状疱疹|水泡|起疱",
    "eyes": "眼",
    "ears": "耳",
    "mouth": "溃疡|嘴里|唇里|舌头",
    "teeth": "牙|苹果有血|漱口有|口水带血",
    "urine": "尿频|尿急|小便|尿线|尿不|排尿|总想上厕|尿痛|想尿|尿得|尿出来",
    "period": "痛经|月经|例假|经期|停经|宫外孕",
    "memory": "健忘|忘|记性|不记得|记不住|想不起|问好几遍",
    "worry": "焦虑|紧张担心|坐不住|害怕|七上八下|心里乱|怕出事|坏处想|就担心|心烦|心神|紧张得",
    "low mood": "情绪低落|提不起劲|不想做|高兴不起|没兴趣|没精神，|心情[低很]|想哭|没劲头|开心不起",
    "chest": "胸|心口",
    "stroke": "嘴歪|口角歪|半边|说不出话|说不清|不清，半|一边脸|一边胳膊",
    "breath": "呼吸|喘|憋气|憋得|吸不进",
    "allergy": "过敏|嘴唇肿|脸肿|蜂蜇|[吃针]后|花生后|药后|打完针",
    "bleeding": "吐血|呕血|吐出|吐了一大口|吐的东西|黑便|黑色大便|柏油|大出血|血止不住"
    "|流血|喷血|出血很多|血往外|吐的都是|大便[发变]?黑|又黑|血流|血喷|流很多血|切断",
    "belly": "腹痛|肚子突然|肚子[痛疼]得|腹部?剧痛|肚子剧痛|突然肚子|肚子越来越疼",
    "seizure": "抽",
    "unconscious": "昏|叫不[醒应]|没反应|知觉|不省人事|晕过去|[摇喊]不醒",
    "infant": "新生儿|婴儿|满月|宝宝两个月|吃奶|拒奶",
    "pregnancy": "孕|怀着",
    "head injury": "撞[到了]头|碰[到了]头|头[被撞]|摔了头|磕到|外伤|摔到后|头部受|脑袋被打",
    "poison": "农药|老鼠药|清洁剂|误[服吃食]|除草剂|洗洁精|消毒水",
    "gas": "煤气|烧[炭煤]|炭火|烧炉子|热水器|烤火",
    "suicide": "自杀|不想活|结束生命|遗书|离开这个世界|跳楼|想死|安眠药|活够",
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
