"""The exercises of the chapter on restoring: derivations."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _posterior(y: Tensor, m: float, s: float, c: float, std: float) -> dict[str, Any]:
    total = c**2 * s**2 + std**2
    return {"mean": m + c * s**2 / total * (y - c * m), "variance": s**2 * std**2 / total}


def _posterior_cases(generator: Generator) -> Cases:
    return [
        (
            2 * draw.normal(4, generator=generator),
            sign * draw.uniform(0.6, 1.5, generator=generator),
            draw.uniform(0.5, 0.9, generator=generator),
            draw.uniform(1.4, 2.2, generator=generator) * sign,
            draw.uniform(0.3, 0.6, generator=generator),
        )
        for sign in (1, -1, 1)
    ]


POSTERIOR = Function(
    id="ex-restore-3",
    level="derive",
    title="The posterior of one heap",
    minutes=12,
    call="posterior_terms(y, m, s, c, std)",
    terms=("mean", "variance"),
    cases=_posterior_cases,
    reference=_posterior,
    mistakes=(
        Mistake(
            "c is left out before m: y is compared with the heap, not with what is measured of it",
            lambda y, m, s, c, std: (
                m + c * s**2 / (c**2 * s**2 + std**2) * (y - m),
                _posterior(y, m, s, c, std)["variance"],
            ),
            "If x_0 = m, what would be measured?",
        ),
        Mistake(
            "c is left out of the gain",
            lambda y, m, s, c, std: (
                m + s**2 / (c**2 * s**2 + std**2) * (y - c * m),
                _posterior(y, m, s, c, std)["variance"],
            ),
            "The gain is the covariance of x_0 and y over the variance of y. What is the former?",
        ),
        Mistake(
            "c is not squared in the variance of y",
            lambda y, m, s, c, std: (
                m + c * s**2 / (c * s**2 + std**2) * (y - c * m),
                s**2 * std**2 / (c * s**2 + std**2),
            ),
            "A factor c multiplies a variance by c^2.",
        ),
        Mistake(
            "the measurement is not used: the prior's mean and variance",
            lambda y, m, s, c, std: (m + 0 * y, s**2),
            "What is left of x_0's variance once y is known?",
        ),
        Mistake(
            "the prior is not used: y / c and its noise",
            lambda y, m, s, c, std: (y / c, std**2 / c**2),
            "That is all that y alone would say. The heap knows something, too.",
        ),
        Mistake(
            "standard deviation for variance",
            lambda y, m, s, c, std: (
                _posterior(y, m, s, c, std)["mean"],
                math.sqrt(_posterior(y, m, s, c, std)["variance"]),
            ),
            "The variance is asked for: no root.",
        ),
        Mistake(
            "the variance of y",
            lambda y, m, s, c, std: (
                _posterior(y, m, s, c, std)["mean"],
                c**2 * s**2 + std**2,
            ),
            "That is how y varies before it is known. Precisions add up: 1/s^2 and c^2/std^2.",
        ),
    ),
)


def _at_t(xt: Tensor, a: float, b: float, s: float, std: float) -> dict[str, Any]:
    total = a**2 * s**2 + b**2
    return {"mean": a * s**2 / total * xt, "variance": b**2 * s**2 / total + std**2}


def _at_t_cases(generator: Generator) -> Cases:
    return [
        (
            2 * draw.normal(4, generator=generator),
            a,
            math.sqrt(1 - a**2),
            draw.uniform(0.4, 0.8, generator=generator),
            draw.uniform(0.2, 0.5, generator=generator),
        )
        for a in (
            draw.uniform(*ends, generator=generator)
            for ends in ((0.2, 0.4), (0.5, 0.7), (0.8, 0.9))
        )
    ]


AT_T = Function(
    id="ex-restore-4",
    level="derive",
    title="The likelihood at time t",
    minutes=12,
    call="likelihood_terms(xt, a, b, s, std)",
    terms=("mean", "variance"),
    cases=_at_t_cases,
    reference=_at_t,
    mistakes=(
        Mistake(
            "the likelihood at the guess: the spread of x_0 is left out",
            lambda xt, a, b, s, std: (a * s**2 / (a**2 * s**2 + b**2) * xt, std**2),
            "That is what DPS starts from. x_t leaves x_0 open: with which variance?",
        ),
        Mistake(
            "the noise of the measurement is left out",
            lambda xt, a, b, s, std: (
                a * s**2 / (a**2 * s**2 + b**2) * xt,
                b**2 * s**2 / (a**2 * s**2 + b**2),
            ),
            "That is the variance of x_0 given x_t. y has noise of its own.",
        ),
        Mistake(
            "the noise of the measurement as a standard deviation",
            lambda xt, a, b, s, std: (
                a * s**2 / (a**2 * s**2 + b**2) * xt,
                b**2 * s**2 / (a**2 * s**2 + b**2) + std,
            ),
            "Variances add up.",
        ),
        Mistake(
            "x_t / a for the guess",
            lambda xt, a, b, s, std: (xt / a, b**2 * s**2 / (a**2 * s**2 + b**2) + std**2),
            "x_t / a is x_0 plus noise. What would you guess, knowing that x_0 is around 0?",
        ),
        Mistake(
            "the variance that the data had before x_t was seen",
            lambda xt, a, b, s, std: (a * s**2 / (a**2 * s**2 + b**2) * xt, s**2 + std**2),
            "x_t says something about x_0, so less than s^2 is left.",
        ),
        Mistake(
            "data of variance 1",
            lambda xt, a, b, s, std: (a * xt, b**2 + std**2),
            "With s = 1 and a^2 + b^2 = 1 it would be so. Here x_0 has the variance s^2.",
        ),
        Mistake(
            "the factor a is forgotten in the guess",
            lambda xt, a, b, s, std: (
                s**2 / (a**2 * s**2 + b**2) * xt,
                b**2 * s**2 / (a**2 * s**2 + b**2) + std**2,
            ),
            "The covariance of x_0 and x_t = a x_0 + b eps is not s^2.",
        ),
    ),
)
