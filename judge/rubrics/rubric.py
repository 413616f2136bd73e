"""A rubric: what is judged, with which weights, and which faults no score outweighs.

A rubric is a folder with `rubric.yaml` (weights, dimensions, rules, gate, clamp) and, if a teacher
is asked, `prompt.txt`; with `pair.txt` it can compare two answers as well. Weights, clamp and gate
are applied when a stored verdict is read, so changing them needs no new verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from galen import digest
from galen.errors import NotFound, RecipeError
from galen.records import Criterion
from galen.settings import read_yaml, validated
from judge.attacks import prechecks
from judge.rubrics.anchors import Anchor, load_anchors, load_criteria
from judge.rubrics.rubric_file import Reads, RubricFile
from judge.rubrics.template import Template
from judge.rules.registry import DANGERS, REFERENCE_RULES, apply, source_sha256
from judge.schemas import RubricCard, RuleHit, RuleVerdict
from judge.text.case import Case


@dataclass(frozen=True, slots=True)
class Rubric:
    name: str
    sha256: str
    """Hash of its files and of the rules' code: what one version found says nothing of another."""
    asked_sha256: str
    """Hash of what the teacher is asked: the prompt, the dimensions' names and what each reads, the
    dangers. New weights or a new gate do not change it, so stored verdicts stay valid."""
    file: RubricFile
    prompt: Template | None
    """`prompt.txt`; None for a rubric that asks no teacher."""
    pair: Template | None = None
    """`pair.txt`, which asks which of two answers is better; None for a rubric that cannot compare.
    """
    criteria: tuple[Criterion, ...] = ()
    """`criteria.jsonl`: what every answer is graded by, before the criteria of its item."""
    anchors: tuple[Anchor, ...] = ()
    """Fixed answers that `judge.examination.drift` judges; they change no judgement."""

    @property
    def asks_teacher(self) -> bool:
        """Whether a teacher has any weight in the reward. If not, the rules alone judge."""
        return self.file.asks_teacher

    @property
    def grades_criteria(self) -> bool:
        """Whether the teacher grades criteria, not dimensions."""
        return self.file.criteria

    @property
    def needs_reference(self) -> bool:
        """Whether a rule compares the answer with a reference; then every item needs one."""
        return any(entry.rule in REFERENCE_RULES for entry in self.file.rules)

    @property
    def template(self) -> Template:
        """The teacher's prompt."""
        assert self.prompt is not None, "a rubric without prompt.txt asks no teacher"
        return self.prompt

    @property
    def for_pairs(self) -> Rubric:
        """The same rubric, asking about pairs."""
        assert self.pair is not None, "a rubric without pair.txt compares nothing"
        asked = digest.of_json(["pair", self.pair.system, self.pair.user])
        return replace(self, prompt=self.pair, asked_sha256=asked)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions that the teacher scores, in the rubric's order."""
        return tuple(self.file.dimensions)

    @property
    def reads(self) -> Mapping[str, Reads]:
        """For each dimension the part of a response that it judges and quotes."""
        return {name: dimension.reads for name, dimension in self.file.dimensions.items()}

    @property
    def shares(self) -> dict[str, float]:
        """Each dimension's share of the overall score; they sum to 1."""
        return {name: dimension.weight for name, dimension in self.file.dimensions.items()}

    @property
    def dangers(self) -> tuple[str, ...]:
        """The dangers that the teacher is asked about, each as yes or no."""
        return self.file.dangers

    @property
    def prechecks(self) -> tuple[str, ...]:
        """The pre-checks; none where no teacher reads, who alone could be taken in."""
        return self.file.prechecks if self.asks_teacher else ()

    @property
    def flag_rules(self) -> frozenset[str]:
        """Rules whose hit is a flag, unless it is only a suspicion."""
        listed = frozenset(entry.rule for entry in self.file.rules if entry.flag)
        return listed | prechecks.TAMPERING.keys()

    def examine(self, case: Case) -> RuleVerdict:
        """The findings of the rules and the pre-checks in an answer."""
        criteria = self.prompt.system if self.prompt else ""
        checked = prechecks.apply(self.prechecks, case, criteria)
        return self.rule_verdict([*apply(self.file.rules, case), *checked])

    def keeps_from_teacher(self, verdict: RuleVerdict) -> bool:
        """Whether a pre-check hit; then no teacher is asked and its part of the reward is 0."""
        return any(hit.rule in self.prechecks for hit in verdict.hits)

    def distrusts(self, prompt: str) -> bool:
        """Whether a prompt attacks the judge; a teacher that read it might obey."""
        return prechecks.attack_in_prompt(self.prechecks, prompt)

    def rule_verdict(
        self, hits: Iterable[RuleHit], disputed: Iterable[RuleHit] = ()
    ) -> RuleVerdict:
        """The sum of the effects, clamped."""
        kept = tuple(hits)
        total = round(self._clamped(hit.effect for hit in kept), 6)
        return RuleVerdict(total=total, hits=kept, disputed=tuple(disputed))

    def settled(self, found: RuleVerdict, evidence: Mapping[str, str]) -> RuleVerdict:
        """The rules' findings after the teacher's yes or no to each danger.

        `evidence` has the words that show a danger for each one that the teacher sees. A suspicion
        that the teacher does not share is disputed; what is certain stays. A danger that no rule
        saw is added with its effect.
        """
        disputed = [hit for hit in found.hits if self._denied(hit, evidence)]
        hits = [
            hit.model_copy(update={"standing": "confirmed"})
            if hit.standing == "suspected" and hit.rule in evidence
            else hit
            for hit in found.hits
            if hit not in disputed
        ]
        seen = {hit.rule for hit in hits}
        hits += [
            RuleHit(rule=entry.rule, effect=entry.effect, span=None, standing="confirmed")
            for entry in self.file.rules
            if entry.rule in self.dangers and entry.rule in evidence and entry.rule not in seen
        ]
        return self.rule_verdict(hits, disputed)

    def _denied(self, hit: RuleHit, evidence: Mapping[str, str]) -> bool:
        is_open = hit.standing == "suspected" and hit.rule in self.dangers
        return is_open and hit.rule not in evidence

    def flags(self, verdict: RuleVerdict) -> tuple[str, ...]:
        """What makes an answer a violation; a mere suspicion does not."""
        sure = (hit.rule for hit in verdict.hits if hit.standing != "suspected")
        return tuple(rule for rule in sure if rule in self.flag_rules)

    def overall(self, scores: Mapping[str, float]) -> float:
        """Weighted mean of the teacher's scores in [0, 1]; 0 if the gate closes."""
        if self.is_gated(scores):
            return 0.0
        return round(math.fsum(weight * scores[name] for name, weight in self.shares.items()), 6)

    def is_gated(self, scores: Mapping[str, float]) -> bool:
        """Whether the teacher's scores close the gate."""
        gate = self.file.gate
        if gate is None or gate.dimension is None:
            return False
        return scores[gate.dimension] <= gate.at_most

    def reward(self, rules: RuleVerdict, scores: Mapping[str, float]) -> float:
        """The weighted sum of rules and teacher; below every sound answer's for an unsafe one."""
        return self._weighted(rules, self.overall(scores), is_gated=self.is_gated(scores))

    def reward_of_criteria(self, rules: RuleVerdict, score: float) -> float:
        """The same with a score by criteria, clipped to [0, 1], in place of the teacher's."""
        return self._weighted(rules, min(max(score, 0.0), 1.0), is_gated=False)

    def _weighted(self, rules: RuleVerdict, overall: float, *, is_gated: bool) -> float:
        weights = self.file.weights
        reward = weights.rules * rules.total + weights.teacher * overall
        return self._gated(reward, is_gated or bool(self.flags(rules)), weights.rules)

    def reward_without_substance(self, rules: RuleVerdict) -> float:
        """The reward after a hit of a pre-check: the teacher's part is 0, and nothing is earned."""
        share = self.file.weights.rules
        return self._gated(min(share * rules.total, 0.0), bool(self.flags(rules)), share)

    def reward_of_rules(self, rules: RuleVerdict) -> float:
        """The reward of the rules alone, at full weight."""
        return self._gated(rules.total, bool(self.flags(rules)), 1.0)

    def ceiling(self, rules_share: float) -> float:
        """The highest reward of an unsafe answer: less than a sound one with every fault of form.

        `rules_share` is the weight of the rules in the reward, 1 where they judge alone.
        """
        assert self.file.gate is not None
        faults = (entry for entry in self.file.rules if entry.rule not in DANGERS)
        lowest = self._clamped(min(entry.effect, 0.0) for entry in faults)
        return rules_share * lowest - self.file.gate.margin

    def _gated(self, reward: float, unsafe: bool, rules_share: float) -> float:
        if unsafe and self.file.gate is not None:
            reward = min(reward, self.ceiling(rules_share))
        return round(reward, 6)

    def _clamped(self, effects: Iterable[float]) -> float:
        low, high = self.file.clamp
        return min(max(math.fsum(effects), low), high)

    def card(self) -> RubricCard:
        return RubricCard(
            name=self.name,
            sha256=self.sha256,
            description=self.file.description,
            asks_teacher=self.asks_teacher,
            needs_reference=self.needs_reference,
            compares=self.pair is not None,
            grades_criteria=self.grades_criteria,
            dimensions=self.shares,
            rules=tuple(entry.rule for entry in self.file.rules),
        )


def load_rubric(folder: Path) -> Rubric:
    """Read a rubric's folder. Raises `RecipeError`, which names the file and the field."""
    yaml_path, prompt_path = folder / "rubric.yaml", folder / "prompt.txt"
    pair_path = folder / "pair.txt"
    file = validated(RubricFile, read_yaml(yaml_path), str(yaml_path))
    text, pair = _read_prompt(prompt_path), _read_prompt(pair_path)
    if text is None and file.asks_teacher:
        raise RecipeError(f"{prompt_path}: no such file; needed where weights.teacher is above 0")
    if pair is not None and not file.asks_teacher:
        raise RecipeError(f"{pair_path}: weights.teacher is 0, so no teacher would compare")
    reads = {name: dimension.reads for name, dimension in file.dimensions.items()}
    if text is not None:
        asked = [*file.dimensions, *file.dangers]
        if unnamed := [name for name in asked if not re.search(rf"\b{name}\b", text, re.ASCII)]:
            raise RecipeError(
                f"{prompt_path}: does not ask for {', '.join(unnamed)}, which rubric.yaml lists"
            )
    criteria, anchors = load_criteria(folder), load_anchors(folder)
    if file.criteria and anchors:
        raise RecipeError(f"{folder / 'anchors.jsonl'}: an anchor has no criteria; delete the file")
    if criteria and not file.criteria:
        raise RecipeError(
            f"{folder / 'criteria.jsonl'}: rubric.yaml grades none; set `criteria: true` there"
        )
    own = [one.model_dump() for one in criteria]
    return Rubric(
        name=folder.name,
        sha256=digest.of_json([file.model_dump(mode="json"), text, pair, own, source_sha256()]),
        asked_sha256=digest.of_json([list(reads.items()), list(file.dangers), text]),
        file=file,
        prompt=None
        if text is None
        else Template.parse(text, str(prompt_path), "criterion" if file.criteria else "answer"),
        pair=None if pair is None else Template.parse(pair, str(pair_path), "pair"),
        criteria=criteria,
        anchors=anchors,
    )


def _read_prompt(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None


class RubricRegistry:
    """All rubrics of this judge by name."""

    def __init__(self, rubrics: Iterable[Rubric]) -> None:
        self._by_name = {rubric.name: rubric for rubric in rubrics}

    @classmethod
    def load(cls, further: Path | None = None) -> RubricRegistry:
        """The shipped rubrics and those in the folder `further`, which need names of their own."""
        shipped = Path(str(resources.files("judge.rubrics")))
        rubrics = [load_rubric(folder) for folder in _rubric_folders(shipped)]
        names = {rubric.name for rubric in rubrics}
        for folder in _rubric_folders(further) if further else ():
            if folder.name in names:
                raise RecipeError(f"{folder}: a shipped rubric has this name; choose another")
            rubrics.append(load_rubric(folder))
        return cls(rubrics)

    def __iter__(self) -> Iterator[Rubric]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Rubric:
        """The rubric of that name. Raises `NotFound`."""
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(sorted(self._by_name))
            raise NotFound(f"no such rubric; known are {known}", param="rubric") from None


def _rubric_folders(parent: Path) -> list[Path]:
    """The rubrics' folders in `parent`: all but hidden ones and `__pycache__`."""
    if parent.is_file():
        raise RecipeError(f"{parent}: this is a file; name the folder that holds the rubrics")
    if not parent.is_dir():
        raise RecipeError(f"{parent}: no such folder; check 'rubrics' in the judge's settings")
    if (parent / "rubric.yaml").is_file():
        raise RecipeError(f"{parent}: this is a rubric; name the folder that holds it")
    folders = (p for p in parent.iterdir() if p.is_dir() and p.name != "__pycache__")
    return sorted(p for p in folders if not p.name.startswith("."))
