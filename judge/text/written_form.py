"""Normalises a text for the rules, so that no trick hides a word from a search.

头 孢, 頭孢, ⽤药 and **头孢** are read as a person reads them. Each character of the plain text
knows its index in the original, so a hit can be reported there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_CJK = r"\u3400-\u4dbf\u4e00-\u9fff"

_TRADITIONAL = """
藥药 醫医 診诊 頭头 壓压 腫肿 綜综 徵征 嗎吗 開开 關关 門门 婦妇 產产 嬰婴 兒儿 幾几 個个 這这 麼么
們们 說说 話话 請请 問问 應应 該该 會会 來来 時时 間间 後后 過过 還还 沒没 為为 給给 買买 醬酱 喫吃
飲饮 飯饭 針针 劑剂 減减 遞递 換换 斷断 續续 繼继 連连 週周 歲岁 齡龄 懷怀 餵喂 養养 寶宝 溫温 燒烧
熱热 發发 癢痒 軟软 無无 氣气 難难 暈晕 癲癫 癇痫 瘡疮 瘓痪 癱瘫 膚肤 腦脑 臟脏 腎肾 膽胆 腸肠 節节
頸颈 腳脚 臉脸 貧贫 濕湿 風风 類类 瀉泻 祕秘 鬱郁 慮虑 確确 絕绝 對对 顯显 檢检 驗验 單单 電电 緊紧
趕赶 馬马 盡尽 護护 車车 撥拨 聯联 絡络 係系 線线 親亲 媽妈 爺爷 殺杀 輕轻 離离 遺遗 書书 樓楼 橋桥
繩绳 農农 誤误 嘔呕 噴喷 傷伤 燙烫 縫缝 紅红 顆颗 貼贴 塗涂 輸输 點点 惡恶 結结 聽听 從从 勸劝 讓让
須须 試试 聞闻 夠够 當当 隨随 長长 別别 貴贵 帶带 師师 專专 業业 員员 處处 據据 藉借 獨独 遠远 邊边
兩两 雙双 參参 術术 勢势 認认 識识 變变 覺觉 學学 樣样 現现 裡里 裏里 麵面 鹽盐 體体 輔辅 蟲虫 黴霉
菸烟 煙烟 擔担 憂忧 癥症 癤疖 頓顿 臨临 嚴严 轉转 動动 靜静 滯滞 鈣钙 鐵铁 劇剧 鎮镇 鬆松 龍龙 爾尔
羅罗 奧奥 韋韦 蘭兰 慶庆 鏈链 環环 諾诺 維维 纈缬 貝贝 華华 達达 倫伦 蘇苏 嗆呛 塊块 繃绷 絞绞 緒绪
償偿 級级 聲声 誰谁 總总 裝装 嚥咽 閉闭 禦御 歷历 曆历 傳传 僅仅 佈布 採采 鑒鉴 鑑鉴 啟启 淚泪 灑洒
烏乌 猶犹 獲获 畫画 癒愈 監监 盤盘 種种 稱称 穩稳 窮穷 筆笔 築筑 紗纱 純纯 細细 終终 經经 網网 練练
織织 繞绕 罵骂 聖圣 與与 舉举 舊旧 艱艰 萬万 葉叶 蔥葱 號号 補补 複复 復复 規规 視视 觀观 訂订 計计
記记 許许 訴诉 評评 詢询 語语 調调 談谈 論论 諮咨 謝谢 證证 讀读 貓猫 賣卖 質质 賴赖 趨趋 跡迹 踐践
軀躯 較较 輛辆 辦办 進进 遲迟 適适 選选 郵邮 鄰邻 鈉钠 鉀钾 銀银 錢钱 錠锭 鍵键 鐘钟 閃闪 陽阳 陰阴
際际 隱隐 雖虽 雞鸡 霧雾 響响 項项 順顺 預预 領领 額额 願愿 顧顾 飛飞 餓饿 餘余 饒饶 騙骗 驚惊 骯肮
鬧闹 魚鱼 鮮鲜 鹹咸 齒齿 傑杰 備备 價价 億亿 優优 內内 劃划 創创 勁劲 勞劳 務务 勝胜 區区 協协 嘗尝
國国 圍围 執执 場场 墮堕 壞坏 夢梦 奪夺 娛娱 孫孙 寧宁 實实 審审 寫写 寬宽 導导 屬属 島岛 嶽岳 彈弹
強强 徑径 愛爱 態态 慣惯 憑凭 戰战 戶户 掃扫 掛挂 損损 搶抢 擇择 擠挤 擾扰 攝摄 攢攒 敗败 數数 於于
晝昼 暫暂 條条 極极 構构 榮荣 標标 樹树 橫横 歐欧 歡欢 歸归 殘残 毀毁 決决 況况 淨净 漸渐 潰溃 濃浓
灘滩 災灾 滅灭 圓圆 虧亏 漲涨 儲储 貸贷 債债 資资 營营 稅税 賬账 帳账 幣币 鎊镑 約约 負负 贏赢 縮缩
盧卢 韓韩 銖铢 噸吨 題题 滿满 獎奖 準准 錄录 統统 則则 閱阅 绐给 囬回 囘回 満满 銷销
"""
"""Pairs of a traditional and a simplified character, as far as our words need them."""
SIMPLIFIED = {pair[0]: pair[1] for pair in _TRADITIONAL.split()}

_MAP = str.maketrans(
    SIMPLIFIED
    | {chr(0xFF01 + i): chr(0x21 + i) for i in range(94) if chr(0x21 + i).isalnum()}
    | {chr(0xFF05): "%", "﹐": "，", "､": "，", "｡": "。", "．": ".", "\u00a0": " ", "\u3000": " "}
)
_TO_SIMPLIFIED = str.maketrans(SIMPLIFIED)
_FORMS = re.compile(r"[\u2e80-\u2fdf\uf900-\ufaff]")
"""Radicals and compatibility forms that look like common characters."""
_HALF_WIDTH = re.compile(rf"(?<=[{_CJK}])[,;:?!](?!\d)")
_FULL_WIDTH = dict(zip(",;:?!", "，；：？！", strict=True))
_UNSEEN = re.compile(
    r"[\u00ad\u034f\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u20d0-\u20ff\u3164\ufe00-\ufe0f\ufeff\uffa0*`]+"
)
"""Invisible characters and marks of emphasis."""
_BETWEEN = re.compile(
    rf"(?<=[{_CJK}])[ \t·•‧・‐‑\-_/\\|+~～^=&#@'’]+(?=[{_CJK}])"
    rf"|(?<=[{_CJK}]) +(?=\d)|(?<=\d) +(?=[{_CJK}])"
    rf"|(?<=[{_CJK}])[.](?=[{_CJK}](?![{_CJK}]))|(?<=(?<![{_CJK}])[{_CJK}])[.](?=[{_CJK}])"
)
"""Separators inside a word."""
_CHANGED = re.compile(
    f"[{''.join(map(chr, _MAP))}]|{_FORMS.pattern}|{_HALF_WIDTH.pattern}"
    f"|{_UNSEEN.pattern}|{_BETWEEN.pattern}"
)


@dataclass(frozen=True, slots=True)
class Plain:
    """A normalised text with the places of its characters in the original."""

    text: str
    places: Sequence[int]
    """Index of each character in the original text."""

    def written(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text for a span of the plain text."""
        return self.places[start], self.places[end - 1] + 1


def simplified(text: str) -> str:
    """`text` with the traditional characters of our words in simplified form."""
    return text.translate(_TO_SIMPLIFIED)


def read_plain(text: str) -> Plain:
    """The plain form of a text; most texts are plain already."""
    if not _CHANGED.search(text):
        return Plain(text, range(len(text)))
    mapped = _FORMS.sub(_common_form, text.translate(_MAP))
    mapped = _HALF_WIDTH.sub(lambda mark: _FULL_WIDTH[mark.group()], mapped)
    plain = Plain(mapped, range(len(mapped)))
    return _without(_without(plain, _UNSEEN), _BETWEEN)


def _without(plain: Plain, noise: re.Pattern[str]) -> Plain:
    places: list[int] = []
    kept: list[str] = []
    last = 0
    for found in (*noise.finditer(plain.text), None):
        end = found.start() if found else len(plain.text)
        kept.append(plain.text[last:end])
        places.extend(plain.places[last:end])
        last = found.end() if found else end
    return Plain("".join(kept), places)


def _common_form(found: re.Match[str]) -> str:
    common = unicodedata.normalize("NFKC", found.group())
    return common if len(common) == 1 else found.group()
