"""Laws of what is learnt of a conversation."""

from __future__ import annotations

import itertools
from pathlib import Path

from trainer.data.example import Message
from trainer.data.tokens import encode
from trainer.model import load_tokenizer

THOUGHT = Message("assistant", "<think>hm</think> \n yes")
PLAIN = Message("assistant", "no")
QUESTION, AGAIN = Message("user", "who"), Message("user", "why")

SIMPLE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + ':' + m.content + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
)
OPENS = SIMPLE.replace("m.content", "m.content.split('</think>')[-1]").replace(
    "assistant:{%", "assistant:<think>\n{%"
)
CLOSES = OPENS.replace("<think>\n", "<think>\n\n</think>\n\n")


def learnt(toy: Path, template: str | None, *messages: Message) -> list[str]:
    """Each sequence, with what is learnt of it in brackets."""
    tokenizer = load_tokenizer(toy)
    tokenizer.chat_template = template or tokenizer.chat_template
    found = []
    for encoded in encode(tokenizer, messages):
        groups = itertools.groupby(
            zip(encoded.completion_mask, encoded.input_ids, strict=True), key=lambda pair: pair[0]
        )
        text = ""
        for is_learnt, pairs in groups:
            part = tokenizer.decode([token for _, token in pairs])
            text += f"[{part}]" if is_learnt else part
        found.append(text.replace("<|im_start|>", "<").replace("<|im_end|>", ">"))
    return found


def test_every_turn_of_the_assistant_is_learnt_with_its_end(toy: Path) -> None:
    """In one sequence, where the template shows earlier turns as they were written."""
    said = learnt(toy, SIMPLE, Message("system", "s"), QUESTION, PLAIN, AGAIN, THOUGHT)
    thought = "<think>\nhm\n</think>\n\nyes"
    assert said == [f"<system:s><user:who><assistant:[no>]<user:why><assistant:[{thought}>]"]


def test_a_template_that_leaves_out_earlier_thoughts_gets_a_sequence_for_each_turn(
    toy: Path,
) -> None:
    """So that each is learnt after the prompt that the server will send."""
    assert learnt(toy, None, QUESTION, THOUGHT, AGAIN, THOUGHT) == [
        "<user\nwho>\n<assistant\n[<think>\nhm\n</think>\n\nyes>]",
        "<user\nwho>\n<assistant\nyes>\n<user\nwhy>\n<assistant\n[<think>\nhm\n</think>\n\nyes>]",
    ]


def test_an_earlier_turn_is_shown_as_a_client_sends_it_back(toy: Path) -> None:
    """Without its thought, even where the template would show it."""
    assert learnt(toy, SIMPLE, QUESTION, THOUGHT, AGAIN, PLAIN) == [
        "<user:who><assistant:[<think>\nhm\n</think>\n\nyes>]",
        "<user:who><assistant:yes><user:why><assistant:[no>]",
    ]


def test_what_the_template_writes_itself_is_not_learnt_twice(toy: Path) -> None:
    """A thought that the prompt opens goes on; one that it closes is not learnt at all."""
    assert learnt(toy, OPENS, QUESTION, THOUGHT) == [
        "<user:who><assistant:<think>\n[hm\n</think>\n\nyes>]"
    ]
    assert learnt(toy, CLOSES, QUESTION, THOUGHT) == [
        "<user:who><assistant:<think>\n\n</think>\n\n[yes>]"
    ]


def test_a_conversation_that_ends_with_a_question_is_learnt_up_to_it(toy: Path) -> None:
    """The last question has no answer to learn from."""
    assert learnt(toy, SIMPLE, QUESTION, PLAIN, AGAIN) == ["<user:who><assistant:[no>]"]
