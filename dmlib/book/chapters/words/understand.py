"""The exercises of the chapter on words and pictures: predictions and quizzes."""

from __future__ import annotations

import math

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

SCORES, D = (3.0, 1.0, 0.0), 4


def _first(factor: float) -> float:
    powers = [math.exp(factor * score) for score in SCORES]
    return powers[0] / sum(powers)


def _weight() -> float:
    return _first(1 / math.sqrt(D))


WEIGHT = Number(
    id="ex-words-1",
    level="understand",
    title="The weight of one word",
    minutes=5,
    tolerance=0.002,
    reference=_weight,
    mistakes=(
        Mistake(
            "the scale is left out",
            lambda: _first(1.0),
            "Before the softmax the scores are divided by something that depends on D.",
        ),
        Mistake(
            "divided by D instead of its root",
            lambda: _first(1 / D),
            "The spread of a sum of D products grows like the root of D.",
        ),
        Mistake(
            "the scores themselves in place of their exponentials",
            lambda: SCORES[0] / sum(SCORES),
            "A softmax weighs with exp(score): scores may be negative, weights may not.",
        ),
        Mistake(
            "the exponential that is not divided by the sum",
            lambda: math.exp(SCORES[0] / math.sqrt(D)),
            "The weights of all words add up to 1.",
        ),
    ),
)

AXIS = Quiz(
    id="ex-words-2",
    level="understand",
    title="The wrong axis",
    minutes=5,
    question="In cross-attention the scores have the shape (pixels, words). Somebody takes the "
    "softmax over the pixels instead of the words. The shapes still fit, and it trains. What "
    "has changed?",
    options={
        "a": Option(
            "Nothing but the names: the matrix is the same.",
            "Its rows no longer add up to 1, its columns do. That is another sum of values.",
        ),
        "b": Option(
            "Each word now hands out one unit of attention over all the pixels; a pixel may get "
            "much of everything, or next to nothing.",
            "Every pixel competes with the others for a word. The size of what arrives at a pixel "
            "is no longer that of a mean of values, and changes with the size of the picture.",
            right=True,
        ),
        "c": Option(
            "Padding no longer needs a mask.",
            "It needs it all the more: each padded word, too, hands out its whole unit.",
        ),
        "d": Option(
            "Every pixel gets the same mixture of words.",
            "The weights still differ from pixel to pixel. Look at what adds up to 1.",
        ),
    },
)
