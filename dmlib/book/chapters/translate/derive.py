"""The exercises of the chapter on networks that are shown a picture: a derivation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _errors(v: Tensor, n: int) -> dict[str, Tensor]:
    return {"mean": v, "sample": 2 * v, "mean_of_n": (1 + 1 / n) * v}


def _cases(generator: Generator) -> Cases:
    return [
        (0.1 + torch.rand(5, generator=generator, dtype=torch.float64), n)
        for n in (3, 7, draw.integer(10, 60, generator=generator))
    ]


ERRORS = Function(
    id="ex-translate-3",
    level="derive",
    title="The error of a sample",
    minutes=10,
    call="square_errors(v, n)",
    terms=("mean", "sample", "mean_of_n"),
    cases=_cases,
    reference=_errors,
    mistakes=(
        Mistake(
            "a sample as good as the mean",
            lambda v, n: (v, v, v / n),
            "The sample has its own deviation from the mean, which the truth does not share.",
        ),
        Mistake(
            "only the sample's own deviation is counted in the mean of n",
            lambda v, n: (v, 2 * v, v / n),
            "The truth, too, is off the mean, however many samples you take.",
        ),
        Mistake(
            "deviations added before they are squared",
            lambda v, n: (v, 4 * v, (1 + n**-0.5) ** 2 * v),
            "Independent deviations: their variances add up, not their sizes.",
        ),
        Mistake(
            "the mean is taken for the truth",
            lambda v, n: (0 * v, v, v / n),
            "The posterior mean is not x_0: x_0 is spread around it with the variance v.",
        ),
        Mistake(
            "the mean of n has the error of n samples",
            lambda v, n: (v, 2 * v, 2 * v / n),
            "Averaging makes the samples' part smaller, and leaves the truth's part as it is.",
        ),
        Mistake(
            "sizes for squares",
            lambda v, n: (v.sqrt(), (2 * v).sqrt(), ((1 + 1 / n) * v).sqrt()),
            "Mean square errors are asked for, without a root.",
        ),
    ),
)
