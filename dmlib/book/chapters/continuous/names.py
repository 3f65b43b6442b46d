"""The exercises of the chapter on continuous time: the names of the flow."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _conversions(xs: Tensor, s: float, u: Tensor, x0: Tensor, eps: Tensor) -> dict[str, Tensor]:
    return {
        "x0": xs - s * u,
        "eps": xs + (1 - s) * u,
        "u_from_x0": (xs - x0) / s,
        "u_from_eps": (eps - xs) / (1 - s),
    }


def _conversion_cases(generator: Generator) -> Cases:
    times = [
        draw.uniform(*ends, generator=generator) for ends in ((0.1, 0.3), (0.4, 0.45), (0.7, 0.9))
    ]
    return [
        (
            draw.normal(2, 3, generator=generator),
            s,
            *(draw.normal(2, 3, generator=generator) for _ in range(3)),
        )
        for s in times
    ]


CONVERSIONS = Function(
    id="ex-continuous-6",
    level="derive",
    title="Velocity, data, noise",
    minutes=10,
    call="straight_terms(xs, s, u, x0, eps)",
    terms=("x0", "eps", "u_from_x0", "u_from_eps"),
    cases=_conversion_cases,
    reference=_conversions,
    mistakes=(
        Mistake(
            "the velocity points from noise to data",
            lambda xs, s, u, x0, eps: (
                xs + s * u,
                xs - (1 - s) * u,
                (x0 - xs) / s,
                (xs - eps) / (1 - s),
            ),
            "u = dx/ds, and s runs from data to noise: u = eps - x_0. Papers whose time runs the "
            "other way have the other sign.",
        ),
        Mistake(
            "data and noise are exchanged",
            lambda xs, s, u, x0, eps: (
                xs + (1 - s) * u,
                xs - s * u,
                (x0 - xs) / (1 - s),
                (xs - eps) / s,
            ),
            "At s = 0 x_s is the data, at s = 1 the noise: x_s = (1 - s) x_0 + s eps.",
        ),
        Mistake(
            "s and 1 - s are exchanged",
            lambda xs, s, u, x0, eps: tuple(_conversions(xs, 1 - s, u, x0, eps).values()),
            "How far is it from x_s to the data? At s = 0 you are there.",
        ),
        Mistake(
            "the whole of u is taken off, whatever s is",
            lambda xs, s, u, x0, eps: (
                xs - u,
                xs + u,
                _conversions(xs, s, u, x0, eps)["u_from_x0"],
                _conversions(xs, s, u, x0, eps)["u_from_eps"],
            ),
            "u is the way from data to noise, all of it. How much of that way is behind x_s?",
        ),
        Mistake(
            "the way is not divided by the time that it takes",
            lambda xs, s, u, x0, eps: (xs - s * u, xs + (1 - s) * u, xs - x0, eps - xs),
            "A velocity is a way over a time. The data are the time s away.",
        ),
        Mistake(
            "the noise from the velocity with the wrong sign",
            lambda xs, s, u, x0, eps: (
                xs - s * u,
                xs - (1 - s) * u,
                (xs - x0) / s,
                (eps - xs) / (1 - s),
            ),
            "Data lie behind x_s, the noise before it: one is reached with minus, one with plus.",
        ),
    ),
)
