"""The exercises of the chapter on restoring: put in, go up, push."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _mask(*shape: int, generator: Generator) -> Tensor:
    """Boolean, with both values in it."""
    mask = torch.rand(*shape, generator=generator) < 0.5
    mask.view(-1)[0], mask.view(-1)[-1] = True, False
    return mask


def _put_in(x_prev: Tensor, y: Tensor, mask: Tensor, z: Tensor, a: float, b: float) -> Tensor:
    return torch.where(mask, a * y + b * z, x_prev)


def _put_in_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(3, 1, 4, 4, generator=generator),
            draw.normal(3, 1, 4, 4, generator=generator),
            _mask(1, 4, 4, generator=generator),
            draw.normal(3, 1, 4, 4, generator=generator),
            a,
            math.sqrt(1 - a**2),
        )
        for a in (draw.uniform(0.2, 0.6, generator=generator), 0.9)
    ]


PUT_IN = Function(
    id="ex-restore-5",
    level="build",
    title="Put in what is seen",
    minutes=6,
    call="put_in(x_prev, y, mask, z, a, b)",
    cases=_put_in_cases,
    reference=_put_in,
    mistakes=(
        Mistake(
            "y is put in without noise",
            lambda x, y, mask, z, a, b: torch.where(mask, y, x),
            "x_prev is noisy. A clean patch in it is nothing that the network has ever seen.",
        ),
        Mistake(
            "y is not shrunk",
            lambda x, y, mask, z, a, b: torch.where(mask, y + b * z, x),
            "At the level of x_prev the picture comes with the factor a.",
        ),
        Mistake(
            "y is shrunk, but has no noise",
            lambda x, y, mask, z, a, b: torch.where(mask, a * y, x),
            "x_prev = a x_0 + b noise, in the seen part, too.",
        ),
        Mistake(
            "seen and hole are exchanged",
            lambda x, y, mask, z, a, b: torch.where(mask, x, a * y + b * z),
            "mask is True where the picture is seen: there y goes.",
        ),
        Mistake(
            "the hole is emptied",
            lambda x, y, mask, z, a, b: (a * y + b * z) * mask,
            "In the hole x_prev stays as it is.",
        ),
        Mistake(
            "the variance in place of the standard deviation",
            lambda x, y, mask, z, a, b: torch.where(mask, a * y + b**2 * z, x),
            "b multiplies the noise, b^2 is its variance.",
        ),
        Mistake(
            "a and b are exchanged",
            lambda x, y, mask, z, a, b: torch.where(mask, b * y + a * z, x),
            "a belongs to the picture, b to the noise.",
        ),
    ),
)


def _up(x_prev: Tensor, z: Tensor, a: float, a_prev: float) -> Tensor:
    alpha = (a / a_prev) ** 2
    return math.sqrt(alpha) * x_prev + math.sqrt(1 - alpha) * z


def _up_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(3, 2, generator=generator),
            draw.normal(3, 2, generator=generator),
            share * a_prev,
            a_prev,
        )
        for share in (0.95, draw.uniform(0.5, 0.8, generator=generator))
        for a_prev in (draw.uniform(0.6, 0.95, generator=generator),)
    ]


UP = Function(
    id="ex-restore-6",
    level="build",
    title="Back up, as RePaint does",
    minutes=8,
    call="step_up(x_prev, z, a, a_prev)",
    cases=_up_cases,
    reference=_up,
    mistakes=(
        Mistake(
            "noised as if x_prev were clean",
            lambda x, z, a, a_prev: a * x + math.sqrt(1 - a**2) * z,
            "x_prev has noise already. Only one step's is to be added.",
        ),
        Mistake(
            "the difference of the noise levels is added",
            lambda x, z, a, a_prev: (
                a / a_prev * x + (math.sqrt(1 - a**2) - math.sqrt(1 - a_prev**2)) * z
            ),
            "Standard deviations do not add up, variances do; and the old noise shrinks, too.",
        ),
        Mistake(
            "the old noise is not shrunk",
            lambda x, z, a, a_prev: a / a_prev * x + math.sqrt(a_prev**2 - a**2) * z,
            "x_prev is multiplied by a / a_prev, its noise with it.",
        ),
        Mistake(
            "x_prev is not shrunk",
            lambda x, z, a, a_prev: x + math.sqrt(1 - (a / a_prev) ** 2) * z,
            "The picture comes with the factor a_prev in x_prev, and must have a in x_t.",
        ),
        Mistake(
            "the variance in place of the standard deviation",
            lambda x, z, a, a_prev: a / a_prev * x + (1 - (a / a_prev) ** 2) * z,
            "That is beta_t, the variance. What multiplies z?",
        ),
        Mistake(
            "a and a_prev are alpha_bar here",
            lambda x, z, a, a_prev: math.sqrt(a / a_prev) * x + math.sqrt(1 - a / a_prev) * z,
            "a is the root of alpha_bar already.",
        ),
    ),
)


def _push(x0_hat: Tensor, eps_hat: Tensor, g: Tensor, a: float, b: float) -> dict[str, Tensor]:
    return {"x0_hat": x0_hat + b**2 / a * g, "eps_hat": eps_hat - b * g}


def _push_cases(generator: Generator) -> Cases:
    return [
        (
            *(draw.normal(3, 2, generator=generator) for _ in range(3)),
            a,
            math.sqrt(1 - a**2),
        )
        for a in (draw.uniform(0.3, 0.6, generator=generator), 0.9)
    ]


PUSH = Function(
    id="ex-restore-7",
    level="build",
    title="A push on the guess",
    minutes=10,
    call="push(x0_hat, eps_hat, g, a, b)",
    terms=("x0_hat", "eps_hat"),
    cases=_push_cases,
    reference=_push,
    mistakes=(
        Mistake(
            "the wrong sign for both",
            lambda x, e, g, a, b: (x - b**2 / a * g, e + b * g),
            "The score is -eps_hat / b: where it grows, the noise shrinks.",
        ),
        Mistake(
            "the wrong sign for the noise",
            lambda x, e, g, a, b: (x + b**2 / a * g, e + b * g),
            "x_t = a x0_hat + b eps_hat stays: if one grows the other must shrink.",
        ),
        Mistake(
            "b is not squared",
            lambda x, e, g, a, b: (x + b / a * g, e - b * g),
            "x_t = a x0_hat + b eps_hat: put your eps_hat in and solve for x0_hat.",
        ),
        Mistake(
            "g is added to the noise as it is",
            lambda x, e, g, a, b: (x + b / a * g, e - g),
            "g is a change of the score, and eps_hat = -b score.",
        ),
        Mistake(
            "a is forgotten",
            lambda x, e, g, a, b: (x + b**2 * g, e - b * g),
            "x_t = a x0_hat + b eps_hat: put your eps_hat in and solve for x0_hat.",
        ),
        Mistake(
            "x0_hat is left alone",
            lambda x, e, g, a, b: (x, e - b * g),
            "Then the two halves of the guess no longer make up x_t.",
        ),
    ),
)
