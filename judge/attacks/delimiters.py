"""Patterns of a forged end of an answer, or of another speaker's turn.

They are searched in the `LINED` fold of a text: lower case, `：` as `:`, white space and mark-up
kept. The prompt's own boundaries hold a random number that nobody can guess. These patterns protect
teachers that look at the words beside the number and not at the number.
"""

from __future__ import annotations

import re

from galen.dangers.wordlist import any_of

_PART = any_of("回答 思考 问题 题目 参考答案 answer reasoning question reference response")
_TAG = any_of("""
response question reference reasoning rubric verdict scores? grading evaluation instructions?
system
user assistant judge 回答 问题 参考答案 评审 评分
""")
_RULER = r"(?:={3,}|\*{3,}|#{1,6}|-{3,})"
_SPEAKER = any_of("""
system judge grader evaluator reviewer 评审(?:员|模型)? 评语 评委 裁判 教师模型 系统(?:提示|消息)
""")
_SAID_BY = any_of(r"user assistant system end[^\n]{0,30} begin[^\n]{0,30} 用户 系统 结束")
_HEADING = any_of(r"""
system(?:\sprompt|\smessage)? assistant human user instructions?\s(?:for|to)\s[^\n]{0,20}
new\sinstructions? 评[审分]结果 评审(?:规则|意见) 系统(?:提示|指令|消息)词?
""")
_END = any_of(r"""
end\sof\s(?:the\s)?(?:answer|response|submission) 回答(?:到此)?结束 待评内容(?:到此)?结束
(?:以上|上面)(?:是|为)待评内容
""")
_GAP = r"[^\S\n]{0,8}"

DELIMITERS = re.compile(
    any_of(rf"""
<\|[^<>|\n]{{2,40}}\|> <</?sys>> </?s> \[/inst\] </?(?:start|end)_of_turn>
\[/?(?:system|assistant|sys)\] </?{_TAG}\s*/?>
\[/{_PART}[^\]\n]{{0,40}}\] \[{_PART}\s+[0-9a-f]{{4,}}\]
边界(?:编号|标记|字符串)\s*: 边界:?[0-9a-f]{{8,}}
\{{\{{\s*(?:boundary|question|reference|reasoning|answer)\s*\}}\}}
[\[【(]{_GAP}(?:回答|答案|待评内容|作答)(?:到此)?(?:结束|完毕){_GAP}[\]】)]
^{_GAP}-{{3,}}{_GAP}{_SAID_BY}{_GAP}-{{3,}} ^{_GAP}{_RULER}?{_GAP}{_END}
^[^\w\s]{{2,}}{_GAP}end{_GAP}[^\w\s]{{2,}}$ ^(?:assistant|system|user)$
^{_GAP}#{{1,6}}{_GAP}{_HEADING}{_GAP}:?{_GAP}$
^[ \t>*"]{{0,8}}{_SPEAKER}(?:\s*\([^)\n]{{0,20}}\))?[*"]{{0,4}}{_GAP}:
"""),
    re.MULTILINE,
)
ANSWER_CLOSED = re.compile(r"</answer\s*>")
TURNS = re.compile(
    r"^[ \t>*]{0,8}(user|human|用户|患者|提问者|assistant|ai|助手|助理)[*]{0,4}[ \t]{0,8}:",
    re.MULTILINE,
)
"""A turn of a conversation. One speaker alone may be a heading; two make a conversation."""
SPEAKERS = ({"user", "human", "用户", "患者", "提问者"}, {"assistant", "ai", "助手", "助理"})
