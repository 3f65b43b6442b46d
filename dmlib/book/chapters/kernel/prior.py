"""An exercise of chapter 2, the diffusion kernel: how far x_T is from pure noise."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake


def _prior(x0: Tensor, alpha_bar_T: float) -> dict[str, Any]:
    D = x0.shape[1]
    spread = -0.5 * D * (alpha_bar_T + math.log(1 - alpha_bar_T))
    return {"mean": 0.5 * alpha_bar_T * (x0**2).sum(1), "spread": spread}


def _prior_with(x0: Tensor, mean: float, var: float, D: int) -> tuple[Tensor, float]:
    return 0.5 * mean * (x0**2).sum(1), 0.5 * D * (var - 1 - math.log(var))


HALVED = "Compare with the formula for two Gaussians: everything is halved."

PRIOR = Function(
    id="ex-kernel-8",
    level="derive",
    title="How far is x_T from pure noise?",
    minutes=15,
    call="prior_terms(x0, alpha_bar_T)",
    terms=("mean", "spread"),
    cases=lambda generator: [
        (draw.normal(4, D, generator=generator), draw.uniform(0.1, 0.7, generator=generator))
        for D in (2, 3, 5)
    ],
    reference=_prior,
    mistakes=(
        Mistake(
            "one dimension instead of D in the spread",
            lambda x, a: _prior_with(x, a, 1 - a, 1),
            "Each of the D dimensions has the same spread: they add up.",
        ),
        Mistake(
            "standard deviation for variance",
            lambda x, a: _prior_with(x, a, math.sqrt(1 - a), x.shape[1]),
            "v in the formula is the variance, 1 - alpha_bar_T itself.",
        ),
        Mistake(
            "the two distributions are exchanged",
            lambda x, a: (
                0.5 * a / (1 - a) * (x**2).sum(1),
                0.5 * x.shape[1] * (1 / (1 - a) - 1 + math.log(1 - a)),
            ),
            "KL is not symmetric: here q(x_T | x_0) stands first, the normal second.",
        ),
        Mistake(
            "the factor 1/2 is missing",
            lambda x, a: (a * (x**2).sum(1), -x.shape[1] * (a + math.log(1 - a))),
            HALVED,
        ),
        Mistake(
            "the factor 1/2 is missing in the mean",
            lambda x, a: (a * (x**2).sum(1), _prior(x, a)["spread"]),
            HALVED,
        ),
        Mistake(
            "the factor 1/2 is missing in the spread",
            lambda x, a: (_prior(x, a)["mean"], 2 * _prior(x, a)["spread"]),
            HALVED,
        ),
        Mistake(
            "the mean is not squared",
            lambda x, a: (
                0.5 * math.sqrt(a) * (x**2).sum(1),
                -0.5 * x.shape[1] * (a + math.log(1 - a)),
            ),
            "The mean is sqrt(alpha_bar_T) x_0: squaring it removes the root.",
        ),
        Mistake(
            "only the logarithm is left of the spread",
            lambda x, a: (_prior(x, a)["mean"], -0.5 * x.shape[1] * math.log(1 - a)),
            "The formula has v - 1, too.",
        ),
        Mistake(
            "a logarithm to base 2",
            lambda x, a: (_prior(x, a)["mean"], -0.5 * x.shape[1] * (a + math.log2(1 - a))),
            "The answer is asked for in nats: that is the natural logarithm.",
        ),
        Mistake(
            "alpha_bar_T for the variance",
            lambda x, a: _prior_with(x, a, a, x.shape[1]),
            "The variance of x_T, given x_0, is 1 - alpha_bar_T.",
        ),
    ),
)
