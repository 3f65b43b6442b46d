"""The exercises of chapter 1, the forward process: predictions and quizzes."""

from __future__ import annotations

from typing import Any

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option
from dmlib.schedules import linear_schedule

Cases = list[tuple[Any, ...]]


SHRINK = Quiz(
    id="ex-forward-1",
    level="understand",
    title="Why is the picture shrunk?",
    minutes=3,
    question="Why does a step multiply x_{t-1} by sqrt(1 - beta_t) before the noise is added?",
    options={
        "a": Option(
            "So that data of variance 1 keep variance 1.",
            "(1 - beta_t) * 1 + beta_t = 1: what the shrinking takes away, the noise gives back.",
            right=True,
        ),
        "b": Option(
            "So that the pixel values stay in [-1, 1].",
            "Noise has no bounds: x_t leaves [-1, 1] all the time. Look at the histogram beside "
            "the slider.",
        ),
        "c": Option(
            "So that the mean stays the same.",
            "The mean does not stay: it is multiplied by sqrt(1 - beta_t) and so goes to 0.",
        ),
        "d": Option(
            "So that the noise of earlier steps is removed.",
            "The earlier noise is shrunk together with the picture; their ratio stays as it was.",
        ),
    },
)


def _half() -> float:
    return float((linear_schedule(1000).beta > 0.01).nonzero()[0])


HALF = Number(
    id="ex-forward-2",
    level="understand",
    title="Halfway up the linear schedule",
    minutes=4,
    tolerance=0.25,
    reference=_half,
    mistakes=(
        Mistake(
            "off by one: counted from 0",
            lambda: _half() - 1,
            "Steps are counted from 1: beta_1 is the first variance, slot 0 is the clean data.",
        ),
        Mistake(
            "half of T, as if the schedule began at 0",
            lambda: 500,
            "beta_1 is 0.0001, not 0, so the line is a little above t/T * beta_T.",
        ),
        Mistake(
            "the first step past half of T, as if the schedule began at 0",
            lambda: 501,
            "beta_1 is 0.0001, not 0, so the line is a little above t/T * beta_T.",
        ),
        Mistake(
            "one step too late",
            lambda: _half() + 1,
            "Look at the step before, too: is its variance above 0.01 already?",
        ),
    ),
)


Cases = list[tuple[Any, ...]]
