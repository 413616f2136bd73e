"""One amount has many spellings; another amount, however alike it looks, is never taken for it."""

from __future__ import annotations

import pytest

from judge.finance.amounts import asked_scale
from judge.rules.finance import is_right

SAME = {
    "a loss": """
        -200万元 | 亏损200万元 | 负200万元 | 净亏损二百万元 | 亏损2,000,000元 | 虧損貳佰萬元
        | -2百万元 | 净亏200万元 | a loss of 2 million yuan | 亏损约200万元 | 亏损0.02亿元""",
    "a fall": """
        -5% | 下降5% | 下跌5% | 减少5% | 跌幅5% | 降幅为5% | 同比下降百分之五 | fell 5%
        | down 5% | a decrease of 5% | decreased by 5 percent | declined by five percent
        | 5%的降幅 | 负百分之五""",
    "a sum": """
        1.2亿元 | 12000万元 | 1.2億 | 一亿二千万元 | 1亿2000万元 | 壹亿贰仟万元
        | 120,000,000元 | 120 million yuan | 人民币1.2亿元 | RMB 1.2亿 | ¥120,000,000
        | 0.12 billion yuan | 120百万元 | １．２亿元""",
    "a small sum": """
        12.5万元 | 十二萬五千元 | 十二点五万元 | 125000元 | 125,000元 | 拾贰万伍仟元
        | 12万5千元 | 约12.5万元 | 12.5万元左右 | 125 000元 | 1,25,000元""",
    "a rate": "5.5% | 百分之五点五 | 百分之五點五 | 5.5 percent | 5.50％ | 55‰ | 0.055倍",
    "points": "0.5个百分点 | 50bp | 50个基点 | 0.5 percentage points | 五十个基点 | 50 bps",
    "a time": """
        2.5年 | 30个月 | 两年半 | 10个季度 | 2年半 | 三十个月 | 2.5 years | thirty months""",
    "half a year": "半年 | 6个月 | 0.5年 | 两个季度 | six months | 2个季度",
    "days": "14天 | 两周 | 2周 | 14日 | 十四天 | two weeks",
    "dollars": """
        12.5 million USD | $12.5 million | US$12,500,000 | 1250万美元 | 1,250万美金 | $12.5M
        | 12.5百万美元 | twelve point five million dollars""",
    "trillions": "3兆元 | 3万亿元 | 30000亿元 | 三万亿元 | 三兆元",
    "a share": "四分之三 | 0.75 | 3/4 | 75% | 百分之七十五 | \\frac{3}{4}",
    "per share": """
        每股2.5元 | 2.5元/股 | 每股收益2.5元 | 每股2.50元 | 2.5元每股 | RMB 2.5 per share""",
    "large": """
        1234567.89元 | 1,234,567.89元 | 1 234 567.89元 | 1.234.567,89元 | 12,34,567.89元
        | 123.456789万元""",
    "at least": "至少5% | 不低于5% | 5%以上 | at least 5%",
    "at most": "不超过100万元 | 至多100万元 | 100万元以下 | 100万元以内",
    "a range": """
        5%-10% | 5%至10% | 5%~10% | 5-10% | 百分之五到百分之十 | 5%到10%之间 | 约5%~10%""",
    "a loss in a sentence": """
        公司净亏损3.2亿元 | 净利润为(3.2)亿元 | 净利润：-3.2亿元 | 净利润-320百万元""",
    "a conclusion": """
        600万元 | 先算800，再减200，所以是600万元 | 不是800万元，而是600万元 | 600万元净利润""",
    "a proportion": "3:1 | 3比1 | 6:2 | 三比一",
    "a long sum": "123456789元 | 1亿2345万6789元 | 一亿二千三百四十五万六千七百八十九元",
    "years and months": "27个月 | 2年零3个月 | 两年三个月 | 9个季度",
    "a share in tenths": "25% | 两成五 | 四分之一 | 25.0% | one quarter",
    "coins": "1234.56元 | 1234元5角6分 | 壹仟贰佰叁拾肆元伍角陆分 | 1 234,56元 | 人民币1234.56元整",
    "a million and more": "1.2 million dollars | 1 million 200 thousand dollars | 120万美元",
    "more than": "超过5% | >5% | 5%以上 | over 5%",
    "a price": "3.2个亿 | 3.2亿 | 320百万",
    "a loss in brackets": """
        -3.5亿元 | (3.5亿元) | （3.5）亿元 | 亏损：3.5亿元 | 净亏损为3.5亿元 | (350百万元)""",
    "capitals": "5 million USD | 5 MILLION USD | 5 Million Usd | USD 5M",
    "as people say it": "35000 | 三万五 | 3.5万 | 三万五千",
    "hundreds in English": "12500 | twelve thousand five hundred | 一万两千五百",
    "a doubling": "翻了一番 | 增长100% | 增加了一倍 | 增长一倍 | 翻一番",
    "twice as much": "2倍 | 翻了一番 | 增长100% | 为原来的2倍",
    "a discount": "八五折 | 打八五折 | 原价的85%",
    "a monthly rate": "月息一分 | 月利率1% | 每月1% | 1%每月 | 月利率百分之一",
    "a surplus": "顺差932亿美元 | 932亿美元 | 贸易顺差932亿美元",
    "a fall of less": "跌幅不足5% | 下降不到5% | 跌幅低于5%",
    "Taiwan's dollars": "NT$1,500万 | 新台幣1500萬元 | 1500万元新台币 | NT$15,000,000",
    "in a heading": "1,280万元 | 单位：万元，1,280 | 单位：万元 金额1280",
    "a unit a month": "每人每月800元 | 800元/人·月 | 800元/月/人",
    "tonnes and a half": "2.5吨 | 两吨半 | 2500公斤",
    "numerals at the end": "1234500 | 一百二十三万四千五百 | 123万4500",
    "a term": "2年期 | 24个月 | 2 years | 两年",
    "a count": "325人 | 三百二十五人 | 叁佰贰拾伍人",
    "a mass": "2吨 | 2000公斤 | 2,000千克 | 2000 kg",
    "baht": "12泰铢 | 12 baht | THB 12 | 十二泰铢",
}
OTHER = {
    "12亿元": """
        12億美元 | 12万元 | 1.2亿元 | 120亿元 | 12兆元 | 十二万元 | -12亿元 | 亏损12亿元
        | 12千元 | 12百万元""",
    "800万元": """
        800 | 80万元 | 800元 | 800或900万元 | 不是800万元 | 800万股 | 800万元港币
        | 800万元每年""",
    "12元": """
        12泰铢 | 12卢布 | 12元以下 | 12元以上 | 不是12元 | 并非12元 | 不到12元 | 超过12元
        | 近12元 | 12美元 | 12港元 | 12角 | 12分 | 12万元 | 1.2元 | 120元 | 12元/股
        | 每股12元 | 12元到15元 | 12打 | ₿12 | X$12 | 12 lakh | 12元每吨 | 12~13元 | 12几元
        | 12多元 | 12pesos | 12 baht | 至少12元 | 12%""",
    "5%": """
        5个百分点 | -5% | 下降5% | 0.5% | 50% | 5‰ | 5bp | 5倍 | 5%以上 | 不到5% | 5%-10%
        | 5元 | 百分之零点五 | 不是5% | 5成 | 约0.05% | 5%未满""",
    "-200万元": """
        200万元 | 盈利200万元 | -200元 | -20万元 | 亏损2000万元 | 下降200亿元
        | 亏损200万美元""",
    "2.5年": "2.5个月 | 25年 | 25个月 | 2.5天 | 2.5个季度 | 两年 | 三年半 | 2.5小时 | 2年",
    "30个月": "3年 | 30天 | 30年 | 30日 | 2年 | 30个季度 | 三个月",
    "3万亿元": "3亿元 | 3万元 | 30兆元 | 0.3万亿元 | 3兆美元 | 3百亿元",
    "每股2.5元": "2.5元 | 2.5元/吨 | 每股0.25元 | 每股2.5美元 | 每份2.5元",
    "下降5%": "下降到5% | 降至5% | 上升5% | 5%是错的",
    "20元": "一百20元 | 20元或三十元 | 20元内",
    "3.5亿元": "亏损：3.5亿元 | 公司亏损，金额为3.5亿元 | (3.5亿元) | 三点五万元",
    "1.5倍": "增长1.5倍 | 15倍 | 1.5%",
    "3个月": "3月 | 3月份 | 3年 | 3天",
    "至少5%": "5% | 至多5% | 不到5% | 至少50%",
    "5%-10%": "5% | 10% | 5%-15% | 0.5%-1% | 5元-10元 | 10%-5%",
    "税前利润100万元": "税后利润100万元 | 税前利润10万元 | 税前利润1000万元",
    "同比增长5%": "环比增长5% | 同比下降5% | 同比增长0.5%",
    "1250万美元": "1250万元 | 125万美元 | $12.5 billion | 1250美元 | 1.25万美元 | 1250万欧元",
    "12泰铢": "112泰铢 | 12元 | 12 | 1.2泰铢 | 12",
    "5.5%": "55% | 0.55% | 5.5 | 5.5个百分点 | 百分之五十五",
    "0.75": "0.075 | 7.5 | 三分之四 | 75 | 3/5",
    "2000公斤": "2000吨 | 2000克 | 200公斤 | 2公斤",
    "增长105%": "1.05倍 | 增长1.5倍 | 105倍 | 下降105%",
    "顺差932亿美元": "逆差932亿美元 | -932亿美元",
    "一百八": "108 | 1.8",
    "年利率4.35%": "月利率4.35% | 日利率4.35% | 每月4.35%",
    "市盈率15倍": "市净率15倍 | 市盈率1.5倍",
    "单位：万元，金额 1,280": "1280元 | 1,280千元",
    "同比增长4%": "quarter-on-quarter growth of 4% | 环比4%",
    "贷存比0.72": "0.72% | 7.2",
    "低于-5%": "跌幅不足5% | 低于5%",
    "八五折": "优惠85% | 打八折 | 8.5%",
    "每人每月800元": "800元/人·年 | 每月800元 | 每人800元",
    "12,5%": "125% | 1,25%",
    "三百二十五人": "三百零二人 | 32.5人 | 3250人 | 325家",
}
SKIPPED = {("12泰铢", "12"), ("5.5%", "5.5"), ("800万元", "800")}
"""A bare number agrees with any unit: the question gave it."""


def test_a_bare_number_is_meant_in_the_scale_that_was_asked_for() -> None:
    """800 is 800万元 where the question says 多少万元, and nowhere else."""
    asked = asked_scale("2022年营收是多少万元？")
    assert is_right("800", "800万元", scale=asked)
    assert not is_right("800", "800亿元", scale=asked)
    assert not is_right("800", "800万元", scale=asked_scale("2022年营收是多少？"))
    assert is_right("5", "5 million", scale=asked_scale("what is it, in millions?"))


def spellings(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("|")]


PAIRS = [
    (answer, one)
    for group in SAME.values()
    for one in spellings(group)
    for answer in spellings(group)
]
WRONG = [
    (answer, reference)
    for reference, group in OTHER.items()
    for answer in spellings(group)
    if (reference, answer) not in SKIPPED
]


def test_the_sample_is_large() -> None:
    """At least four hundred spellings are compared."""
    assert len(PAIRS) + len(WRONG) >= 400


def test_the_same_amount_is_right_in_any_spelling() -> None:
    """Each spelling of an amount agrees with each other one."""
    assert [(a, b) for a, b in PAIRS if not is_right(a, b)] == []


def test_another_amount_is_never_right() -> None:
    """Neither a power of ten, a unit, a sign, a bound nor an unknown word is forgiven."""
    assert [(a, b) for a, b in WRONG if is_right(a, b)] == []


@pytest.mark.parametrize("pair", WRONG, ids=" != ".join)
def test_nor_is_it_right_the_other_way_round(pair: tuple[str, str]) -> None:
    """Which of the two is the reference changes nothing."""
    answer, reference = pair
    assert pair == ("800", "800万元") or not is_right(reference, answer)
