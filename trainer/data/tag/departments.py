"""The hospital department that a question belongs to, by its words."""

from __future__ import annotations

from dataclasses import dataclass

from galen.dangers.despair import CRISIS
from galen.dangers.wordlist import compiled
from trainer.data.tag.dangers import CHILD, CRISIS_ENGLISH, PREGNANT
from trainer.data.tag.signs import matches, said


@dataclass(frozen=True, slots=True)
class Department:
    name: str
    english: str
    words: str


FIRST = (
    ("心理科", CRISIS),
    ("心理科", CRISIS_ENGLISH),
    ("产科", PREGNANT),
    ("儿科", CHILD),
)
"""Who asks, or for whom, decides before the complaint does."""

DEPARTMENTS = (
    Department(
        "急诊科",
        "emergency",
        """
        误服 误食 除草剂 百草枯 农药 中毒 煤[炉气] 蛇 高温 中暑 触电 溺水 车祸 摔下来 大水泡 烫
        切菜 止不住 急救 创可贴 心肺复苏 救护车 吃(?:完|了)?(?:虾|花生)[^。]*(?:喉|嘴唇) 当糖吃
        白酒 peanuts throat\\sis\\sswell 溅 烧伤 电池 误[吞喝吃服] 晕倒在 没呼吸 昏倒 咬伤 淹
        一氧化碳 卡住
        """,
    ),
    Department(
        "肿瘤科",
        "oncology",
        """
        化疗 放疗 靶向药 肿瘤 癌(?!胚) 恶性 转移瘤 (?<![a-z])cancer chemo 靶向 复发 晚期
        """,
    ),
    Department(
        "心血管内科",
        "cardiology",
        """
        胸口?[^，。]{0,4}[闷痛疼压] 胸骨 心[跳慌率梗脏绞衰悸] 心里 心肌 心电图 高血压 血压 降压药
        冠心病 支架 波立维 华法林 血脂 他汀 粉红色的?泡沫 水肿 青筋 静脉曲张 chest\\spain
        blood\\spressure 胸 气短 晕倒 高血脂 胆固醇 血管 早搏
        """,
    ),
    Department(
        "神经内科",
        "neurology",
        """
        头[痛疼晕胀] 头有点胀 头一下 中风 脑[梗出卒血] 偏头痛 嘴[角巴]?歪 嘴歪 含糊 半边 一边身
        癫痫 抽搐 手抖 帕金森 手指[^，。]{0,3}麻 脚麻 手?发麻 面瘫 肢体 记忆 face\\sis\\sdroop
        headache seizure stroke 无力 没力气拿 麻木 说话 走路 记性 半身 太阳穴 抖 昏
        """,
    ),
    Department(
        "呼吸科",
        "respiratory medicine",
        """
        咳 痰 感冒 喘 肺 哮喘 气胸 支气管 呼吸 血氧 打呼噜 流感 鼾 受凉 吸烟 抽烟 戒烟
        (?<![a-z])cold(?![a-z])
        cough breath asthma 发烧 高烧 发热 咽干 鼻塞 吸气
        """,
    ),
    Department(
        "消化科",
        "gastroenterology",
        """
        胃 肚子胀 反酸 烧心 大便 便秘 便血 拉肚子 腹泻 腹胀 肝(?!素) 幽门 上腹 黄疸 肠
        吐[^，。]{0,4}血 胀气 打嗝 吞[^，。]{0,4}噎 噎 放屁 吃撑 皮肤眼睛都黄 眼睛都黄 heartburn
        stool diarrh stomach 肚子 腹痛 恶心 呕吐 胃口 饭后 拉[稀水] 嗳气 痔
        """,
    ),
    Department(
        "普外科",
        "general surgery",
        """
        右下腹 右边下面 阑尾 疝 乳房(?!又红) 乳腺 胆囊 硬得像木板 板状腹 胆结石 腹股沟 痔疮 肿块
        乳头 甲状腺手术
        """,
    ),
    Department(
        "皮肤科",
        "dermatology",
        """
        皮肤[干瘙]? 皮[炎疹] 疹 湿疹 痘 痒 风团 瘊 痣 带状疱疹 脚气 脚趾缝 头发 蚊子 防晒 红肿
        激素药膏 rash itchy skin 水[泡疱] 脱皮 晒 斑 起包 抓
        """,
    ),
    Department(
        "骨科",
        "orthopaedics",
        """
        腰[痛疼椎] 膝 关节 骨(?!髓) 颈椎 脖子[酸转] 崴 扭伤 肩 落枕 腿短 大腿 脚踝 狗咬 被狗 knee
        sprain back\\spain 骨折 摔 腰 背[痛疼] 腿[痛疼] 手腕 胳膊[痛疼] 脚[痛疼肿扭] 抽筋 扭
        """,
    ),
    Department(
        "风湿免疫科",
        "rheumatology",
        """
        晨僵 痛风 尿酸 类风湿 红斑狼疮 手指头?僵 手指关节 脚趾[^，。]{0,6}[红肿疼] 晨起?僵硬 狼疮
        """,
    ),
    Department(
        "内分泌科",
        "endocrinology",
        """
        糖尿病 血糖 胰岛素 甲状腺 甲亢 甲功 甲减 降糖药 代谢 减肥 会不会胖 司美格鲁肽 diabet
        thyroid 口渴 怕热 多汗 体重 甲[亢减] 低血糖 胖
        """,
    ),
    Department(
        "肾内科",
        "nephrology",
        """
        肾(?!结石)功能 尿蛋白 肾炎 透析 [小尿]便?全?是?泡沫 尿毒症 kidney 浮肿 血尿
        """,
    ),
    Department(
        "泌尿科",
        "urology",
        """
        尿频 尿急 尿痛 小便 尿不出 尿等待 夜尿 尿四五次 起来尿 肾结石 前列腺 蛋蛋 睾丸 憋尿 尿里
        排尿 喝多少水 urin 尿 结石
        """,
    ),
    Department(
        "男科",
        "andrology",
        "硬不起来 阳痿 早泄 勃起 那方面 精[子液] 遗精",
    ),
    Department(
        "妇科",
        "gynaecology",
        """
        月经 姨妈 白带 痛经 外阴 下面痒 子宫 卵巢 卫生巾 绝经 避孕 卫生垫 例假 menstrua
        period\\spain 停经 阴道 下腹 私处 经期 宫颈 盆腔 妇科
        """,
    ),
    Department(
        "心理科",
        "psychiatry",
        """
        抑郁 焦虑 失眠 睡不着 安眠药 安定 思诺思 阿普唑仑 舍曲林 情绪 低落 没兴趣 压力 紧张 减压
        监视 自杀 上台讲话 哭得 心理 depress anxiety insomnia 想哭 心情 绝望 烦躁 没意思 多梦 强迫
        恐惧 害怕
        """,
    ),
    Department(
        "眼科",
        "ophthalmology",
        "眼[睛球皮前镜]? 视力 近视 散光 看东西 (?<![a-z])eyes?(?![a-z]) 看不清 视物 飞蚊",
    ),
    Department(
        "耳鼻喉科",
        "otolaryngology",
        """
        耳 鼻(?!水) 嗓子 喉咙 扁桃体 声音?[^，。]{0,3}哑 天旋地转 一翻身 (?<![a-z])ears?(?![a-z])
        throat 听不
        咽 鼻血
        """,
    ),
    Department(
        "口腔科",
        "dentistry",
        "牙 口腔 嘴里[^，。]{0,6}溃疡 智齿 tooth teeth gum 嘴里 舌 口臭 张不开嘴",
    ),
    Department(
        "血液科",
        "haematology",
        "贫血 血红蛋白 青一块 白血病 血小板 anaemi anemi 出血点 紫癜 淋巴结",
    ),
    Department(
        "感染科",
        "infectious diseases",
        "艾滋 hiv 乙肝 没戴套 结核 狂犬 肝炎病毒",
    ),
    Department(
        "变态反应科",
        "allergy",
        """
        过敏 花粉 青霉素[^。]*疹 头孢[^。]*疹 换季 allerg [花虾蟹坚]生?[^，。]{0,6}[疹痒]
        打喷嚏[^。]{0,8}痒
        """,
    ),
    Department(
        "老年科",
        "geriatrics",
        """
        老人 老年 忘事 八十[^，。]{0,3}[了岁] 糊涂 dementia 痴呆 跌倒 找不到家 奶奶 爷爷 八十
        """,
    ),
    Department(
        "金融",
        "finance",
        """
        股票 股价 基金 债券 利率 利息 营业?收入? 净利润 资产负债 贷款 投资 期权 市盈率 现金流 折现
        税率 (?<![a-z])stocks?(?![a-z]) (?<![a-z])bonds?(?![a-z]) revenue interest\\srate
        """,
    ),
)
GENERAL = "全科"
ENGLISH = {each.name: each.english for each in DEPARTMENTS} | {GENERAL: "general practice"}
_WORDS = tuple((each.name, compiled(each.words)) for each in DEPARTMENTS)


def department(text: str) -> tuple[str, str]:
    """The department and the words that decided."""
    for name, pattern in FIRST:
        if word := said(pattern, text):
            return name, word
    found = [(name, matches(pattern, text)) for name, pattern in _WORDS]
    name, words = max(found, key=lambda each: (len(each[1]), _first(each[1], text)))
    return (name, ", ".join(words)) if words else (GENERAL, "no department's words")


def _first(words: list[str], text: str) -> int:
    """Earlier words weigh more: the complaint usually comes first."""
    return -min((text.find(word) for word in words), default=len(text))
