"""Open-ended exercises: answers that students gave, and the table of what was measured."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.chapters.kernel.open import _means
from dmlib.book.checks.engine import judge
from dmlib.book.exercises.exercise import Open

OPEN = [e for e in EXERCISES.values() if isinstance(e, Open)]
SEEDS = (0, 1, 2)


def fade_to_the_mean(x0, strength, generator):
    return x0 + strength * (x0.mean((1, 2, 3), keepdim=True) - x0)


def all_or_nothing(x0, strength, generator):
    return x0 if strength < 1 else torch.zeros_like(x0)


def alpha_for_alpha_bar(x0, labels, t, schedule, generator):
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    xt = schedule.alpha[t].sqrt() * x0 + (1 - schedule.alpha[t]).sqrt() * eps
    guess = torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1)
    return (guess == labels).double().mean()


@pytest.mark.parametrize(
    ("name", "answer", "mistake", "word"),
    [
        ("ex-intro-8", fade_to_the_mean, "halfway nothing is lost yet", "contrast"),
        ("ex-intro-8", all_or_nothing, "halfway nothing is lost yet", "contrast"),
        ("ex-kernel-10", alpha_for_alpha_bar, "pure noise is recognised", "alpha_bar[t]"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_plausible_answer_gets_the_hint_that_helps(name, answer, mistake, word):
    for seed in SEEDS:
        verdict = judge(EXERCISES[name], answer, seed=seed, seconds=20)
        assert verdict.mistake == mistake
        assert word in verdict.hint


@pytest.mark.parametrize("exercise", OPEN, ids=lambda e: e.id)
def test_measurement_has_one_row_with_the_tightest_bounds(exercise):
    """No row that says "differs" beside one that says "ok" of the same number."""
    verdict = judge(exercise, exercise.mistakes[0].wrong, seed=0, seconds=20)
    rows = {row.where: row for row in verdict.rows}
    assert len(rows) == len(verdict.rows)
    assert rows.keys() == {need.measured for need in exercise.mistakes}
    for name, row in rows.items():
        needs = [need for need in exercise.mistakes if need.measured == name]
        low, high = max(n.low for n in needs), min(n.high for n in needs)
        bounds = {low, high} - {-math.inf, math.inf}
        assert row.expected.count(" to ") == (len(bounds) == 2 and math.isfinite(low))
        for bound in bounds:
            assert f"{bound:g}" in row.expected
    assert not all(row.ok for row in verdict.rows)


def test_one_possible_value_is_no_range():
    exercise = EXERCISES["ex-forward-9"]
    rows = {r.where: r for r in judge(exercise, exercise.reference, seed=0, seconds=10).rows}
    assert rows["beta[0]"].expected == "0"
    assert rows["largest loss of signal in one step"].expected == "at most 0.1"


def test_preparation_comes_before_the_clock_and_once():
    """What is slow only the first time (an optimizer's late imports) is not the student's time."""
    order = []
    exercise = replace(
        EXERCISES["ex-forward-9"],
        prepare=lambda: (order.append("prepared"), time.sleep(1.2)),
        measure=lambda function, generator: order.append("measured") or {},
        mistakes=(),
    )
    assert judge(exercise, exercise.reference, seed=0, seconds=1).passed
    assert order == ["prepared", "measured"]


@pytest.mark.parametrize("name", ["ex-unet-12", "ex-training-14"])
def test_exercises_that_build_networks_prepare_for_it(name):
    assert EXERCISES[name].prepare is not None
