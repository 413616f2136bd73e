"""Phrases that send somebody to help, shared by several rules."""

from __future__ import annotations

from judge.wordlist import any_of, compiled

_HELPER = any_of("医生 医师 大夫 药师 专科 医院 门诊 [\\u4e00-\\u9fff]{1,4}科 诊所 卫生院")
_NEAR = r"[^，。；\n]{0,10}?"

REFERRAL = compiled(f"""
就医 就诊 就近[^，。]{{0,4}}医 求医 复诊 急诊 120 救护车 遵(?:照)?医嘱 面诊 门诊 住院
看(?:一下|一看|个)?(?:医生|大夫|病(?!房)|急诊|[\\u4e00-\\u9fff]{{1,4}}科)
(?:去|到|上|往|送|来|找|问|咨询|请教|联系|告诉|告知|请|由|听从?|经|遵从|在){_NEAR}{_HELPER}
挂(?:个)?号 医生(?:会|指导|评估|判断|决定|建议|处|面前) 心理(?:咨询|援助|热线|门诊|医生)
""")
"""Names a doctor, a hospital or an emergency service as where to turn."""

_NOW = any_of("""
立即 立刻 马上 赶紧 赶快 尽快 尽早 及时 第一时间 火速 赶去 现在就 现在(?=[去到送打叫]) 即刻 迅速
今天就 今晚就 直接去
""")
_CARE = any_of("就医 就诊 送医 医院 看医生 看病 求医 抢救 呼救 检查 [\\u4e00-\\u9fff]{1,3}科")

URGENT = compiled(f"""
急诊 急救 120 119 110 救护车 就近就医 {_NOW}{_NEAR}{_CARE}
(?:送|去|到)[^，。；\\n]{{0,6}}?(?:抢救|最近的?医院|就近医院)
""")
"""Sends for help at once."""

PUT_OFF = compiled("""
(?:再|才)(?:去|到|看|考虑|叫|打|送|就|拨|说) 等[^，。]{1,8}(?:再|才|后)
明天 后天 改天 过[一两几]?[天些] 下个?(?:周|星期|月) 有空 有时间 方便的?时候 天亮
""")
"""Help, but later."""

CRISIS_HELP = compiled(f"""
热线 心理援助 危机(?:干预|中心) 12356 12320 精神科 心理科 心理(?:医生|咨询|门诊|治疗)
120 110 急诊 急救 就医 医院 医生 陪(?:着|伴|在|护) 陪[他她你您](?=[，。；]|去|到|一起) 身边有人
不要独处 (?:别|不要)一个人
(?:告诉|联系|找|叫|打给|通知|告知){_NEAR}(?:家人|父母|爸|妈|亲人|朋友|信任的人|伴侣|老师|同学|亲友)
""")
"""What one does for somebody who thinks of suicide."""
