"""The exercises of the chapter on networks that are shown a picture: the first guess."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _guess(v_hat: Tensor, xt: Tensor, alpha_bar_t: float) -> Tensor:
    return alpha_bar_t**0.5 * xt - (1 - alpha_bar_t) ** 0.5 * v_hat


def _cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(3, 1, 4, 4, generator=generator),
            draw.normal(3, 1, 4, 4, generator=generator),
            bar,
        )
        for bar in (0.0, 0.3, draw.uniform(0.5, 0.9, generator=generator))
    ]


GUESS = Function(
    id="ex-translate-6",
    level="build",
    title="The first guess",
    minutes=6,
    call="guess_of(v_hat, xt, alpha_bar_t)",
    cases=_cases,
    reference=_guess,
    mistakes=(
        Mistake(
            "the sign of v",
            lambda v, x, bar: bar**0.5 * x + (1 - bar) ** 0.5 * v,
            "At alpha_bar = 0 the target is v = -x_0. What is x_0 then?",
        ),
        Mistake(
            "signal and noise exchanged: that is eps_hat",
            lambda v, x, bar: (1 - bar) ** 0.5 * x + bar**0.5 * v,
            "v = a eps - b x_0 and x_t = a x_0 + b eps, a^2 + b^2 = 1. Which sum leaves x_0 alone?",
        ),
        Mistake(
            "no roots",
            lambda v, x, bar: bar * x - (1 - bar) * v,
            "alpha_bar and 1 - alpha_bar are variances; the factors are their roots.",
        ),
        Mistake(
            "v taken for the noise",
            lambda v, x, bar: (x - (1 - bar) ** 0.5 * v) / max(bar, 1e-6) ** 0.5,
            "That is how x_0 follows from eps_hat. It divides by zero where all is noise; v does "
            "not.",
        ),
        Mistake(
            "-v alone, at every t",
            lambda v, x, bar: -v,
            "Right at alpha_bar = 0 only. Elsewhere x_t says something as well.",
        ),
        Mistake(
            "cut to [-1, 1]",
            lambda v, x, bar: torch.clamp(_guess(v, x, bar), -1, 1),
            "Return the guess as it is.",
        ),
    ),
)
