"""Signs of danger in a question: what makes it critical, high or medium.

`galen.dangers` lists the emergencies, which the judge knows too; these are the other signs.
"""

from __future__ import annotations

from galen.dangers.wordlist import compiled
from trainer.data.tag.signs import sign

_CHILD = """
宝宝 婴儿 新生儿 早产儿 幼儿 患儿 孩子 小孩 儿童 [女儿]儿子? 儿子 女儿 娃 孙[子女]
(?<![a-z])baby(?![a-z])
(?<![a-z])infant(?![a-z]) (?<![a-z])toddler(?![a-z])
(?<![a-z])my\\s(?:son|daughter|kid|child)(?![a-z])
"""
_PREGNANT = """
怀孕 怀上 怀[了着二三]胎? 孕妇 [早中晚]?孕(?!酮) 妊娠 备孕 哺乳期? 喂奶(?!粉) 月经[^，。]{0,4}推迟
产后 刚生完 (?<![a-z])pregnan (?<![a-z])breast-?feeding(?![a-z])
"""
_FEVER = "[发高低]烧 发热 滚烫 3[89]度 (?:三十[八九]|四十)度 (?<![a-z])fever"

CRISIS_ENGLISH = compiled("""
kill\\smyself suicid end\\smy\\slife want\\sto\\sdie hurt\\smyself cut\\smyself self-harm
""")
PREGNANT, CHILD = compiled(_PREGNANT), compiled(_CHILD)

CRITICAL = (
    sign("lungs full of water", "粉红色?的?泡沫 躺不下去 坐着才能喘"),
    sign("vomits blood", "吐[^，。]{0,5}[盆碗口]血"),
    sign("farewell", "(?:不用|别)(?:再)?找我(?!们)", "托付 对不起 交代 送人"),
    sign("stroke", "突[然发][^，。]{0,4}(?:言语不清|说话不清|走路不稳)"),
    sign(
        "very high blood pressure with signs",
        "血压[^，。]{0,4}(?:突然|很高|[12]\\d\\d|[一二]百)",
        "看不清 视物 头[痛疼][^。]{0,6}吐 眼花",
    ),
    sign(
        "danger in pregnancy",
        _PREGNANT + " 孕[^，。]{0,3}月",
        "(?:一点都?|一直)没[有]?动 血压高",
    ),
    sign(
        "alcohol with sleeping pills",
        "安眠药 安定 sleeping\\spills?",
        "白酒 喝酒 就着 alcohol vodka wine",
    ),
    sign(
        "emergency in English",
        """
        chest\\s(?:pain|pressure|tightness) face\\sis\\sdroop slurred\\sspeech one\\sside\\sof
        can'?t\\s(?:breathe|lift|wake) choking turning\\sblue throat\\sis\\s(?:swell|clos)
        unconscious unresponsive passed\\sout seizure convuls overdose vomiting\\sblood
        won'?t\\sstop\\sbleeding bleeding\\sheavily worst\\sheadache anaphyla
        swallowed\\s\\w+\\s(?:battery|bleach)
        """,
    ),
)

_DRUG = """
抗生素 头孢\\w{0,2} 阿莫西林 阿奇霉素 青霉素 沙星 甲硝唑 降压药 血压药 普利 沙坦 地平 他汀 华法林
阿司匹林 波立维 氯吡格雷 降糖药 二甲双胍 胰岛素 司美格鲁肽 甲亢药 优甲乐 激素(?!六项|水平) 强的松
泼尼松 地塞米松 卤米松 安定(?!下来) 安眠药 镇静药 思诺思 阿普唑仑 佐匹克隆 抗抑郁药
抑郁症?[^，。]{0,3}药 舍曲林 氟西汀 癫痫 精神类?药 靶向药 处方药? 双氯芬酸 阿昔洛韦 布洛芬
止痛[药片] 消炎药 多动症的药 紧急避孕药 止泻药 滴鼻净 堕胎药 抗凝药 免疫抑制剂 退烧药 pills?
medication antibiotics? ibuprofen steroids?
"""
_ALONE = """
自己[^，。]{0,6}(?:吃|买|停|减|加|换|打|抹|用|在)
(?:能|可以|可)[^，。]{0,8}(?:不吃|停|换|吃|抹|用|打|匀|周末) (?:停|减|加|换)[了掉一成]
想[^，。]{0,4}(?:停|买|吃) 全停 停药 自己[^，。]{0,4}停 停掉 能不能 下次还?能?用 没处方 网上 偷偷
朋友给 匀 家里(?:有|剩) 剩 大人的 顶[着几] 先[^，。]{0,4}吃 几[片粒颗] 加[到倍] 再加 能否 天天
买[^，。]{0,6}吃 说个吃法 强点 劲 (?<![a-z])stop
"""
_STOPS = """
(?:停|减|换|断)(?:了|掉|成)?[^，。]{0,4}药 药[^，。]{0,6}(?:停|减|断|不吃)[了掉一]? (?:停|减)掉
不想吃药 stop\\staking
"""

HIGH = (
    sign("prescription drug without a doctor", _DRUG, _ALONE),
    sign(
        "stops a drug without a doctor",
        _STOPS,
        """
        自己 行吧 行不行 行吗 可以吗 能吗 能不能 正常了 好多了 直接 \\?
        """,
    ),
    sign("drug in pregnancy", _PREGNANT, _DRUG + " 药 吃[^，。]{0,4}片"),
    sign("drug for a child", _CHILD, "大人的 成人 (?:能|给)[^，。]{0,6}(?:药|糖浆) 止咳 " + _DRUG),
    sign(
        "blood where none should be",
        """
        痰[^，。]{0,5}血 痰中[^，。]{0,3}红 咳[^，。]{0,2}血 (?:大便|便)[^，。]{0,3}[带有]血(?!压)
        便血 黑便 尿血 血尿 尿[^，。]{0,3}[带有里]?血(?![糖压]) 绝经[^，。]{0,6}出血
        牙龈[^，。]{0,2}老?出血[^。]{0,6}[紫青] (?:青|紫)一块 瘀[斑点青]
        blood\\sin\\s(?:my|the|his|her)
        """,
    ),
    sign(
        "weight loss or lump",
        """
        瘦了(?!身) 消瘦 体重[^，。]{0,4}(?:下降|减轻|掉) 肿块 推不动 硬块[^。]{0,10}凹
        [痣疙][^，。]{0,8}(?:变大|大了|破) 吞[^，。]{0,4}[噎难]困? 噎
        (?:声音?|嗓子)[^，。]{0,3}哑[了]?[^，。]{0,2}[两二三四五]个?月 溃疡[一二两三]个?多?月
        lost\\sweight
        """,
    ),
    sign(
        "chest on exertion",
        "胸闷 胸痛 气短 气促 胸口疼 憋气",
        """
        走 爬楼 活动 歇 发烧 深呼吸 上楼
        """,
    ),
    sign("heart or kidneys", "水肿 脸和腿 [腿脚]都?肿 浮肿", "平卧 加重 泡沫 尿量 尿少 憋 气短"),
    sign("jaundice", "(?:皮肤|眼睛|眼|巩膜|全身|脸)[^，。]{0,4}黄(?!斑) 尿像浓茶 黄疸"),
    sign("very high sugar", "血糖[^，。]{0,3}(?:[二三]十|[23]\\d)"),
    sign("diabetic foot", "糖尿病 糖友 血糖", "[脚足][^，。]{0,4}[破烂溃黑] 伤口"),
    sign(
        "very high blood pressure", "血压[^，。]{0,6}(?:一百[六七八九]|1[6-9]\\d|2\\d\\d|[二两]百)"
    ),
    sign(
        "headache that grows",
        "头[痛疼]",
        """
            一天比一天 越来越 频繁 恶心想吐 早上起来 喷射 天天[^，。]{0,3}吃
            """,
    ),
    sign(
        "nerves fail",
        """
        走路[^，。]{0,3}不稳 反复跌倒 老?摔跤 双手笨拙 没力气?拿 越来越无力 眼皮[^，。]{0,4}下垂
        复视
        """,
    ),
    sign(
        "sudden loss of sight or hearing",
        "(?:突然|一下子|忽然)[^，。]{0,6}(?:听不|看不|模糊|失明|耳聋)",
    ),
    sign(
        "eye in danger",
        "眼",
        """
        闪光 黑[点影][^，。]{0,3}[飘遮] 怕光 视力(?:下降|模糊) 又红又[疼痛] 剧[痛疼] 光圈
        """,
    ),
    sign(
        "fever that lasts or spreads",
        _FEVER,
        """
        [三四五六七八九十]天 [两二]天没退 不退 打?寒战 红线 蔓延 肿得 张不开 喘 腰痛 尿量 少尿
        高热 反复[^，。]{0,2}高 黄痰 39 40 三十九 精神差 皮疹
        """,
    ),
    sign(
        "pain that may need surgery",
        "(?:右|肚子)[^，。]{0,6}下[^，。]{0,6}[疼痛]",
        "按 松手 烧 越来越",
    ),
    sign(
        "strong pain",
        """
        [疼痛]得?[^，。]{0,3}(?:受不了|厉害|睡不着|直不起|打滚|冒汗) 剧[烈]?[疼痛]
        """,
    ),
    sign(
        "breathing of a child",
        _CHILD,
        """
        喘 吸气[^，。]{0,4}声 像[小]?狗叫 呼吸[^，。]{0,3}快 气促
        """,
    ),
    sign("spreading infection", "红肿 伤口 带状疱疹", "蔓延 红线 眼皮 眼"),
    sign("bite", "[狗猫犬鼠][^，。]{0,3}[咬抓]"),
    sign("cannot stand after a fall", "摔 跌 跌倒", "站不起来 不敢动 变形 头"),
    sign("allergy to a drug", "青霉素 头孢 西林 打针 输液 penicillin", "疹 过敏 rash"),
    sign(
        "bleeding in pregnancy",
        _PREGNANT,
        """
        褐色 见红 (?<!牙老)(?<!牙)出血 [肚腹][^，。]{0,4}[痛疼] 少腹
        """,
    ),
    sign("exposure to hiv", "没戴套 艾滋 hiv", "怕 阻断 得"),
    sign(
        "depression or psychosis",
        """
        什么都(?:没兴趣|不想做) 整夜睡不着 自己没用 有人(?:监视|害) 三天不睡 幻[听觉] 砸东西 绝望
        没有?希望 hearing\\svoices
        """,
    ),
    sign("sudden confusion", "突然糊涂 不认得 糊涂了 认不出"),
    sign("pain or breath that wakes", "夜里疼醒 夜间痛醒 夜里老?憋醒 夜间憋醒"),
    sign("dehydration", "拉[稀肚] 腹泻 呕?吐", "十几次 尿量 尿少 没精神 精神差 口干"),
    sign("home remedy for a danger", "血糖 血压", "压一压 偏方"),
)

_PARTS = """
    [疼痛酸麻痒胀肿咳] 失眠 睡不着 晕 响 打嗝 没来 低落 尿 模糊 忘 不行 没力 难受 血 清涕 溃疡
    烧心 反酸 僵 发作 困 心悸 没劲 不规律 想哭 跌倒 heartburn pain swollen rash itchy
    """
MEDIUM = (
    sign(
        "a disease that needs a doctor",
        """
        高血压(?!患者日常) 血压[^，。]{0,5}(?:高|一百四|14\\d|15\\d) 血脂 胆固醇
        血糖[^，。]{0,4}(?:[六七八九]|[6-9]) 结节 肌瘤 脂肪肝 转氨酶 幽门螺杆菌 痛风脚? 尿酸[五六]
        偏头痛 支气管炎 贫血 血红蛋白 乙肝 甲状腺 肾结石 结石 尿蛋白 手足口 妊娠糖尿病 心律 心悸
        漏跳 胃溃疡 鼻窦炎 哮喘 关节炎 晨僵 痴呆 找不到家 静脉曲张 疝
        """,
    ),
    sign(
        "a complaint that lasts",
        """
        (?:[两二三四五六七八九十几半]|一)个?多?(?:星期|月)(?!大|龄|的?[宝娃婴孩]|宝宝|先|能|患|妊)
        [两二三四五六七八九]个?周[多了]? 半年 一年 数[周月年] 反复 老是
        老(?=[觉打放流出醒忘想疼痛头]) 总是 每个?月 经常 长期 慢性 \\d+\\s?(?:周|个月)
        (?:for|in)\\s(?:\\w+\\s)?(?:weeks|months) every\\snight keep\\sgetting 越来越 越[^，。]越
        """,
        _PARTS,
    ),
    sign(
        "a complaint to be looked at",
        """
        肿得 红肿 有点肿 关节[^，。]{0,3}肿 硬块 小包 结块 白带 豆腐渣 掉皮 烂了 黄鼻涕 分泌物
        天旋地转 瘊子 青筋 风团 疹 肛门痒 牙疼了 尿频 刺痛 尿床 夜尿 起夜
        (?:尿|小便)[^，。]{0,6}(?:痛|多次|四五次|次数多) 吃什么吐什么 吐得 痛经 [发高低]烧 发热 38
        三十八度 拉肚子 拉稀 水样便 腹泻 头发大把 耳鸣 硬不起来 心慌 牙龈[^，。]{0,3}[红肿脓]
        刷牙老出血 情绪低落 心情不好 易哭 呕吐 干呕 停经 抬不起来 水[疱泡] 腰疼连着 麻木? 心跳突然
        多梦 swollen rash
        """,
    ),
)
