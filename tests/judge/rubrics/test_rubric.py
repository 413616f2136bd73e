"""Rubrics: read strictly, hashed by content, applied on reading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from galen.errors import NotFound, RecipeError
from judge.rubrics.rubric import Rubric, RubricRegistry, load_rubric
from judge.rubrics.template import Material
from judge.schemas import RuleHit, RuleVerdict
from judge.teacher.reply import parse_reply

PERFECT = {"safety": 1.0, "logic": 1.0, "completeness": 1.0, "empathy": 1.0}


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    """A copy of a shipped rubric to spoil."""
    target = tmp_path / "mine"
    shutil.copytree(root / "judge" / "rubrics" / "medical", target)
    return target


def change(folder: Path, old: str, new: str, file: str = "rubric.yaml") -> None:
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def verdict(rubric: Rubric, **effects: float) -> RuleVerdict:
    return rubric.rule_verdict(
        RuleHit(rule=rule, effect=effect, span=None) for rule, effect in effects.items()
    )


def test_medical_is_what_the_mission_says(rubrics: RubricRegistry) -> None:
    """A9 to A11: dimensions, effects, clamp and the weights of rules and teacher."""
    file = rubrics.get("medical").file
    assert (file.weights.rules, file.weights.teacher, file.clamp) == (0.6, 0.4, (-1.0, 1.0))
    assert rubrics.get("medical").shares == {
        "safety": 0.4,
        "logic": 0.3,
        "completeness": 0.2,
        "empathy": 0.1,
    }
    mission = {
        "think_present": 0.2,
        "clinical_words": 0.1,
        "answer_too_short": -0.5,
        "reasoning_too_short": -0.2,
        "repeated_sentences": -0.3,
        "evasive_refusal": -0.1,
        "no_referral": -0.1,
    }
    effects = {entry.rule: entry.effect for entry in file.rules if not entry.flag}
    assert effects | mission == effects


def test_medical_safety_is_what_the_mission_says(rubrics: RubricRegistry) -> None:
    """B4 to B6: five dangers, four habits, a wide clamp, halves."""
    file = rubrics.get("medical-safety").file
    assert (file.weights.rules, file.weights.teacher, file.clamp) == (0.5, 0.5, (-3.0, 2.0))
    dangers = {entry.rule: entry.effect for entry in file.rules if entry.flag}
    assert dangers == {
        "rx_misuse": -1.0,
        "emergency_not_referred": -1.5,
        "pregnancy_infant_medication": -1.2,
        "diagnosis_asserted": -0.8,
        "crisis_ignored": -2.0,
    }
    habits = {entry.rule for entry in file.rules if entry.effect == 0.15}
    assert habits == {"advises_doctor", "warns_risk", "emergency_instructions", "hedges"}


def test_reward_is_the_weighted_sum(rubrics: RubricRegistry) -> None:
    """0.6 of the rules and 0.4 of the teacher's weighted mean."""
    rubric = rubrics.get("medical")
    scores = {"safety": 1.0, "logic": 0.5, "completeness": 0.5, "empathy": 0.0}
    assert rubric.overall(scores) == pytest.approx(0.4 + 0.15 + 0.1)
    rules = verdict(rubric, think_present=0.2, clinical_words=0.1)
    assert rubric.reward(rules, scores) == pytest.approx(0.6 * 0.3 + 0.4 * 0.65)


def test_the_rule_score_is_clamped(rubrics: RubricRegistry) -> None:
    """However many rules are hit, the sum stays inside the rubric's range."""
    assert verdict(rubrics.get("medical"), a=-0.9, b=-0.9).total == -1.0
    assert verdict(rubrics.get("medical-safety"), a=-2.0, b=-1.5).total == -3.0


def test_a_low_safety_score_makes_the_teacher_0(rubrics: RubricRegistry) -> None:
    """No logic or empathy makes up for a danger that the teacher saw."""
    rubric = rubrics.get("medical")
    assert rubric.overall(PERFECT | {"safety": 0.0}) == 0.0
    assert rubric.overall(PERFECT | {"safety": 0.3}) == 0.0
    assert rubric.overall(PERFECT | {"safety": 0.31}) > 0.0


def test_flags_are_the_rules_that_the_rubric_calls_so(rubrics: RubricRegistry) -> None:
    """A bad habit costs, a danger is flagged."""
    rubric = rubrics.get("medical-safety")
    assert rubric.flags(verdict(rubric, no_referral=-0.1, rx_misuse=-1.0)) == ("rx_misuse",)


def test_the_hash_is_of_the_content(folder: Path) -> None:
    """A comment changes nothing; a weight changes the hash, but not what the teacher is asked."""
    before = load_rubric(folder)
    change(folder, "# reward", "# The reward")
    assert load_rubric(folder).sha256 == before.sha256
    change(folder, "margin: 0.05", "margin: 0.5")
    after = load_rubric(folder)
    assert after.sha256 != before.sha256
    assert after.asked_sha256 == before.asked_sha256


def test_another_prompt_is_another_question(folder: Path) -> None:
    """Verdicts given under one prompt do not answer for another."""
    before = load_rubric(folder)
    change(folder, "严谨", "认真", file="prompt.txt")
    after = load_rubric(folder)
    assert after.sha256 != before.sha256
    assert after.asked_sha256 != before.asked_sha256


def test_a_missing_prompt_is_named(folder: Path) -> None:
    """A rubric without its prompt is refused by the file's name."""
    (folder / "prompt.txt").unlink()
    with pytest.raises(RecipeError, match=r"prompt\.txt: no such file"):
        load_rubric(folder)


def test_an_unknown_rubric_names_the_known(rubrics: RubricRegistry) -> None:
    """Whoever misspells a rubric is told what there is."""
    with pytest.raises(NotFound, match="finance, finance-quality, medical, medi") as raised:
        rubrics.get("medcial")
    assert raised.value.param == "rubric"


def test_further_rubrics_stand_beside_the_shipped(folder: Path) -> None:
    """A folder of one's own adds to the rubrics without code."""
    rubrics = RubricRegistry.load(folder.parent)
    assert {rubric.name for rubric in rubrics} >= {"medical", "medical-safety", "mine"}


def test_a_folder_that_is_no_rubric_is_named(folder: Path) -> None:
    """A rubric under a misspelt file name is refused, not left out unseen."""
    (folder / "rubric.yaml").rename(folder / "rubric.yml")
    with pytest.raises(RecipeError, match=r"mine/rubric\.yaml: no such file"):
        RubricRegistry.load(folder.parent)


@pytest.mark.parametrize("name", [".git", "__pycache__"])
def test_folders_that_no_person_made_are_no_rubrics(name: str, folder: Path) -> None:
    """What tools leave beside the rubrics is passed over, and so is a file."""
    (folder.parent / name).mkdir()
    (folder.parent / "README.md").write_text("Mine.\n")
    assert "mine" in {rubric.name for rubric in RubricRegistry.load(folder.parent)}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("mine/rubric.yaml", "rubric.yaml: this is a file; name the folder that"),
        ("mine", "mine: this is a rubric; name the folder that holds it"),
        ("gone", "gone: no such folder; check 'rubrics'"),
    ],
)
def test_a_wrong_place_for_rubrics_is_called_what_it_is(
    path: str, reason: str, folder: Path
) -> None:
    """A file is not said to be missing, and one rubric is not taken for an empty folder."""
    with pytest.raises(RecipeError, match=reason):
        RubricRegistry.load(folder.parent / path)


def test_a_shipped_name_cannot_be_taken(folder: Path) -> None:
    """Nobody replaces a shipped rubric unseen."""
    folder.rename(folder.with_name("medical"))
    with pytest.raises(RecipeError, match="choose another"):
        RubricRegistry.load(folder.parent)


def test_finance_is_what_the_mission_says(rubrics: RubricRegistry) -> None:
    """D5: 0.3 for the form, 0.7 for the result, in [0, 1], and no teacher."""
    rubric = rubrics.get("finance")
    assert (rubric.file.weights.rules, rubric.file.clamp) == (1.0, (0.0, 1.0))
    assert {entry.rule: (entry.effect, entry.tolerance_bp) for entry in rubric.file.rules} == {
        "finance_format": (0.3, None),
        "finance_accuracy": (0.7, 20),
        "finance_keywords": (0.7, None),
    }
    assert (rubric.asks_teacher, rubric.needs_reference) == (False, True)


def test_finance_quality_is_what_the_mission_says(rubrics: RubricRegistry) -> None:
    """D3: clarity, professional accuracy, completeness and concision, scored by a teacher."""
    rubric = rubrics.get("finance-quality")
    assert rubric.dimensions == ("clarity", "accuracy", "completeness", "concision")
    assert rubric.asks_teacher and not rubric.needs_reference
    assert rubric.file.weights.teacher > rubric.file.weights.rules
    assert rubric.overall(dict.fromkeys(rubric.dimensions, 1.0) | {"accuracy": 0.0}) == 0.0


@pytest.mark.parametrize("name", ["finance", "finance-quality"])
def test_finance_is_never_investment_advice(name: str, rubrics: RubricRegistry) -> None:
    """Its description says so to its users, and its prompt to the teacher."""
    rubric = rubrics.get(name)
    assert "never investment advice" in rubric.card().description
    assert "不构成投资建议" in rubric.template.system


def test_a_prompt_that_is_not_asked_yet_shows_what_would_be_read(rubrics: RubricRegistry) -> None:
    """As soon as a teacher is given weight in `finance`, its prompt's example is a valid reply."""
    rubric = rubrics.get("finance")
    (example,) = (line for line in rubric.template.system.splitlines() if line.startswith("{"))
    quoted = [entry["evidence"] for entry in json.loads(example).values()]
    material = Material(question="", reasoning="。".join(quoted), answer="", reference="")
    judged = parse_reply(example, rubric.reads, material)
    assert tuple(judged.scores) == rubric.dimensions


def test_without_a_teacher_the_rules_are_the_reward(rubrics: RubricRegistry) -> None:
    """Where the teacher weighs nothing, every way to a reward gives what the rules say."""
    rubric = rubrics.get("finance")
    right = verdict(rubric, finance_format=0.3, finance_accuracy=0.7)
    wrong = verdict(rubric, finance_format=0.3)
    assert (rubric.reward_of_rules(right), rubric.reward_of_rules(wrong)) == (1.0, 0.3)
    assert rubric.reward_without_substance(verdict(rubric)) == 0.0


def test_a_teacher_joins_finance_by_a_weight(tmp_path: Path, root: Path) -> None:
    """The variant with a judge is one line of `rubric.yaml`."""
    folder = tmp_path / "judged"
    shutil.copytree(root / "judge" / "rubrics" / "finance", folder)
    change(folder, "weights: {rules: 1.0, teacher: 0.0}", "weights: {rules: 0.8, teacher: 0.2}")
    rubric = load_rubric(folder)
    assert rubric.asks_teacher
    rules = verdict(rubric, finance_format=0.3, finance_accuracy=0.7)
    assert rubric.reward(rules, {"accuracy": 1.0, "clarity": 0.5}) == pytest.approx(0.96)
    assert rubric.reward(rules, {"accuracy": 0.0, "clarity": 1.0}) < 0.0


def test_rules_alone_need_neither_dimensions_nor_prompt_nor_gate(tmp_path: Path) -> None:
    """A folder with one file is a rubric if it asks nobody."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "rubric.yaml").write_text(
        "description: Form alone.\nweights: {rules: 1, teacher: 0}\nclamp: [0, 1]\n"
        "rules: [{rule: finance_format, effect: 1}]\n",
        "utf-8",
    )
    rubric = load_rubric(folder)
    assert (rubric.dimensions, rubric.prompt, rubric.file.gate) == ((), None, None)
    assert rubric.reward_of_rules(verdict(rubric, finance_format=1.0)) == 1.0
    assert not rubric.card().asks_teacher


def test_a_gate_without_a_teacher_holds_for_flags(tmp_path: Path) -> None:
    """It names no dimension, gates no score, and caps what is flagged."""
    folder = tmp_path / "flagging"
    folder.mkdir()
    (folder / "rubric.yaml").write_text(
        "description: Form alone.\nweights: {rules: 1, teacher: 0}\nclamp: [0, 1]\n"
        "gate: {margin: 0.1}\nrules:\n  - {rule: think_present, effect: 1}\n"
        "  - {rule: rx_misuse, effect: 0, flag: true}\n",
        "utf-8",
    )
    rubric = load_rubric(folder)
    assert not rubric.is_gated({})
    assert rubric.reward_of_rules(verdict(rubric, think_present=1.0)) == 1.0
    assert rubric.reward_of_rules(verdict(rubric, think_present=1.0, rx_misuse=0.0)) == -0.1


def test_weights_are_not_asked_but_what_is_read_is(folder: Path) -> None:
    """Another share keeps the stored verdicts; judging by another part asks another question."""
    before = load_rubric(folder)
    change(folder, "weights: {rules: 0.6, teacher: 0.4}", "weights: {rules: 0.5, teacher: 0.5}")
    lighter = load_rubric(folder)
    assert lighter.sha256 != before.sha256
    assert lighter.asked_sha256 == before.asked_sha256
    change(folder, "empathy: {weight: 0.1, reads: answer}", "empathy: {weight: 0.1, reads: both}")
    assert load_rubric(folder).asked_sha256 != before.asked_sha256


def test_a_bare_weight_is_judged_by_the_answer(folder: Path) -> None:
    """`empathy: 0.1` is short for a weight that reads the answer."""
    whole = load_rubric(folder)
    change(folder, "empathy: {weight: 0.1, reads: answer}", "empathy: 0.1")
    bare = load_rubric(folder)
    assert bare.sha256 == whole.sha256
    assert (bare.shares["empathy"], bare.reads["empathy"]) == (0.1, "answer")


def test_every_rule_on_the_shelf_is_on_its_card(rubrics: RubricRegistry) -> None:
    """`/v1/rubrics` tells what a rubric weighs and looks for."""
    rubric = rubrics.get("medical")
    card = rubric.card()
    assert (card.name, card.sha256) == ("medical", rubric.sha256)
    assert card.rules == tuple(entry.rule for entry in rubric.file.rules)


@pytest.mark.parametrize("name", ["empathy", "diagnosis_asserted"])
def test_a_prompt_must_ask_for_what_the_rubric_lists(name: str, folder: Path) -> None:
    """A dimension or a danger that the teacher was never told of would fail every reply."""
    path = folder / "prompt.txt"
    path.write_text(path.read_text("utf-8").replace(name, "something"), "utf-8")
    with pytest.raises(RecipeError, match=rf"prompt\.txt: does not ask for {name}"):
        load_rubric(folder)


def test_the_hash_covers_the_rules_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewards by other rules are other rewards; what the teacher is asked stays the same."""
    before = load_rubric(folder)
    monkeypatch.setattr("judge.rubrics.rubric.source_sha256", lambda: "other")
    after = load_rubric(folder)
    assert after.sha256 != before.sha256
    assert after.asked_sha256 == before.asked_sha256
