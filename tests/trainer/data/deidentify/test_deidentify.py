"""Laws of de-identification: what is found, what is left alone, and what stands in its place."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from faker import Faker
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from trainer.data.deidentify import Surrogates, deidentify, find, masked
from trainer.data.deidentify.find import id_card_is_valid, luhn_is_valid
from trainer.data.example import Example, Message

HERE = Path(__file__).parent
MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")
LEAST_RECALL, LEAST_PRECISION = 0.95, 0.9


@dataclass
class Counts:
    """Labelled spans that were found whole and that were missed, and finds without a label."""

    found: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)

    def recall(self, kind: str) -> float:
        return self.found[kind] / (self.found[kind] + self.missed[kind])

    def precision(self, kind: str) -> float:
        return self.found[kind] / (self.found[kind] + self.false[kind])


def unmarked(line: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The text, and kind, start and end of each marked span."""
    text, spans, at = "", [], 0
    for match in MARK.finditer(line):
        text += line[at : match.start()]
        spans.append((match[1], len(text), len(text) + len(match[2])))
        text, at = text + match[2], match.end()
    return text + line[at:], spans


def measured(lines: Iterable[str]) -> Counts:
    counts = Counts()
    for line in lines:
        text, labels = unmarked(line)
        spans = [(span.kind, span.start, span.end) for span in find(text)]
        for kind, start, end in labels:
            is_found = any(k == kind and s <= start and end <= e for k, s, e in spans)
            (counts.found if is_found else counts.missed)[kind] += 1
        for kind, start, end in spans:
            is_labelled = any(k == kind and s < end and start < e for k, s, e in labels)
            counts.false[kind] += not is_labelled
    return counts


@cache
def counts_of(whose: str) -> Counts:
    return measured(own_labels() if whose == "own" else generated(60))


def own_labels() -> list[str]:
    files = ("first.txt", "held_out.txt", "last.txt")
    lines = [line for name in files for line in (HERE / name).read_text("utf-8").splitlines()]
    return [line for line in lines if not line.startswith("#")]


def generated(count: int) -> list[str]:
    """Sentences with invented data of real shapes."""
    fake, dice = Faker("zh_CN"), random.Random(7)
    Faker.seed(7)
    lines = []
    for _ in range(count):
        area = f"{fake.province()}{fake.city_name()}市{fake.district()}区"
        street = f"{area}{fake.street_name()}{dice.randint(1, 999)}号"
        day = fake.date_of_birth(minimum_age=1, maximum_age=90)
        card = fake.credit_card_number("visa")
        lines += [
            f"患者[[name|{fake.name()}]]，男，30岁，电话[[phone|{fake.phone_number()}]]。",
            f"身份证号：[[id_card|{fake.ssn()}]]，住址：[[address|{street}]]，头痛三天。",
            f"[[birth_date|{day:%Y年%m月%d日}]]出生，邮箱[[email|{fake.ascii_email()}]]，复查血糖。",
            f"住院号[[hospital|ZY{dice.randint(10**6, 10**7)}]]，卡号[[bank_card|{card}]]。",
            f"医保卡号[[insurance|{dice.randint(10**9, 10**10)}]]，咳嗽{dice.randint(1, 30)}天。",
        ]
    return lines


KINDS = [
    "name",
    "phone",
    "hospital",
    "address",
    "birth_date",
    "insurance",
    "email",
    "id_card",
    "bank_card",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whose", ["own", "generated"])
def test_personal_data_is_found_and_other_words_are_left(kind: str, whose: str) -> None:
    """At least 95 % of each kind, and at most one find in ten is none."""
    counts = counts_of(whose)
    assert counts.recall(kind) >= LEAST_RECALL, counts
    assert counts.precision(kind) >= LEAST_PRECISION, counts


def test_there_are_enough_labels() -> None:
    """Three hundred of our own, and as many that were generated."""
    assert sum(len(unmarked(line)[1]) for line in own_labels()) >= 300
    assert sum(len(unmarked(line)[1]) for line in generated(60)) >= 300


def test_the_same_words_get_the_same_surrogate_in_every_process() -> None:
    """With the same seed; another seed gives others."""
    text = "患者张伟，男，手机13812345678。张伟的妻子不在。"
    one, two, other = (masked(text, Surrogates(seed))[0] for seed in (1, 1, 2))
    assert one == two != other
    assert "张伟" not in one
    assert "13812345678" not in one


@given(st.integers(0, 10**9))
def test_a_surrogate_is_of_the_same_shape_and_no_real_number(seed: int) -> None:
    """Check digits are wrong, lengths and separators stay."""
    surrogates = Surrogates(seed)
    card = surrogates.of("id_card", "11010519491231002X")
    assert len(card) == 18
    assert not id_card_is_valid(card)
    bank = surrogates.of("bank_card", "4111 1111 1111 1111")
    assert [len(part) for part in bank.split()] == [4, 4, 4, 4]
    assert not luhn_is_valid(bank.replace(" ", ""))
    assert re.fullmatch(r"100-00\d\d-\d{4}", surrogates.of("phone", "139-1788-6655"))
    assert len(surrogates.of("name", "欧阳娜娜")) == 3
    assert surrogates.of("birth_date", "1987年5月12日") == "1987-01-01"


@pytest.mark.parametrize(
    "text",
    [
        "谢谢医生！",
        "怀孕和胎儿的情况，医生怎么看",
        "孕妇和家长也需接受",
        "患者应向医生说明",
        "安胎，女性怎么做",
    ],
)
def test_words_that_begin_like_a_name_are_left(text: str) -> None:
    """As they were found in public samples."""
    assert find(text) == []


def test_all_that_a_row_says_is_cleaned_and_only_then_it_says_so() -> None:
    """In every turn and answer; a column without meaning may still hold something."""
    said = Message("user", "我叫陈晓明，手机18622334455")
    example = Example((said,), chosen="陈晓明您好，请就医", rejected="不知道", meta={"source": "x"})
    clean, counts = deidentify(example, Surrogates(1))
    assert counts == {"name": 2, "phone": 1}
    assert "陈晓明" not in str(clean.chosen)
    assert clean.meta == {"source": "x", "is_deidentified": True}
    assert clean.rejected == "不知道"
    kept, _ = deidentify(Example((said,), extra={"note": "陈晓明"}), Surrogates(1))
    assert kept.meta["is_deidentified"] is False


@given(st.text())
def test_any_text_is_cleaned_without_an_error(text: str) -> None:
    """Spans lie in the text, in order, and do not overlap."""
    ends = [end for span in find(text) for end in (span.start, span.end)]
    assert ends == sorted(ends)
    masked(text, Surrogates(0))


def test_the_command_writes_the_rows_and_counts(tmp_path: Path) -> None:
    """In the format that they came in; a row that cannot be read is named, and the status is 1."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    row = {"question": "我叫陈晓明，手机18622334455", "answer": "请就医"}
    source.write_text(json.dumps(row) + "\n" + json.dumps({"question": " "}) + "\n", "utf-8")
    done = CliRunner().invoke(app, ["data", "deidentify", str(source), str(out)])
    assert done.exit_code == 1
    assert "line 2: question: is empty" in done.stderr
    assert done.stdout.splitlines()[:2] == ["name               1", "phone              1"]
    (written,) = out.read_text("utf-8").splitlines()
    assert "陈晓明" not in written
    assert json.loads(written)["meta"] == {"is_deidentified": True}
