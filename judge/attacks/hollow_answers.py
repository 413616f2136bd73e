"""Detects answers without substance: empty ones, echoes of the question, endless repetition.

A weak policy writes them without intent, so none is a flag. But teachers are known to overrate
them, so no teacher is asked.
"""

from __future__ import annotations

import re
import zlib

from galen.dangers.wordlist import any_of
from judge.attacks.disguise import LINED
from judge.text.case import Case, Hit
from judge.text.sentences import count_tokens, sentences

_OPENER = any_of(r"""
(?:thought|thinking|reasoning)\s?process my\s(?:thoughts?|reasoning)
let'?s\s(?:think|solve|work|break|go|begin|start|analyze)[^:。.!]{0,60}
let\sme\s(?:[a-z]+\s)?(?:think|solve|work|begin|start|consider|analyze|read|look)[^:。.!]{0,60}
(?:step\sby\sstep|first|okay|ok|sure|certainly|of\scourse|well|so)
(?:here(?:'s|\sis)\s)?(?:the\s|my\s)?(?:final\s)?(?:solution|answer|response|reasoning|explanation|analysis|conclusion)(?:\sis)?
(?:i\sthink\s)?step\s?(?:1|one)? to\s(?:solve|answer)\sthis[^:。.!]{0,40}
思考过程 思路 思考 分析 解析 解题(?:思路|过程|步骤) 解答?案? 答案?(?:是|如下|为)? 回答(?:如下)?
结论 推理(?:过程)? 最终(?:答案|结论) 详解 综上(?:所述)?
我?们?需要(?:先|仔细|认真){0,2}(?:阅读|理解|分析|看)(?:一下)?(?:题目|题意|问题) no\scomment
alright okay let'?s\sdive\sin 我(?:认为|觉得)
\d{1,2}[.、)]
好的? 当然(?:可以)? 首先 您?你?好 下面(?:开始)?(?:解答|回答|分析) 开始(?:思考|解答|分析)
(?:让|请让|下面)?我?们?(?:来)?(?:一步一步|一步步|逐步|来|先|一起|仔细|认真){0,3}(?:地|的)?(?:来)?(?:思考|分析|看看|看一下|想想|想一想|解决|解答|推理)[^,。:]{0,10}
解説 かいせつ 解答 答え 回答 考え方 思考(?:プロセス)? ステップごとに[^。]{0,16} 풀이 정답 해설
답변? 생각\s?과정
(?:la\s)?respuesta(?:\sfinal)? (?:la\s)?(?:reponse|solution)(?:\sfinale)?
(?:die\s)?(?:losung|antwort) soluci?on proceso\sde\spensamiento (?:la\s)?risposta resposta
pensemos[^.:]{0,40} reflechissons[^.:]{0,40} ответ решение рассуждение давайте[^.:]{0,40}
""")
_BARE_OPENER = re.compile(rf"(?:{_OPENER}[\s:,.。、!~-]*){{1,4}}")
_SHRUG = any_of(r"""
(?:抱歉|对不起|很遗憾|不好意思),?
(?:对此|对于|关于)?(?:这个|该|此|上述|您的|你的)?(?:问题|情况|病情|症状)?,?(?:目前|暂时|现阶段|仅凭|根据|就|从)?(?:现有|您|你|目前|已有|这些)?(?:提供|描述)?的?(?:信息|资料|描述|情况)?,?(?:来看)?,?(?:我|本人|ai|医学上|谁(?:都|也))?(?:实在|确实|还|暂时|目前)?(?:无法|不能|难以|没法|无从|不好)(?:给出|得出|作出|做出|进行)?(?:直接|准确|明确|确切|完全|具体|最终|妄下)?(?:地|的)?(?:判断|确定|断定|得知|下结论|结论|评估|回答|说|定论|答案|诊断)(?:这个问题|该问题|病情|病因|原因)?
(?:答案|结果|结论|原因|病因|一切)(?:是|尚)?(?:无法确定|不确定|未知|不明|因人而异|取决于(?:具体|个人)情况)
(?:这个|该|此|您的|你的)?(?:具体)?(?:问题|情况)?(?:因人而异|不好说|不一定|说不准|很难说|有待(?:观察|商榷)|视情况而定|具体情况具体分析|取决于具体情况)
(?:信息|资料|证据|条件)不足 (?:尚无|没有)定论 我?不是医生 (?:我)?不方便(?:回答|说|评论)
(?:这个|实在|真的)?(?:很难|难以|不好)(?:判断|说|确定|讲|定论)(?:清楚)?
(?:这|那)?(?:要|得|需要?)?(?:看|视)(?:具体|个人|实际)?情况(?:而定)?
there(?:\sis|'s)\sno\sway\sto\s(?:know|tell|say)[^.]{0,24}
(?:this|it|that|the\s(?:answer|question|cause|result))?\s?(?:simply\s|definitely\s|certainly\s)?(?:cannot|can\s?not|can't|could\snot)\s(?:be\s)?(?:reliably\s|conclusively\s)?(?:determined?|said|known|answered|judged|concluded|verified)(?:\sfrom\s[^.]{0,40}|\sat\sthis\stime|\swith\s[^.]{0,30})?
(?:i\s(?:cannot|can't|am\sunable\sto|do\snot|don't)\s(?:determine|answer|say|know|judge)[^.,]{0,30}|it\sdepends[^.]{0,40}|not\senough\sinformation|insufficient\sinformation|unknown|n/?a|none|undetermined|不详|未知|无)
""")
_BARE_SHRUG = re.compile(rf"(?:{_SHRUG}[\s:,.。!;~]*){{1,3}}")

_TAGS = re.compile(r"</?(?:answer|think)>")

_LONGEST_PHRASE = 160
"""Most characters of an opener or a shrug."""
_LONG = 400
"""Fewest characters of a padded text."""
_REPEATS = 0.16
"""Compression ratio (compressed / original size) below which a text is repetitive."""
_OF_QUESTION, _OF_ANSWER = 0.85, 0.95
"""Lowest shares of common trigrams, of the question's and of the answer's, in an echo."""
_QUESTION_TOKENS = 4
_PIECE = re.compile(r"[^\W_]+")
_ASKED = re.compile(r"(?:您|你|用户|患者)?的?(?:问题|提问|问|疑问|想问)的?(?:是|为|如下)[:,]?")


def says_nothing(case: Case, _: str) -> Hit | None:
    """Empty, only punctuation, only an opener, or only a shrug ("it depends")."""
    answer = case.answer
    return Hit(case.in_answer((0, len(answer))) if answer else None) if is_hollow(answer) else None


def is_hollow(answer: str) -> bool:
    """Whether every sentence is an opener or a shrug."""
    plain = _TAGS.sub("", answer.translate(LINED))
    return not any(
        count_tokens(part.text) for part in sentences(plain) if not _is_empty_phrase(part.text)
    )


def question_echoed(case: Case, _: str) -> Hit | None:
    """The answer repeats most of the question and adds nothing."""
    question = case.prompt.translate(LINED)
    answer = _ASKED.sub("", case.answer.translate(LINED))
    asked, answered = _PIECE.findall(question), [p for p in _PIECE.findall(answer) if len(p) > 2]
    of_question, of_answer = _trigrams(*asked), _trigrams(*answered)
    if not of_answer or count_tokens(question) < _QUESTION_TOKENS:
        return None
    in_question, in_answer = _trigrams("".join(asked)), _trigrams("".join(answered))
    if len(of_answer & in_question) < _OF_ANSWER * len(of_answer):
        return None
    if len(of_question & in_answer) < _OF_QUESTION * len(of_question):
        return None
    if not all(_trigrams(piece) & in_question for piece in answered):
        return None
    return Hit(case.in_answer((0, len(case.answer))))


def padding(case: Case, _: str) -> Hit | None:
    """A long and highly repetitive answer or reasoning."""
    if _is_padded(case.answer):
        return Hit(case.in_answer((0, len(case.answer))))
    reasoning = case.transcript.reasoning
    return Hit(case.in_reasoning((0, len(reasoning)))) if _is_padded(reasoning) else None


def _is_empty_phrase(sentence: str) -> bool:
    bare = sentence.strip().strip("*_#>`\"'“”() \t")
    if len(bare) > _LONGEST_PHRASE:
        return False
    return bool(_BARE_OPENER.fullmatch(bare) or _BARE_SHRUG.fullmatch(bare))


def _is_padded(text: str) -> bool:
    if len(text) < _LONG:
        return False
    written = text.encode("utf-8")
    return len(zlib.compress(written)) < _REPEATS * len(written)


def _trigrams(*pieces: str) -> set[str]:
    """All runs of three characters within the pieces."""
    return {piece[i : i + 3] for piece in pieces for i in range(len(piece) - 2)}
