"""The exercises of the chapter on restoring: predictions and quizzes."""

from __future__ import annotations

import math

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

TIME = Quiz(
    id="ex-restore-1",
    level="understand",
    title="Why not the likelihood of the guess?",
    minutes=4,
    question="The data are two points, x_0 = -1 and x_0 = 1, equally likely. At some time x_t = 0, "
    "so that x0_hat = 0. Measured is y = x_0 + noise of the standard deviation 0.1, and y = 1. "
    "What is p(y | x_t), compared with the likelihood at the guess, N(y; x0_hat, 0.1^2)?",
    options={
        "a": Option(
            "The same: x0_hat is the mean of all that x_0 may be.",
            "The mean of the likelihoods is not the likelihood of the mean. No x_0 is 0.",
        ),
        "b": Option(
            "Much larger: one of the two points fits y perfectly, and it has the share 1/2.",
            "p(y | x_t) is half of N(1; 1, 0.1^2). At the guess y would be ten standard "
            "deviations off.",
            right=True,
        ),
        "c": Option(
            "Much smaller: x_t = 0 is far from y = 1.",
            "y speaks of x_0, not of x_t. Which x_0 may x_t = 0 come from?",
        ),
        "d": Option(
            "It cannot be said without t.",
            "For two points the shares decide. At x_t = 0 they are 1/2 each, at every t.",
        ),
    },
)

HEAPS, WEIGHTS, WIDTH, NOISE, SEEN = (-1.0, 2.0), (0.8, 0.2), 0.6, 0.9, 1.0


def _share(spread: float, weights: tuple[float, float] = WEIGHTS) -> float:
    """Of the right heap, if y is normal around each heap with this standard deviation."""
    fit = [
        w * math.exp(-((SEEN - m) ** 2) / (2 * spread**2))
        for w, m in zip(weights, HEAPS, strict=True)
    ]
    return fit[1] / sum(fit)


def _right() -> float:
    return _share(math.sqrt(WIDTH**2 + NOISE**2))


SHARE = Number(
    id="ex-restore-2",
    level="understand",
    title="Which heap is it?",
    minutes=8,
    tolerance=0.002,
    reference=_right,
    mistakes=(
        Mistake(
            "the width of the heap is left out",
            lambda: _share(NOISE),
            "y = x_0 + noise, and x_0 itself varies within its heap: which variance has y then?",
        ),
        Mistake(
            "the noise of the measurement is left out",
            lambda: _share(WIDTH),
            "y is not x_0: the noise comes on top of the width of the heap.",
        ),
        Mistake(
            "standard deviations are added",
            lambda: _share(WIDTH + NOISE),
            "Of independent numbers the variances add up.",
        ),
        Mistake(
            "the prior weights are left out",
            lambda: _share(math.sqrt(WIDTH**2 + NOISE**2), (0.5, 0.5)),
            "Before anything is measured the left heap is four times as likely.",
        ),
        Mistake(
            "the share of the left heap",
            lambda: 1 - _right(),
            "That is what the other heap gets.",
        ),
        Mistake(
            "the product of weight and likelihood, not divided by the sum",
            lambda: WEIGHTS[1] * math.exp(-0.5 * (SEEN - HEAPS[1]) ** 2 / (WIDTH**2 + NOISE**2)),
            "The shares of both heaps must sum to 1.",
        ),
    ),
)
