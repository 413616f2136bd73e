"""A conversation as the token ids that a model learns from, by the model's own chat template.

Only what the assistant writes is learnt: each of its turns, from the end of the prompt that the
template makes to the token that ends the turn. Prompts are those that the server sends, so that
training, rollouts and serving see the same ids.

Earlier turns are shown by their answers alone: a client sends back what it was shown as content,
not the thought. So a conversation is one sequence for as long as nobody thinks, and the turn after
a thought begins a sequence of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from transformers import PreTrainedTokenizerBase

from galen import transcript
from galen.transcript import THINK_OPEN, Opening
from trainer.data.example import Example, Message


@dataclass(slots=True)
class Encoded:
    """Token ids, and for each of them 1 if it is learnt, else 0."""

    input_ids: list[int] = field(default_factory=list)
    completion_mask: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], learnt: int) -> None:
        self.input_ids += ids
        self.completion_mask += [learnt] * len(ids)


def encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Iterator[Encoded]:
    """The sequences of a conversation; every turn of the assistant is learnt in one of them."""
    messages = [_normal(each) for each in messages]
    current, shown = Encoded(), ""
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = prompt_text(tokenizer, messages[:index])
        if not prompt.startswith(shown):
            yield current
            current, shown = Encoded(), ""
        written = _completion(tokenizer, prompt, messages[:index], message)
        current.add(ids(tokenizer, prompt[len(shown) :]), learnt=0)
        current.add(ids(tokenizer, written), learnt=1)
        shown = prompt + written
    if current.input_ids:
        yield current


def sequences(tokenizer: PreTrainedTokenizerBase, example: Example) -> Iterator[Encoded]:
    """What the stages train on: of a pair the better answer, then the worse; of a prompt nothing
    is learnt, of a document all."""
    if example.kind == "document":
        found = [*ids(tokenizer, str(example.text)), int(tokenizer.eos_token_id)]
        yield Encoded(found, [1] * len(found))
    elif example.kind == "prompt":
        found = prompt_ids(tokenizer, example.messages)
        yield Encoded(found, [0] * len(found))
    elif example.kind == "conversation":
        yield from encode(tokenizer, example.messages)
    for answer in (example.chosen, example.rejected, example.completion):
        if answer is not None:
            prompt, written = answered(tokenizer, example.messages, answer)
            whole = Encoded()
            whole.add(ids(tokenizer, prompt), learnt=0)
            whole.add(ids(tokenizer, written), learnt=1)
            yield whole


def answered(
    tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], answer: str
) -> tuple[str, str]:
    """The text of a prompt and of one answer to it, its end token included."""
    said = prompt_text(tokenizer, prompt)
    message = _normal(Message("assistant", answer))
    return said, _completion(tokenizer, said, prompt, message)


def parts(input_ids: Sequence[int], mask: Sequence[int]) -> list[tuple[list[int], bool]]:
    """Runs of token ids that are learnt, or not."""
    pairs = itertools.groupby(zip(mask, input_ids, strict=True), key=lambda pair: pair[0])
    return [([token for _, token in group], bool(learnt)) for learnt, group in pairs]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids up to the start of the assistant's next turn."""
    return ids(tokenizer, prompt_text(tokenizer, messages))


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """The template's text up to the start of the assistant's next turn."""
    return _rendered(tokenizer, map(_sent_back, messages), to_go_on=True)


def _sent_back(message: Message) -> Message:
    """An earlier turn as a client of the server sends it: without the thought."""
    if message.role != "assistant":
        return message
    read = transcript.parse(message.content)
    is_whole = not read.closed or read.answer == message.content.strip()
    return message if is_whole else replace(message, content=read.answer)


def _normal(message: Message) -> Message:
    """A thought in the form that `galen.transcript` writes, whatever white space the data has."""
    if message.role != "assistant":
        return message
    read = transcript.parse(message.content)
    has_thought = bool(read.reasoning) and read.closed
    return replace(message, content=read.render()) if has_thought else message


def _completion(
    tokenizer: PreTrainedTokenizerBase, prompt: str, before: Sequence[Message], message: Message
) -> str:
    """What the assistant writes after `prompt`, its end token included."""
    end = str(tokenizer.eos_token)
    whole = _rendered(tokenizer, [*map(_sent_back, before), message], to_go_on=False)
    if whole.startswith(prompt) and end in whole[len(prompt) :]:
        written, _, _ = whole[len(prompt) :].rpartition(end)
        return written + end
    # The template opens or closes the thought by itself.
    read = transcript.parse(message.content)
    opening = transcript.opening_of(prompt)
    if opening is Opening.CLOSED:
        return read.answer + end
    written = read.render()
    if opening is Opening.THOUGHT:
        written = written.removeprefix(THINK_OPEN).lstrip("\n")
    return written + end


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Iterable[Message], *, to_go_on: bool
) -> str:
    turns = [{"role": each.role, "content": each.content} for each in messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=to_go_on))


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The text's token ids, nothing added."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
