"""The exercises of chapter 8, continuous time: steps forwards, backwards and along the flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]
Velocity = Callable[[Tensor, float], Tensor]


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


def _heun(velocity: Velocity, x1: Tensor, steps: int) -> Tensor:
    x, h = x1, 1 / steps
    for i in range(steps):
        s = 1 - i * h
        u = velocity(x, s)
        x = x - h / 2 * (u + velocity(x - h * u, s - h))
    return x


def _walk(
    velocity: Velocity,
    x1: Tensor,
    steps: int,
    step: Callable[[Velocity, Tensor, float, float], Tensor],
) -> Tensor:
    """From s = 1 down; step(velocity, x, s, h) -> x at s - h."""
    for i in range(steps):
        x1 = step(velocity, x1, 1 - i / steps, 1 / steps)
    return x1


def _waves(generator: Generator) -> Velocity:
    """A smooth velocity of no known form, unlike at all times and at x and -x."""
    w = 0.5 + draw.normal(3, generator=generator).abs()
    phase = 0.7 + 0.5 * draw.normal(3, generator=generator)

    def velocity(x: Tensor, s: float) -> Tensor:
        return torch.sin(w[0] * x + phase[0]) + w[1] * torch.cos(x + 3 * s + phase[1]) + w[2] * s

    return velocity


def _flow_cases(generator: Generator) -> Cases:
    return [(_waves(generator), draw.normal(3, 2, generator=generator), n) for n in (1, 2, 5)]


HEUN = Function(
    id="ex-continuous-9",
    level="build",
    title="Down the flow with Heun",
    minutes=15,
    call="my_heun(velocity, x1, steps)",
    cases=_flow_cases,
    reference=_heun,
    mistakes=(
        Mistake(
            "the velocity has the wrong sign",
            lambda u, x, n: _walk(
                u, x, n, lambda u, x, s, h: x + h / 2 * (u(x, s) + u(x + h * u(x, s), s - h))
            ),
            "u = dx/ds points to the noise. You go the other way: subtract.",
        ),
        Mistake(
            "data and noise are exchanged: s runs from 0 to 1",
            lambda u, x, n: _walk(
                u,
                x,
                n,
                lambda u, x, s, h: x + h / 2 * (u(x, 1 - s) + u(x + h * u(x, 1 - s), 1 - s + h)),
            ),
            "In this book s = 1 is the noise, and the walk starts there.",
        ),
        Mistake(
            "the steps go down, but the times go up",
            lambda u, x, n: _walk(
                u,
                x,
                n,
                lambda u, x, s, h: x - h / 2 * (u(x, 1 - s) + u(x - h * u(x, 1 - s), 1 - s + h)),
            ),
            "The first look is at s = 1, where x_1 is. Print the times that you ask for.",
        ),
        Mistake(
            "Euler's method",
            lambda u, x, n: _walk(u, x, n, lambda u, x, s, h: x - h * u(x, s)),
            "Heun looks a second time, where Euler's step ends, and takes the mean of both.",
        ),
        Mistake(
            "the second look is at the time of the first",
            lambda u, x, n: _walk(
                u, x, n, lambda u, x, s, h: x - h / 2 * (u(x, s) + u(x - h * u(x, s), s))
            ),
            "Euler's step ends at s - h: that is the time to ask for there.",
        ),
        Mistake(
            "the second look is at the place of the first",
            lambda u, x, n: _walk(u, x, n, lambda u, x, s, h: x - h / 2 * (u(x, s) + u(x, s - h))),
            "Look again where Euler's step ends, at x - h u.",
        ),
        Mistake(
            "both velocities, but not their mean",
            lambda u, x, n: _walk(
                u, x, n, lambda u, x, s, h: x - h * (u(x, s) + u(x - h * u(x, s), s - h))
            ),
            "Two velocities are summed up: halve them.",
        ),
        Mistake(
            "the mean of both is added to the end of Euler's step",
            lambda u, x, n: _walk(
                u,
                x,
                n,
                lambda u, x, s, h: x - h * u(x, s) - h / 2 * (u(x, s) + u(x - h * u(x, s), s - h)),
            ),
            "Euler's step is a trial. The real one starts at x again.",
        ),
        Mistake(
            "only the second velocity counts",
            lambda u, x, n: _walk(u, x, n, lambda u, x, s, h: x - h * u(x - h * u(x, s), s - h)),
            "The mean of the two is exact to second order; either alone is not.",
        ),
        Mistake(
            "the midpoint rule",
            lambda u, x, n: _walk(
                u, x, n, lambda u, x, s, h: x - h * u(x - h / 2 * u(x, s), s - h / 2)
            ),
            "A good rule of the same order, but not Heun's: that one looks at the step's end.",
        ),
        Mistake(
            "one step too few",
            lambda u, x, n: _walk(
                u,
                x,
                n,
                lambda u, x, s, h: (
                    x if s - h < 1e-9 else x - h / 2 * (u(x, s) + u(x - h * u(x, s), s - h))
                ),
            ),
            "The last step ends at s = 0. The velocity may be asked for there, too.",
        ),
    ),
)
