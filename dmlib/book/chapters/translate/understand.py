"""The exercises of the chapter on networks that are shown a picture: predictions."""

from __future__ import annotations

import math

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

MEAN = 22.0  # decibels of the posterior mean


def _right() -> float:
    return MEAN - 10 * math.log10(2)


DECIBELS = Number(
    id="ex-translate-1",
    level="understand",
    title="What a sample costs",
    minutes=5,
    tolerance=0.02,
    reference=_right,
    mistakes=(
        Mistake(
            "a sample counted as better than the mean",
            lambda: MEAN + 10 * math.log10(2),
            "Of all answers the mean has the least square error. More decibels are less error.",
        ),
        Mistake(
            "20 log10 of 2",
            lambda: MEAN - 20 * math.log10(2),
            "It is the mean *square* error that doubles, and PSNR takes 10 log10 of just that.",
        ),
        Mistake(
            "half as many decibels",
            lambda: MEAN / 2,
            "Decibels are logarithms: twice the error takes away the same number from any PSNR.",
        ),
        Mistake(
            "the natural logarithm",
            lambda: MEAN - 10 * math.log(2),
            "A decibel is 10 log10: the logarithm to the base 10.",
        ),
        Mistake(
            "the same as the mean",
            lambda: MEAN,
            "The sample varies around the mean as the truth does, and both vary independently.",
        ),
        Mistake(
            "the square error times the root of 2",
            lambda: MEAN - 10 * math.log10(math.sqrt(2)),
            "Variances of independent differences add up: the square error itself doubles.",
        ),
    ),
)

BLUR = Quiz(
    id="ex-translate-2",
    level="understand",
    title="Why is it blurred?",
    minutes=3,
    question="A network is trained to answer 7 x 7 pixels with the picture, by mean square error. "
    "It has a million weights and a million pictures, and its training has converged. Its answers "
    "are blurred. Why?",
    options={
        "a": Option(
            "Convolutions are filters, and filters blur.",
            "The diffusion network has the same layers, and its samples are sharp.",
        ),
        "b": Option(
            "Many pictures fit the 49 numbers; the least square error has their mean.",
            "And the mean of many sharp outlines in slightly different places is a blur.",
            right=True,
        ),
        "c": Option(
            "It has too few weights for the details.",
            "With any number of weights the best answer is the mean of what fits.",
        ),
        "d": Option(
            "49 numbers are not enough for any sharp picture.",
            "They are not enough to know *which* one. A sample of them is sharp all the same.",
        ),
    },
)
