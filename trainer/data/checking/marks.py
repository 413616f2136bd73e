"""What a model must not learn to write: chat templates' marks, and thoughts out of their place."""

from __future__ import annotations

import re

from galen import transcript
from galen.transcript import THINK_CLOSE, THINK_OPEN
from trainer.data.problems import BadRow

_NAMES = (
    "im_start|im_end|im_sep|im_user|im_assistant|im_system|im_middle|endoftext|startoftext"
    "|eot_id|eom_id|start_header_id|end_header_id|begin_of_text|end_of_text|finetune_right_pad_id"
    "|eot|eom|header_start|header_end|python_tag|start_of_role|end_of_role|system|user|assistant"
    "|observation|tool|end|bot|eos|bos|pad|channel|message|start|return|call|constrain|endofprompt"
    "|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN|USER_TOKEN|CHATBOT_TOKEN|SYSTEM_TOKEN"
)
SPECIAL = re.compile(
    rf"<\|(?:{_NAMES})\|>"
    r"|<｜[^｜<>\n]{1,40}｜>"
    r"|<(?:start|end)_of_turn>|<[eb]os>|<_(?:user|bot|end|system)>|<eo[ah]>|<reserved_\d+>"
    r"|\[/?INST\]|<</?SYS>>|\[gMASK\]|<[es]op>"
    r"|</s>\s*(?:<s>|\[INST\])"
)
"""Marks of the templates of Qwen, Llama, Mistral, Gemma, GLM, DeepSeek, Phi, Baichuan and others.
Most are one token each, so a model would take them for the end of a turn."""
NEXT_TURN = re.compile(
    r"^### ?(?:Instruction|Response|Human|Assistant|User|Input):|^\[Round \d+\]"
    r"|(?<=\n)(?:Human|User|Assistant|USER|ASSISTANT)[:：]",
    re.MULTILINE,
)
"""Turns' marks in templates that use plain words. They count in answers only."""
_END = re.compile(r"</s>\s*\Z")
_QUOTED = re.compile(
    r"```.*?```|`[^`\n]*`"
    r"|([\"'“‘「『（(《【])\s*</?think>\s*[\"'”’」』）)》】]"
    r"|<think>\s*(?:…+|\.{3,}|[和与及、，,/]|到|至|and|or|to)?\s*</think>",
    re.DOTALL,
)
"""Places in which tags of a thought are only spoken of."""
_IN_PLACE = re.compile(r"<think>.*?</think>|^\s*</?think>|</?think>\s*$", re.DOTALL | re.MULTILINE)
_QUOTE = "set the tags in backticks if the text speaks of them; else delete the row"
_VISIBLE = re.compile(r"[^\s\ufeff\u200b\u200c\u200d\u2060]")
"""White space is invisible, and so are the marks of width zero, which `str.strip` leaves."""


def is_blank(text: str) -> bool:
    return not _VISIBLE.search(text)


def mark(text: str, *, is_answer: bool) -> re.Match[str] | None:
    """The first mark of a chat template in `text`."""
    found = None
    if "<" in text or "[" in text:
        found = SPECIAL.search(text) or (None if "<s>" in text else _END.search(text))
    later = NEXT_TURN.search(text) if is_answer and (":" in text or "]" in text) else None
    return later if later and not (found and found.start() < later.start()) else found


def check_answer(field: str, text: str) -> None:
    """Raises `BadRow` for a thought that is out of its place, or that no answer follows."""
    if THINK_OPEN not in text and THINK_CLOSE not in text:
        return
    after = text
    if text.lstrip().startswith(THINK_OPEN):
        thought, closed, after = text.lstrip().removeprefix(THINK_OPEN).partition(THINK_CLOSE)
        if not closed:
            raise BadRow(field, "the thought is not closed", "add </think>, or delete the row")
        if THINK_OPEN in thought and re.search(r"^\s*<think>", thought, re.MULTILINE):
            raise BadRow(field, "opens a thought twice", "keep one <think>")
    elif THINK_CLOSE in text and THINK_OPEN not in text.partition(THINK_CLOSE)[0]:
        after = text.partition(THINK_CLOSE)[2]  # The template opened the thought.
    if is_blank(transcript.parse(text).answer):
        raise BadRow(field, "no answer follows the thought", "add one, or delete the row")
    if found := _IN_PLACE.search(_QUOTED.sub("", after)):
        raise BadRow(field, _reason(found[0], is_thought_before=after is not text), _QUOTE)


def _reason(found: str, *, is_thought_before: bool) -> str:
    if THINK_OPEN not in found:
        return "closes a thought that is not open"
    return "holds a second thought" if is_thought_before else "text stands before the thought"
