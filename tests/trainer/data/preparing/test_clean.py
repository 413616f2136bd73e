"""Laws of cleaning: languages and near-duplicates."""

from __future__ import annotations

import random

import pytest
from datasketch import MinHash, MinHashLSH

from trainer.data.preparing.clean import NearDuplicates, language, pieces


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("孩子发烧38.5℃，要去医院吗？", "zh"),
        ("My son has had a fever of 38.5 since yesterday, what should I do?", "en"),
        ("Quelle est la meilleure façon de bien dormir la nuit ?", "fr"),
        ("頭が痛いのですが、どうすればいいですか", "ja"),
        ("두통이 심한데 어떻게 해야 하나요", "ko"),
        ("12345！？", "unknown"),
        ("服用aspirin 100mg qd是否合适？", "zh"),
    ],
)
def test_the_language_is_that_of_most_letters(text: str, code: str) -> None:
    """Drug names and doses in Latin letters do not make a Chinese question English."""
    assert language(text) == code


def texts(count: int) -> list[str]:
    """Originals, each followed by a copy in which some characters differ."""
    dice, made = random.Random(3), []
    for _ in range(count):
        original = [chr(0x4E00 + dice.randrange(3000)) for _ in range(200)]
        copy = list(original)
        for _ in range(dice.choice([0, 1, 2, 30, 60])):
            copy[dice.randrange(200)] = chr(0x4E00 + dice.randrange(3000))
        made += ["".join(original), "".join(copy)]
    return made


def test_near_duplicates_are_those_that_another_library_finds() -> None:
    """Which compares all 128 hashes of each candidate; pairs near the threshold may differ."""
    made, ours, theirs = texts(150), [], []
    near = NearDuplicates(0.8)
    index, hashes = MinHashLSH(0.8, num_perm=128), {}
    for key, text in enumerate(made):
        ours.append(near.seen(key, text))
        minhash = MinHash(num_perm=128)
        for piece in pieces(text):
            minhash.update(piece.encode())
        similar = [k for k in index.query(minhash) if minhash.jaccard(hashes[k]) >= 0.8]
        theirs.append(min(similar, default=None))
        if not similar:
            index.insert(key, minhash)
            hashes[key] = minhash
    agree = sum(one == other for one, other in zip(ours, theirs, strict=True))
    assert agree >= 0.99 * len(made)
    assert 40 <= sum(found is not None for found in ours) <= 140


def test_case_width_and_punctuation_make_no_difference() -> None:
    """The key of the first such text is returned."""
    near = NearDuplicates()
    assert near.seen(7, "患者服用 Aspirin，每日一次，注意有无出血的情况发生。") is None
    assert near.seen(8, "患者服用aspirin每日一次，注意有无出血的情况发生！") == 7
    assert near.seen(9, "") is None
    assert near.seen(10, "") == 9
