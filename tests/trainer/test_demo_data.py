"""Laws of the supervised rows in `data/demo/sft.jsonl`, and of the blocks that they are made of."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import pytest

from galen.records import Row, read_jsonl
from galen.transcript import parse
from trainer import recipes

SFT = Path(__file__).parents[2] / "data" / "demo" / "sft.jsonl"
FAULTS = {"no_doctor_advice", "asserted_diagnosis", "drug_recommended"}
SEES_DOCTOR = re.compile("医生|就医|急诊|120|医院")
ANY_REFERRAL = re.compile("医生|就医|就诊|急诊|120|医院|门诊|医嘱|仅供参考")
CERTAIN = re.compile("就是[^。]*，不用检查|肯定")
DRUG = re.compile(
    "西林|头孢|沙星|硝唑|[奇红]霉素|地平|沙坦|洛尔|他汀|唑仑|拉唑|泼尼松|地塞米松|二甲双胍|格列"
    "|舍曲林|曲马多|秋水仙碱|别嘌醇|非那雄胺|甲氧氯普胺|左甲状腺素"
)
RISKY_PATIENT = re.compile("孩子|宝宝|娃|婴儿|怀孕|孕")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_jsonl(SFT, Row)


def _answer(row: Row) -> str:
    return parse(row.output).answer


def _sound(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.meta.faults]


def _repeated(texts: list[str]) -> list[str]:
    return [text for text, count in Counter(texts).items() if count > 1]


@pytest.fixture(scope="module")
def blocks() -> ModuleType:
    file = Path(__file__).parents[2] / "data" / "make_demo.py"
    spec = importlib.util.spec_from_file_location("make_demo", file)
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules["make_demo"] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


def test_the_files_are_what_the_blocks_make(root: Path, blocks: ModuleType) -> None:
    """So that a change of the blocks reaches the rows."""
    files = {
        "sft": blocks.rows,
        "sound": blocks.sound_rows,
        "wordings": blocks.wordings,
        "preferences": blocks.preferences,
        "held_out_pairs": blocks.held_out_pairs,
        "text": blocks.texts,
    }
    for name, made in files.items():
        written = (root / f"data/demo/{name}.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in written] == list(made())


def test_a_real_model_learns_no_fault(root: Path) -> None:
    """The laptop's recipe trains on sound rows alone."""
    recipe = recipes.load(root / "configs/recipes/laptop/sft.yaml")
    assert isinstance(recipe, recipes.SftRecipe)
    assert not [
        row for path in recipe.train for row in read_jsonl(root / path, Row) if row.meta.faults
    ]


def test_held_out_pairs_ask_what_nothing_trains_on(rows: list[Row], root: Path) -> None:
    """Their questions are in no text, no pair and no supervised row."""

    def lines(name: str) -> list[dict[str, str]]:
        text = (root / f"data/demo/{name}.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    learnt = {row.input for row in rows} | {row["prompt"] for row in lines("preferences")}
    held_out = {row["prompt"] for row in lines("held_out_pairs")}
    texts = "".join(row["text"] for row in lines("text"))
    assert len(held_out) > 90
    assert not held_out & learnt
    assert [question for question in held_out if question in texts] == []


def test_held_out_wordings_are_in_no_row(rows: list[Row], root: Path, blocks: ModuleType) -> None:
    """Nor is any question of the topic's test."""
    lines = (root / "data/demo/wordings.jsonl").read_text("utf-8").splitlines()
    questions = {json.loads(line)["input"] for line in lines}
    assert not questions & {row.input for row in rows}
    asked = "\n".join(row.input for row in rows)
    matters = [*blocks._complaints(), *blocks._emergencies()]
    assert [each.name for each in matters if each.wordings[-1] in asked] == []


def test_there_are_enough_rows(rows: list[Row]) -> None:
    """Every line is a valid row, and there are some thousands of them."""
    assert len(rows) >= 2000


def test_every_row_poses_the_same_task(rows: list[Row]) -> None:
    """A tiny model sees one instruction only."""
    expected = {"你是一个医学专家，你需要根据用户的问题，给出带有思考的回答。"}
    assert expected == {row.instruction for row in rows}


def test_no_row_repeats_another(rows: list[Row]) -> None:
    """Every question is there once."""
    assert not _repeated([row.input for row in rows])


def test_every_output_is_reasoning_and_answer_in_training_form(rows: list[Row]) -> None:
    """Reasoning is closed, an answer follows, and the text is exactly what a render would give."""
    for row in rows:
        transcript = parse(row.output)
        assert transcript.closed
        assert row.output == transcript.render()
        assert 20 <= len(transcript.reasoning) <= 65, row.input
        assert 30 <= len(transcript.answer) <= 115, row.input


def test_no_answer_repeats_a_sentence(rows: list[Row]) -> None:
    """The judge punishes a repeated sentence, so none is taught."""
    for row in rows:
        assert not _repeated([part for part in re.split("[。！？]", _answer(row)) if part])


def test_faulty_share_is_about_a_third(rows: list[Row]) -> None:
    """Enough faults for RL to cure, too few to drown the sound pattern."""
    share = 1 - len(_sound(rows)) / len(rows)
    assert 0.28 <= share <= 0.40


def test_each_fault_is_taught_often_enough(rows: list[Row]) -> None:
    """Exactly the three faults occur, at most two in a row, each in at least 25 rows."""
    counts = Counter(fault for row in rows for fault in row.meta.faults)
    assert counts.keys() == FAULTS
    assert min(counts.values()) >= 25
    assert max(len(row.meta.faults) for row in rows) <= 2


def test_every_common_specialty_is_sound_and_faulty(rows: list[Row]) -> None:
    """The question's subject does not tell whether its answer is faulty; emergencies never are."""
    faulty_by_specialty: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row.meta.risk_level == "critical":
            assert not row.meta.faults
            continue
        faulty_by_specialty[row.meta.specialty].append(bool(row.meta.faults))
    common = {name: set(kinds) for name, kinds in faulty_by_specialty.items() if len(kinds) >= 4}
    assert not [name for name, kinds in common.items() if kinds != {True, False}]


def test_sound_rows_send_to_a_doctor_and_hedge(rows: list[Row]) -> None:
    """No sound answer keeps the doctor out, and none is certain."""
    for row in _sound(rows):
        assert SEES_DOCTOR.search(_answer(row)), row.input
        assert "可能" in _answer(row), row.input
        assert not CERTAIN.search(_answer(row)), row.input


def test_critical_sound_rows_name_emergency_care(rows: list[Row]) -> None:
    """Whoever is in mortal danger is told to call 120 or to go to an emergency room."""
    critical = [row for row in _sound(rows) if row.meta.risk_level == "critical"]
    assert len(critical) >= 15
    for row in critical:
        assert re.search("120|急诊", _answer(row)), row.input


def test_fault_labels_say_what_the_answer_does(rows: list[Row]) -> None:
    """A label stands exactly where a plain look at the answer finds the fault."""
    for row in rows:
        answer = _answer(row)
        assert ("no_doctor_advice" in row.meta.faults) == (not ANY_REFERRAL.search(answer)), answer
        assert ("asserted_diagnosis" in row.meta.faults) == bool(CERTAIN.search(answer)), answer
        assert ("drug_recommended" in row.meta.faults) == bool(DRUG.search(answer)), answer


def test_a_recommended_drug_comes_without_a_doctor(rows: list[Row]) -> None:
    """Where a drug is recommended, the answer buys, takes or adds it and names no doctor."""
    for row in rows:
        if "drug_recommended" in row.meta.faults:
            assert re.search("(直接|自己|自行)[^。]*(买|加)", _answer(row)), row.input
            assert not SEES_DOCTOR.search(_answer(row)), row.input


def test_no_fault_touches_a_child_a_pregnancy_or_a_crisis(rows: list[Row]) -> None:
    """Faults stop short of drugs for children and pregnant women, and of ignored despair."""
    for row in rows:
        if "drug_recommended" in row.meta.faults:
            assert not RISKY_PATIENT.search(row.input.replace("没怀孕", "")), row.input
        if row.meta.faults:
            assert not re.search("不想活|结束生命|伤害自己|自杀", row.input), row.input
