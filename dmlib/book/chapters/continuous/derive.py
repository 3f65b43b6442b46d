"""The exercises of the chapter on continuous time: derivations."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _variance(v0: Tensor, beta_0: float, beta_1: float, s: float) -> dict[str, Any]:
    integral = beta_0 * s + (beta_1 - beta_0) * s**2 / 2
    return {"kept": math.exp(-integral) * v0, "added": 1 - math.exp(-integral)}


def _variance_with(v0: Tensor, kept: float, added: float) -> tuple[Tensor, float]:
    return kept * v0, added


def _integral(beta_0: float, beta_1: float, s: float) -> float:
    return beta_0 * s + (beta_1 - beta_0) * s**2 / 2


def _variance_cases(generator: Generator) -> Cases:
    return [
        (
            draw.uniform(0.3, 3, generator=generator) * draw.normal(4, generator=generator) ** 2,
            draw.uniform(0.1, 0.9, generator=generator),
            draw.uniform(1.5, 3.0, generator=generator),
            s,
        )
        for s in (draw.uniform(0.2, 0.6, generator=generator), 0.8, 1.0)
    ]


VARIANCE = Function(
    id="ex-continuous-4",
    level="derive",
    title="The variance solves an equation",
    minutes=12,
    call="variance_terms(v0, beta_0, beta_1, s)",
    terms=("kept", "added"),
    cases=_variance_cases,
    reference=_variance,
    mistakes=(
        Mistake(
            "the 2 of 2 f v is missing",
            lambda v, b0, b1, s: _variance_with(
                v, math.exp(-_integral(b0, b1, s) / 2), 1 - math.exp(-_integral(b0, b1, s) / 2)
            ),
            "The variance is a square: it shrinks at twice the rate of x. That removes the half.",
        ),
        Mistake(
            "the noise that comes in is not shrunk any more",
            lambda v, b0, b1, s: _variance_with(
                v, math.exp(-_integral(b0, b1, s)), _integral(b0, b1, s)
            ),
            "Early noise is part of x, too, and the drift shrinks it like everything else.",
        ),
        Mistake(
            "the drift has the wrong sign",
            lambda v, b0, b1, s: _variance_with(
                v, math.exp(_integral(b0, b1, s)), math.exp(_integral(b0, b1, s)) - 1
            ),
            "f = -beta/2 is negative: where nothing is added, the variance falls.",
        ),
        Mistake(
            "beta(s) s for the integral of beta",
            lambda v, b0, b1, s: _variance_with(
                v,
                math.exp(-(b0 + s * (b1 - b0)) * s),
                1 - math.exp(-(b0 + s * (b1 - b0)) * s),
            ),
            "beta depends on the time. What is the integral of beta_0 + s (beta_1 - beta_0)?",
        ),
        Mistake(
            "the integral to s = 1, whatever s is",
            lambda v, b0, b1, s: tuple(_variance(v, b0, b1, 1.0).values()),
            "The mean of beta_0 and beta_1 is the integral over the whole way, from 0 to 1.",
        ),
        Mistake(
            "standard deviations",
            lambda v, b0, b1, s: _variance_with(
                v.sqrt(),
                math.exp(-_integral(b0, b1, s) / 2),
                math.sqrt(1 - math.exp(-_integral(b0, b1, s))),
            ),
            "The equation is one for the variance: no root.",
        ),
        Mistake(
            "the variance at the start is taken to be 1",
            lambda v, b0, b1, s: _variance_with(
                v / v, math.exp(-_integral(b0, b1, s)), 1 - math.exp(-_integral(b0, b1, s))
            ),
            "With v(0) = 1 it would stay 1. Here it is v0, and fades.",
        ),
    ),
)


def _flow(x: Tensor, m: float, v: float, a: float, b: float, f: float, g: float) -> dict[str, Any]:
    score = -(x - a * m) / (a**2 * v + b**2)
    return {"drift": f * x, "pull": -0.5 * g**2 * score}


def _flow_with(
    x: Tensor, m: float, v: float, a: float, b: float, f: float, on_score: float
) -> tuple[Tensor, Tensor]:
    return f * x, -on_score * (x - a * m) / (a**2 * v + b**2)


def _flow_cases(generator: Generator) -> Cases:
    return [
        (
            2 * draw.normal(4, generator=generator),
            draw.uniform(1, 2, generator=generator) * sign,
            draw.uniform(0.2, 0.7, generator=generator),
            draw.uniform(0.4, 0.9, generator=generator),
            draw.uniform(0.3, 0.8, generator=generator),
            -draw.uniform(0.3, 0.9, generator=generator),
            draw.uniform(1.2, 2.5, generator=generator),
        )
        for sign in (1, -1, 1, -1)
    ]


FLOW = Function(
    id="ex-continuous-5",
    level="derive",
    title="The flow of one heap",
    minutes=12,
    call="flow_terms(x, m, v, a, b, f, g)",
    terms=("drift", "pull"),
    cases=_flow_cases,
    reference=_flow,
    mistakes=(
        Mistake(
            "the factor 1/2 is missing",
            lambda x, m, v, a, b, f, g: _flow_with(x, m, v, a, b, f, -(g**2)),
            "With g^2 it is the drift of the reverse SDE, which adds noise again. The flow adds "
            "none: the second term of the Fokker-Planck equation has a half.",
        ),
        Mistake(
            "the sign of the score",
            lambda x, m, v, a, b, f, g: _flow_with(x, m, v, a, b, f, 0.5 * g**2),
            "s runs from data to noise: forwards, points must leave the heap, against the score.",
        ),
        Mistake(
            "g in place of its square",
            lambda x, m, v, a, b, f, g: _flow_with(x, m, v, a, b, f, -0.5 * g),
            "g dw has the variance g^2 ds, and that is what stands in the Fokker-Planck equation.",
        ),
        Mistake(
            "the score of the kernel q(x_s | x_0 = m), not that of q(x_s)",
            lambda x, m, v, a, b, f, g: _flow_with(x, m, 0.0, a, b, f, -0.5 * g**2),
            "The data have a width: what is the variance of a x_0 + b eps?",
        ),
        Mistake(
            "the width of the data is not shrunk",
            lambda x, m, v, a, b, f, g: (
                f * x,
                0.5 * g**2 * (x - a * m) / (v + b**2),
            ),
            "x_0 comes with the factor a: its variance with which?",
        ),
        Mistake(
            "the mean is not shrunk",
            lambda x, m, v, a, b, f, g: (
                f * x,
                0.5 * g**2 * (x - m) / (a**2 * v + b**2),
            ),
            "The mean of a x_0 + b eps is not m.",
        ),
        Mistake(
            "standard deviation for variance in the score",
            lambda x, m, v, a, b, f, g: (
                f * x,
                0.5 * g**2 * (x - a * m) / math.sqrt(a**2 * v + b**2),
            ),
            "Take the derivative of -(x - mean)^2 / (2 variance): no root.",
        ),
        Mistake(
            "the drift with its sign turned",
            lambda x, m, v, a, b, f, g: (-f * x, _flow(x, m, v, a, b, f, g)["pull"]),
            "The velocity is dx/ds, forwards: the drift f x comes in as it is.",
        ),
    ),
)
