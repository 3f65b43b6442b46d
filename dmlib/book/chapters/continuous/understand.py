"""The exercises of the chapter on continuous time: predictions and quizzes."""

from __future__ import annotations

import math

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option
from dmlib.continuous import DiffusionPath

DRIFT = Quiz(
    id="ex-continuous-1",
    level="understand",
    title="Which way does the drift point?",
    minutes=3,
    question="The forward SDE is dx = -beta(s)/2 x ds + sqrt(beta(s)) dw. Where does its drift, "
    "the part with ds, push a point, and what for?",
    options={
        "a": Option(
            "Away from 0: noise spreads the points, and the drift helps.",
            "Look at the sign: where x is positive, -beta/2 x is negative.",
        ),
        "b": Option(
            "Towards the nearest data, for that is where points are likely.",
            "That is what the score does, on the way back. The drift of the forward SDE has never "
            "heard of the data: it depends on x and s alone.",
        ),
        "c": Option(
            "Towards 0, by just so much that, with the noise, the variance tends to 1.",
            "Shrinking takes beta times the variance per time, the noise adds beta: at a variance "
            "of 1 the two cancel.",
            right=True,
        ),
        "d": Option(
            "Nowhere on average, for dw has mean 0.",
            "The noise has, and it is not the drift. The mean of x shrinks by beta/2 per time.",
        ),
    },
)

S = 0.5  # where the picture's share is asked for
PATH = DiffusionPath()


def _left() -> float:
    integral = PATH.beta_0 * S + (PATH.beta_1 - PATH.beta_0) * S**2 / 2
    return math.exp(-integral / 2)


LEFT = Number(
    id="ex-continuous-2",
    level="understand",
    title="How much picture is left halfway?",
    minutes=5,
    tolerance=0.0006,
    reference=_left,
    mistakes=(
        Mistake(
            "alpha_bar, the square of the factor",
            lambda: _left() ** 2,
            "The drift is -beta/2 x, with a half: that gives the factor of the picture, not its "
            "share in the variance.",
        ),
        Mistake(
            "beta where the way stops, taken for all of it",
            lambda: math.exp(-PATH.beta(S) * S / 2),
            "beta grows on the way: it is its integral from 0 to s that counts.",
        ),
        Mistake(
            "the factor of the noise",
            lambda: math.sqrt(1 - _left() ** 2),
            "That is b, what the noise is multiplied by. The question is about the picture.",
        ),
        Mistake(
            "the whole way, to s = 1",
            lambda: PATH.level(1.0)[0],
            "That is what is left at the end. Here the way stops at s = 1/2.",
        ),
    ),
)

CHURN = Quiz(
    id="ex-continuous-3",
    level="understand",
    title="What does the churn change?",
    minutes=4,
    question="Two crowds of points walk from noise to data with the exact score and very many "
    "small steps, one with churn 0 (the ODE), the other with churn 1 (the reverse SDE). What is "
    "different between them?",
    options={
        "a": Option(
            "Where the crowd is at each time: with churn it is more spread out.",
            "More noise comes in, but the drift towards likely places is stronger too, by just as "
            "much. At every time both crowds have the distribution q(x_s).",
        ),
        "b": Option(
            "How a single point walks. Where the crowd is, is the same at every time.",
            "The marginals agree, the joint distribution of two times does not: one path is "
            "smooth and fixed by its start, the other jagged, and forgets its start.",
            right=True,
        ),
        "c": Option(
            "The end only: the ODE ends at the mean of the data, the SDE at samples.",
            "The ODE carries the whole distribution, quantile by quantile. No mean is taken.",
        ),
        "d": Option(
            "Nothing: they are the same process, written in two ways.",
            "Draw two paths from one start. With churn 0 they are one line, with churn 1 they "
            "part.",
        ),
    },
)
