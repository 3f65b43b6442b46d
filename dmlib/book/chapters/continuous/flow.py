"""The exercises of the chapter on continuous time: a rule of second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]
Velocity = Callable[[Tensor, float], Tensor]


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
