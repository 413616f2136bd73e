"""Laws of the statistics by which a teacher is examined."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.agreement import (
    Confusion,
    Interval,
    excess_correlation,
    kappa,
    kappa_interval,
    macro_f1,
    macro_f1_interval,
    mean_interval,
    spearman,
    spearman_interval,
    wilson,
)

COUNTS = st.integers(0, 200)
TABLES = st.builds(Confusion, COUNTS, COUNTS, COUNTS, COUNTS)
BOTH_CLASSES = st.lists(st.booleans(), min_size=2).filter(lambda labels: len(set(labels)) == 2)


def holds(interval: Interval, value: float) -> bool:
    return interval.low - 1e-9 <= value <= interval.high + 1e-9


@pytest.mark.parametrize(
    ("table", "expected_kappa", "expected_f1"),
    [
        # By hand: observed 35/50 = 0.7, by chance 25·30/2500 + 25·20/2500 = 0.5, so 0.2/0.5.
        (Confusion(20, 10, 5, 15), 0.4, (40 / 55 + 30 / 45) / 2),
        # Observed 0.6, by chance 0.6·0.7 + 0.4·0.3 = 0.54.
        (Confusion(45, 25, 15, 15), 0.06 / 0.46, (90 / 130 + 30 / 70) / 2),
        # Each says "pass" half of the time without regard to the other.
        (Confusion(25, 25, 25, 25), 0.0, 0.5),
    ],
)
def test_kappa_and_f1_of_tables_worked_by_hand(
    table: Confusion, expected_kappa: float, expected_f1: float
) -> None:
    """The figures are those of the textbooks."""
    assert kappa(table) == pytest.approx(expected_kappa)
    assert macro_f1(table) == pytest.approx(expected_f1)


@given(BOTH_CLASSES)
def test_a_teacher_that_repeats_the_labels_is_perfect(labels: list[bool]) -> None:
    """Kappa and macro-F1 of full agreement are 1."""
    table = Confusion.of(labels, labels)
    assert (kappa(table), macro_f1(table)) == (pytest.approx(1), pytest.approx(1))


@given(BOTH_CLASSES)
def test_a_teacher_that_says_the_opposite_is_worse_than_chance(labels: list[bool]) -> None:
    """Kappa of swapped labels is below 0, and no F1 is left."""
    table = Confusion.of(labels, [not label for label in labels])
    assert kappa(table) < 0
    assert macro_f1(table) == 0


def test_a_teacher_that_throws_a_coin_agrees_by_chance_alone() -> None:
    """Kappa of independent verdicts is about 0, and nine intervals in ten at least hold 0."""
    chance = random.Random(5)
    intervals = []
    for _ in range(100):
        labels = [chance.random() < 0.3 for _ in range(300)]
        intervals.append(kappa_interval(labels, [chance.random() < 0.6 for _ in labels]))
    assert abs(sum(interval.value for interval in intervals) / 100) < 0.02
    assert sum(holds(interval, 0) for interval in intervals) >= 90


@given(TABLES)
def test_kappa_and_f1_stay_in_their_ranges(table: Confusion) -> None:
    """No table of counts, however empty, gives a figure out of range."""
    assert -1 <= kappa(table) <= 1 + 1e-12
    assert 0 <= macro_f1(table) <= 1


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_names_of_the_classes_do_not_matter(a: int, b: int, c: int, d: int) -> None:
    """Calling a pass a fail in labels and verdicts alike changes neither figure."""
    table, mirrored = Confusion(a, b, c, d), Confusion(d, c, b, a)
    assert kappa(table) == pytest.approx(kappa(mirrored))
    assert macro_f1(table) == pytest.approx(macro_f1(mirrored))


def test_labels_of_one_class_show_nothing() -> None:
    """Agreement on a class without a counterpart is no agreement beyond chance."""
    table = Confusion(30, 0, 0, 0)
    assert (kappa(table), macro_f1(table)) == (0, 0.5)


def test_more_items_make_a_narrower_interval() -> None:
    """An interval holds its figure and shrinks about as the root of the number of items."""
    labels, passed = [True, True, False, False, True], [True, True, False, True, True]
    small = macro_f1_interval(labels * 4, passed * 4)
    large = macro_f1_interval(labels * 64, passed * 64)
    for interval in (small, large):
        assert holds(interval, interval.value)
    assert (small.high - small.low) / (large.high - large.low) == pytest.approx(4, rel=0.4)


@pytest.mark.parametrize(
    ("successes", "total", "expected"),
    [
        (0, 0, (0.0, 0.0, 1.0)),
        (0, 20, (0.0, 0.0, 0.1611)),
        (3, 20, (0.15, 0.0524, 0.3604)),
        (20, 20, (1.0, 0.8389, 1.0)),
    ],
)
def test_wilson_against_a_table(
    successes: int, total: int, expected: tuple[float, float, float]
) -> None:
    """The interval of a share is Wilson's, and none of nothing says nothing."""
    found = wilson(successes, total)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-4)


def test_spearman_by_hand() -> None:
    """Ranks alone count, and ties share theirs."""
    assert spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [9, 5, 3, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_only_length_beyond_what_the_labels_say_is_held_against_a_teacher() -> None:
    """Scores that follow labels which follow length show no excess; scores by length alone do."""
    chance = random.Random(3)
    lengths = [float(chance.randrange(50, 500)) for _ in range(80)]
    labels = [float(length > 250) for length in lengths]
    fair = excess_correlation(labels, labels, lengths)
    assert (fair.value, fair.low, fair.high) == (0, 0, 0)
    blind = [float(chance.random() < 0.5) for _ in lengths]
    vain = excess_correlation(lengths, blind, lengths)
    assert vain.low > 0.5
    assert spearman_interval(lengths, lengths).low == pytest.approx(1)


def test_the_interval_of_a_mean() -> None:
    """By hand: mean 2, standard error 1/sqrt(3)."""
    found = mean_interval([1, 2, 3])
    assert (found.value, found.high - 2) == pytest.approx((2, 1.959964 / 3**0.5))
    assert mean_interval([0.5]) == Interval(0.5, 0.5, 0.5)
