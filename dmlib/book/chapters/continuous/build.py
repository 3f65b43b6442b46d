"""The exercises of the chapter on continuous time: steps forwards, backwards and along the flow."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _maruyama(x: Tensor, z: Tensor, beta: float, ds: float) -> Tensor:
    return x - 0.5 * beta * x * ds + math.sqrt(beta * ds) * z


def _maruyama_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(3, 2, generator=generator),
            draw.normal(3, 2, generator=generator),
            draw.uniform(*ends, generator=generator),
            draw.uniform(0.02, 0.06, generator=generator),
        )
        for ends in ((0.2, 0.5), (3, 6), (12, 18))
    ]


EULER_MARUYAMA = Function(
    id="ex-continuous-7",
    level="build",
    title="A step of Euler and Maruyama",
    minutes=8,
    call="forward_step(x, z, beta, ds)",
    cases=_maruyama_cases,
    reference=_maruyama,
    mistakes=(
        Mistake(
            "beta in place of its root before the noise",
            lambda x, z, beta, ds: x - 0.5 * beta * x * ds + beta * math.sqrt(ds) * z,
            "g is the root of beta: beta ds is the variance that comes in.",
        ),
        Mistake(
            "the half is missing in the drift",
            lambda x, z, beta, ds: x - beta * x * ds + math.sqrt(beta * ds) * z,
            "With -beta x the signal would lose its variance twice as fast as noise comes in.",
        ),
        Mistake(
            "ds in place of its root before the noise",
            lambda x, z, beta, ds: x - 0.5 * beta * x * ds + math.sqrt(beta) * ds * z,
            "Variances add up over the steps, so a step's noise has the variance beta ds. With ds "
            "for its root all noise vanishes as the steps get smaller.",
        ),
        Mistake(
            "the variance in place of the standard deviation",
            lambda x, z, beta, ds: x - 0.5 * beta * x * ds + beta * ds * z,
            "beta ds is the variance of the noise. What is z multiplied by?",
        ),
        Mistake(
            "the drift has the wrong sign",
            lambda x, z, beta, ds: x + 0.5 * beta * x * ds + math.sqrt(beta * ds) * z,
            "Forwards the picture fades: the drift points to 0.",
        ),
        Mistake(
            "the drift's time is forgotten",
            lambda x, z, beta, ds: x - 0.5 * beta * x + math.sqrt(beta * ds) * z,
            "The drift acts for a time ds: a small step moves x by little.",
        ),
        Mistake(
            "the step of the chain, not Euler's",
            lambda x, z, beta, ds: math.sqrt(1 - beta * ds) * x + math.sqrt(beta * ds) * z,
            "That is q(x_t | x_{t-1}) with beta_t = beta ds, as good a step; but this exercise "
            "wants the root replaced by its first two terms.",
        ),
        Mistake(
            "only the change",
            lambda x, z, beta, ds: -0.5 * beta * x * ds + math.sqrt(beta * ds) * z,
            "That is dx. Return the new place, x + dx.",
        ),
    ),
)


def _reverse(
    x: Tensor, eps_hat: Tensor, z: Tensor, h: float, churn: float, f: float, g: float, b: float
) -> Tensor:
    score = -eps_hat / b
    drift = f * x - 0.5 * (1 + churn**2) * g**2 * score
    return x - h * drift + churn * g * math.sqrt(h) * z


def _reverse_with(
    x: Tensor, on_x: float, eps_hat: Tensor, on_eps: float, z: Tensor, on_z: float
) -> Tensor:
    return (1 - on_x) * x - on_eps * eps_hat + on_z * z


def _reverse_cases(generator: Generator) -> Cases:
    return [
        (
            *(draw.normal(3, 2, generator=generator) for _ in range(3)),
            draw.uniform(0.02, 0.2, generator=generator),
            churn,
            -draw.uniform(0.4, 3, generator=generator),
            draw.uniform(1.3, 3, generator=generator),
            draw.uniform(0.3, 0.8, generator=generator),
        )
        for churn in (0.0, 1.0, draw.uniform(0.3, 0.7, generator=generator), 1.5)
    ]


REVERSE = Function(
    id="ex-continuous-8",
    level="build",
    title="A step back, with any churn",
    minutes=12,
    call="reverse_step(x, eps_hat, z, h, churn, f, g, b)",
    cases=_reverse_cases,
    reference=_reverse,
    mistakes=(
        Mistake(
            "time runs the wrong way",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, -h * f, e, -h * (1 + c**2) * g**2 / (2 * b), z, c * g * math.sqrt(h)
            ),
            "From s to s - h: the drift is subtracted, the noise is added all the same.",
        ),
        Mistake(
            "eps_hat is taken for the score",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, -h * (1 + c**2) * g**2 / 2, z, c * g * math.sqrt(h)
            ),
            "The score is -eps_hat / b: it has the other sign and another length.",
        ),
        Mistake(
            "the score has the wrong sign",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, -h * (1 + c**2) * g**2 / (2 * b), z, c * g * math.sqrt(h)
            ),
            "The score is -eps_hat / b: towards the data, against the noise.",
        ),
        Mistake(
            "eps_hat is not divided by b",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * (1 + c**2) * g**2 / 2, z, c * g * math.sqrt(h)
            ),
            "The score is -eps_hat / b. Where little noise is left it is long.",
        ),
        Mistake(
            "the churn is missing in the drift",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * g**2 / (2 * b), z, c * g * math.sqrt(h)
            ),
            "What the fresh noise spreads, the drift must gather again: churn^2 g^2 / 2 times the "
            "score more than in the flow.",
        ),
        Mistake(
            "the churn is not squared in the drift",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * (1 + c) * g**2 / (2 * b), z, c * g * math.sqrt(h)
            ),
            "Noise of the size churn g has the variance churn^2 g^2, and the drift makes up for "
            "the variance.",
        ),
        Mistake(
            "the drift of the reverse SDE, whatever the churn is",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * g**2 / b, z, c * g * math.sqrt(h)
            ),
            "g^2 times the score is right for churn 1. For churn 0, the flow, it is half of that.",
        ),
        Mistake(
            "the half is missing",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * (1 + c**2) * g**2 / b, z, c * g * math.sqrt(h)
            ),
            "For churn 0 your step must be that of the flow, with g^2 / 2.",
        ),
        Mistake(
            "h in place of its root before the noise",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * (1 + c**2) * g**2 / (2 * b), z, c * g * h
            ),
            "The variance of the noise is churn^2 g^2 h. What is z multiplied by?",
        ),
        Mistake(
            "the noise of the reverse SDE, whatever the churn is",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * (1 + c**2) * g**2 / (2 * b), z, g * math.sqrt(h)
            ),
            "With churn 0 no noise is added at all.",
        ),
        Mistake(
            "no noise at all",
            lambda x, e, z, h, c, f, g, b: _reverse_with(
                x, h * f, e, h * (1 + c**2) * g**2 / (2 * b), z, 0.0
            ),
            "Only with churn 0 no noise is added.",
        ),
    ),
)
