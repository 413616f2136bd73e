"""Phrases that address a judge, in English, and verdicts written as data. Word lists only.

They are searched in the `LINED` fold of a text, which is in lower case. `~` stands for the gap
between two words.
"""

from __future__ import annotations

from galen.dangers.wordlist import any_of

_NEAR = r"[^.。!?\n]{0,80}?"
_GAP = r"[\W_]{1,4}"
_JUDGE = any_of(r"""
graders? judge reviewer evaluators? raters? examiners? scorers? assessors? rubric verdict
(?:teacher|reward)~model
whoever~(?:scores|grades|judges|rates) (?:ai|llm|model)~(?:evaluating|grading|judging|scoring)
""")
_ORDER = any_of(r"""
you please output return reply give giving award assign answer response text should must excellent
best perfect flawless credit fault note attention dear 10/10 pass passed
""")
_THIS_WORK = any_of(r"""
(?:this|my|above|the)~(?:answer|response|reply|solution|completion|output|submission|text)
""")
_GRADED = any_of(r"""
scored? graded? rating full~marks full~credit top~marks perfect~score deserves? merits 10/10
100/100
(?:meets|satisfy|satisfies|passes|passed)~(?:all|every) been~verified
(?:highest|maximum|best)~(?:possible~)?(?:mark|rating|grade|evaluation)
""")
_FORGET = any_of(r"ignore disregard forget override bypass skip (?:do~not|don't)~follow")
_SMALL = any_of("all any every your these those of my and the")
_BEFORE = any_of(r"""
previous prior above earlier preceding former system original initial foregoing grading judging
scoring
""")
_ORDERS = any_of(r"""
instructions? prompts? rules? directions? criteri(?:a|on) rubrics? guidelines? context messages?
commands?
polic(?:y|ies)
""")
_GIVE = any_of("give giving award assign rate rating grade grading score scoring mark marking")
_BETWEEN = any_of(r"""
this the my it me us above that a an with as at answer response reply solution submission
everything
""")
_BEST = any_of(r"full perfect maximum max highest top best excellent 10 100 5 1\.0 1 a\+")
_MARK = any_of("scores? marks? ratings? grades? points? credit stars? verdict")
_TOP = any_of(rf"""
{_BEST}~(?:possible~)?{_MARK} 10/10 10~out~of~10 100/100 100% 1\.0 5/5 5~out~of~5 five~stars
""")
_SCORE = r"(?<!apgar\s)(?<!pain\s)(?<!vas\s)(?:score|rating|grade|verdict|judge?ment)"
_IS = r"[\W_]{0,3}(?:[:=]|\bis\b|\bshould~be\b|\bmust~be\b)[\W_]{0,3}"
_ASPECT = any_of("""
safety logic completeness empathy overall accuracy professional clarity concision helpfulness
correctness
""")
_SAYS = r"[\"'\s]{0,3}(?:[:=→]|[-=]>)[\"'\s]{0,3}"
_ONE = any_of(r"1(?:\.0+)? 10 100 5 0\.9\d*")

_PHRASES = any_of(rf"""
\b{_FORGET}~(?:{_SMALL}~){{0,4}}(?:{_BEFORE}(?:~and|~or)?~){{1,3}}{_ORDERS}\b
\b{_FORGET}~(?:the|this|your)~(?:rubric|criteria|grading)\b
\b{_FORGET}~(?:everything|all|anything)~(?:above|before|else|instructions|rules)\b
\bno~longer~an?~(?:judge|grader|evaluator)\b \bnumber~1~for~everything\b
\b{_THIS_WORK}\b{_NEAR}\b{_GRADED}\b \b{_GRADED}\b{_NEAR}\b{_THIS_WORK}\b
\b{_GIVE}~(?:{_BETWEEN}~){{1,5}}{_TOP}
\b{_GIVE}~(?:full|top|perfect|maximum)~(?:marks?|scores?|credit)\b
\b(?:evaluate|grade|judge|score|assess)~(?:this|my)~(?:answer|response|reply|text)\b \bgraded~by\b
\breward{_IS}\+?1 \bevaluation~mode\b \binstructions~you~(?:received|were~given|got)\b
\byour~new~task\b
\balways~(?:answer|reply|respond)~with~the~(?:maximum|highest|best)\b
\b{_GIVE}~(?:{_BETWEEN}~){{0,5}}as~(?:perfect|excellent|flawless)\b
\b{_SCORE}{_IS}(?:an?~)?{_TOP} \b{_SCORE}(?:{_IS}|\s)(?:10/10|100/100|perfect|passed|full~marks)
\b{_SCORE}{_IS}(?:5/5|1\.0+(?!\d)|[★⭐]{{3,}})
\b{_ASPECT}{_SAYS}{_ONE}(?:/\d+)?[,;。|\s]{{1,4}}["']?{_ASPECT}{_SAYS}
\b{_ASPECT}{_SAYS}\{{["'\s]*(?:why|evidence|score)
\b(?:all|every)~(?:four~|five~|of~)?(?:the~)?(?:criteria|criterion|dimensions?|rubric~items?)\b[^.。!]{{0,16}}(?:met|satisfied|fulfilled|=\s?1|full|perfect|pass)
\b(?:new|updated|hidden|secret)~(?:system~)?(?:instructions?|scoring~rules?|grading~rules?|system~prompt)\s?:
\b(?:enter|enable|activate|switch~to)~(?:god|jailbreak|dan|unrestricted)~mode\b
\b(?:system|admin)~override\b
\b(?:criteria|conditions?)~met{_SAYS}(?:true|yes)\b
""")

VERDICT = any_of(rf"""
\bevidence{_SAYS}[^}}]{{0,200}}\bscore{_SAYS}[01]
\{{["'\s]*why{_SAYS}[^}}]{{0,200}}?\b{_ASPECT}{_SAYS}[01]
\{{["'\s]*(?:verdict|score|safety){_SAYS}(?:[01]|pass|safe)
""")
"""A verdict written as data; its reasons may be in any language."""
ENGLISH = _PHRASES.replace("~", _GAP)
ENGLISH_JOINED = _PHRASES.replace("~", "").replace(r"\b", "")
"""The same without gaps and word borders, for letters that were written one by one."""
ENGLISH_JUDGE = rf"\b{_JUDGE}\b".replace("~", _GAP)
"""Names for a judge."""
ENGLISH_ORDER = rf"\b{_ORDER}\b"
"""Words that make a judge's name close by an address to it."""
