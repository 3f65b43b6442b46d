"""The exercises of chapter 1, the forward process: derivations."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _variance(variance_prev: float, beta_t: float) -> dict[str, float]:
    return {"picture": (1 - beta_t) * variance_prev, "noise": beta_t}


VARIANCE = Function(
    id="ex-forward-4",
    level="derive",
    title="What one step does to the variance",
    minutes=8,
    call="variance_terms(variance_prev, beta_t)",
    terms=("picture", "noise"),
    cases=lambda generator: [
        (draw.uniform(0.2, 4, generator=generator), draw.uniform(0.05, 0.8, generator=generator))
        for _ in range(5)
    ],
    reference=_variance,
    mistakes=(
        Mistake(
            "the factor is not squared",
            lambda v, b: (math.sqrt(1 - b) * v, b),
            "Var(c x) is c squared times Var(x).",
        ),
        Mistake(
            "standard deviation of the noise instead of its variance",
            lambda v, b: ((1 - b) * v, math.sqrt(b)),
            "sqrt(beta_t) eps has the standard deviation sqrt(beta_t). And the variance?",
        ),
        Mistake(
            "the picture is not shrunk",
            lambda v, b: (v, b),
            "x_{t-1} is multiplied before the noise is added; its variance feels that.",
        ),
        Mistake(
            "the noise is scaled with the old variance",
            lambda v, b: ((1 - b) * v, b * v),
            "eps is standard normal, whatever the picture's variance is.",
        ),
        Mistake(
            "1 - beta_t and beta_t are squared",
            lambda v, b: ((1 - b) ** 2 * v, b**2),
            "What stands in the step are the roots of 1 - beta_t and beta_t.",
        ),
    ),
)


def _log_q(xt: Tensor, x_prev: Tensor, beta_t: float) -> dict[str, Tensor | float]:
    gap = xt - math.sqrt(1 - beta_t) * x_prev
    return {
        "distance": -(gap**2).sum(1) / (2 * beta_t),
        "constant": -0.5 * xt.shape[1] * math.log(2 * math.pi * beta_t),
    }


def _density_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(4, D, generator=generator),
            draw.normal(4, D, generator=generator),
            draw.uniform(0.1, 0.6, generator=generator),
        )
        for D in (2, 3, 5)
    ]


def _scaled(xt: Tensor, x_prev: Tensor, b: float, distance: float, constant: float) -> Any:
    """The right terms, each times a factor."""
    terms = _log_q(xt, x_prev, b)
    return distance * terms["distance"], constant * terms["constant"]


def _log_q_with(xt: Tensor, x_prev: Tensor, b: float, mean: float, var: float, D: int) -> Any:
    distance = -((xt - mean * x_prev) ** 2).sum(1) / (2 * var)
    return distance, -0.5 * D * math.log(2 * math.pi * var)


DENSITY = Function(
    id="ex-forward-8",
    level="derive",
    title="The density of one step",
    minutes=12,
    call="log_q_terms(xt, x_prev, beta_t)",
    terms=("distance", "constant"),
    cases=_density_cases,
    reference=_log_q,
    mistakes=(
        Mistake(
            "one dimension instead of D in the constant",
            lambda x, p, b: _log_q_with(x, p, b, math.sqrt(1 - b), b, 1),
            "Every one of the D dimensions brings its own constant.",
        ),
        Mistake(
            "the mean is x_{t-1}, not shrunk",
            lambda x, p, b: _log_q_with(x, p, b, 1.0, b, x.shape[1]),
            "The density is centred at sqrt(1 - beta_t) x_{t-1}.",
        ),
        Mistake(
            "standard deviation for variance",
            lambda x, p, b: _log_q_with(x, p, b, math.sqrt(1 - b), math.sqrt(b), x.shape[1]),
            "beta_t itself is the variance; it stands in the density without a root.",
        ),
        Mistake(
            "the variance is squared",
            lambda x, p, b: _log_q_with(x, p, b, math.sqrt(1 - b), b * b, x.shape[1]),
            "sigma squared in the textbook formula is beta_t, not beta_t squared.",
        ),
        Mistake(
            "a large distance makes x_t likely",
            lambda x, p, b: _scaled(x, p, b, -1, 1),
            "The further away, the less likely: the term is negative.",
        ),
        Mistake(
            "the exponent is not halved",
            lambda x, p, b: _scaled(x, p, b, 2, 1),
            "The exponent of the normal density has a 2 in its denominator.",
        ),
        Mistake(
            "2 pi is missing",
            lambda x, p, b: (_log_q(x, p, b)["distance"], -0.5 * x.shape[1] * math.log(b)),
            "Even for variance 1 the density at the mean is not 1.",
        ),
        Mistake(
            "the factor in front of the density, not its logarithm",
            lambda x, p, b: (
                _log_q(x, p, b)["distance"],
                math.exp(_log_q(x, p, b)["constant"]),
            ),
            "The logarithm of the factor is asked for.",
        ),
    ),
)


Cases = list[tuple[Any, ...]]
