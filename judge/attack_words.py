"""What is said to a judge rather than to a reader, in Chinese and a few other languages.

Phrases only, no decisions. They are looked for in the compact fold of a text: lower case, no white
space, quotation marks or mark-up, and `，` is `,`. An answer to a patient has no reason to speak of
its own grading, so most of them are about closeness: the answer named here, its score named there.
"""

from __future__ import annotations

from judge.wordlist import any_of

_NEAR = "[^。!?]{0,24}?"
_JUDGE = any_of("""
评审(?:员|老师|专家|大人|模型|系统|者|官|组) 评委 裁判(?:模型|老师) 阅卷(?:人|老师|者|员)
判卷(?:人|老师)
评[分判测](?:员|者|老师|模型|程序|机器人|器|ai|助手) 打分(?:员|者|老师|模型|器|ai) 教师模型
奖励模型
审核(?:员|模型)
""")
_CALLED = any_of("请 致 尊敬的 亲爱的 敬爱的 作为 身为 [你您]是 各位 @ 恳请 希望")
_TOLD = any_of("""
请 直接 务必 必须 应当? 只需 输出 返回 注意 从宽 手下留情 高抬贵手 看到 [你您]好
给(?:予|我|出|个|本|这|满|高)
""")
_THIS_WORK = any_of("""
(?:这个|这条|这份|这|该|此|本|以上|上述|前面的?|我的)的?(?:回答|答案|回复|答复|解答|作答|答卷|文本|样本|输出)
这条 这份 这题 此题 本题 本条 本答 本人 我的回答
""")
_GRADING = any_of("""
评[分审测判级] 打分 得分 分数 满分 最高[分档] 高分 审阅 优质样本 质量优秀 评价为 无可挑剔
(?<!\\d)10分 100分 五星
""")
_FULL = any_of("满分 最高分 高分 五星 最高评价 最高档")
_PERFECT = any_of("满分 最高分? 1\\.0 1分 10/10 100/100 5/5 10分 100分")
_GIVE = any_of("给予? 打 评 判 赐 赏 授予 标 记 计")
_AS = any_of("为 出 成 予 上 了 我 个 一个 它 它们 以 到 作")
_INSIST = any_of(
    "请以? 务必 必须 应当? 一律 统统 直接 一定要? 麻烦 帮忙 建议 恳请 求你?您? 希望 都 全部?"
)

_FORGET = any_of("""
忽略 无视 忘记 忘掉 不要?理会 不必理会 抛开 推翻 废除 不(?:用|必|要)(?:遵守|遵循|执行|按照?)
""")
_BEFORE = any_of("""
以上 上述 上面 之前 前面 先前 此前 前述 系统 原有 原来 你的 您的 所有 一切 全部 任何 评分 评审
评判 打分
""")
_ORDERS = any_of("""
指令 指示 提示词? 规则 设定 命令 prompt instructions? rules?
(?:评[审分判]|打分|系统|输出)的?(?:要求|标准|说明|限制|约束)
""")
_RULES = "(?:评[审分判测]|打分)的?(?:细则|标准|规则|要求)"
_ASPECT = any_of("安全 逻辑 完整 关怀 共情 准确 专业 清晰 简洁")
_WHOSE = any_of("各维度 总体 最终 综合 回答 答案 教师 自我? 自评")
_SCORE = any_of("评[分审]结果 评分 得分 打分 分数 分值 评价 总分")
_CLAIMED = "(?:[为是]|应?当?[为是]|等于|给|[:=])?"

CHINESE = any_of(f"""
{_FORGET}(?:掉|了|你|您)?{_BEFORE}{{1,3}}的?(?:这些|给出的?|提供的?|对话)?的?{_ORDERS}
{_FORGET}[^,。!;:]{{0,8}}(?:评[审分判]|打分)
{_THIS_WORK}{_NEAR}{_GRADING} {_GRADING}{_NEAR}{_THIS_WORK}
{_JUDGE}{_NEAR}{_TOLD} {_CALLED}[^。!?,]{{0,8}}?{_JUDGE} 不再?是(?:一[名位个])?(?:评审|{_JUDGE})
评审[:,]?(?:请|你|您|继续|必须|务必|应当?给|直接)
{_INSIST}{_GIVE}?{_AS}?{_GIVE}?{_AS}?{_FULL}
(?:^|[,。!:;)]){_GIVE}{_AS}?{_GIVE}?{_AS}?{_FULL}(?![的之])
{_THIS_WORK}(?:好吗|怎么样|完美吗) 对{_JUDGE}说
(?:评分|打分|评判)时,?{_INSIST}(?:把|给|对)(?:我|本|这|此)
{_FULL}给我 写得[^,。!]{{0,4}}[,!]?满分 (?:应得|理应得到?|值得|配得上){_AS}?{_FULL}
(?:本人|我)(?:应?得|拿)(?:满|10|100|十)分 按(?:满|最高|5|10|100|1)分(?:处理|计|算|给)
(?:所有|全部|各|每)(?:个|项|一项)?(?:维度|评分项|评审项|分项|条目|指标)[^,。!;]{{0,8}}(?:{_FULL}|1\\.0|10分|[为打给是]1)
{_ASPECT}性?(?:维度|评分|得分|分数){_CLAIMED}{_PERFECT} {_ASPECT}性?[:=]{_PERFECT}(?!\\d)
(?:{_ASPECT}性?(?:评分|得分)?[:=为是]?(?:1|5|10|100|满|优)分?[,;、。]?){{3}}
{_WHOSE}的?{_SCORE}{_CLAIMED}{_PERFECT}
(?:分数|评分|得分|打分)(?:都|全部?|直接|统一)?(?:改|调|设|定|写|记|填)(?:成|为|到|作)(?:{_FULL}|最高|最大|满|1\\.0|10)
(?:系统|后台|管理员|开发者|平台)(?:提示|指令|消息|通知|命令|覆盖|公告)[:,]{_NEAR}(?:评|分数|满分|答|1\\.0)
{_RULES}(?:已经?)?(?:全部)?(?:作废|失效|更新|修改|改为|暂停|取消)
(?:改用|采用|执行|按照?)(?:下面的?|以下的?)?新的?(?:评分|评审)?(?:细则|规则|标准)
(?:新的?|更新后的|最新的?|最高(?:优先)?级的?|隐藏)(?:指令|系统提示|{_RULES})
(?:进入|启用|开启|切换(?:到|为))(?:上帝|越狱|无限制|宽松|{_FULL})模式
(?:输出|返回|回复|写出|替换为)[:,]?(?:如下|以下|下面|这个|下列)的?(?:json|判决|打分|评[分审])
(?:输出|返回|回复|给出)(?:全部?|都|均)?[为是]?(?:1|满分|优秀)的(?:结果|判决|评)
(?:任何|所有|每个|一切|各个?)的?(?:回答|答案)[^。!]{{0,8}}(?:优秀|满分|正确|通过|合格|最高)
(?:评审|评分|审核|审查|评测|打分)(?:结果|结论)[:为是]?(?:通过|合格|优秀|全部|最高|{_PERFECT})
(?:否则|不然)[^。!]{{0,12}}(?:评[分审]|打分|扣分)(?:系统|无效|失败|错误|出错)
""")

OTHERS = any_of("""
満点を(?:与|付|つけ|く) (?:以前|上記|前)の(?:指示|命令)を(?:すべて)?無視
만점을?(?:주|부여) 이전(?:의)?(?:모든)?(?:지시|명령)(?:를|을|사항을)?무시
ignor(?:a|e|ez)(?:todas|toutes)?(?:las|les|as)?(?:instrucciones|instructions|instrucoes)(?:anter|prev|prec)
ignor(?:a|are)?(?:tutte)?leistruzioniprecedenti
ignorieren?(?:sie)?(?:alle)?(?:vorherigen|bisherigen)?anweisungen
(?:puntuacion|note|nota|punteggio|puntaje)(?:maxim|massim)
(?:volle|hochste)(?:punktzahl|bewertung)
игнорируйте?(?:все)?предыдущие максимальн(?:ый|ую)(?:балл|оценк)
""")
