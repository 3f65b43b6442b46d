"""The exercises of the chapter on shapes in space: the neighbour test, and what is known."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _others(d: Tensor) -> Tensor:
    return d + torch.diag(torch.full((len(d),), torch.inf, dtype=d.dtype))


def _neighbours(xx: Tensor, yy: Tensor, xy: Tensor) -> Tensor:
    no_self = torch.diag(torch.full((len(xx),), torch.inf, dtype=xx.dtype))
    own_x = (xx + no_self).amin(1) < xy.amin(1)
    own_y = (yy + no_self).amin(1) < xy.amin(0)
    return torch.cat((own_x, own_y)).double().mean()


def _neighbour_cases(generator: Generator) -> Cases:
    """Distances of two sets of which the one is wider; the two ways of looking differ."""
    cases: Cases = []
    while len(cases) < 3:
        x = 1.6 * draw.normal(11, 2, generator=generator)
        y = draw.normal(11, 2, generator=generator)
        xx, yy, xy = torch.cdist(x, x), torch.cdist(y, y), torch.cdist(x, y)
        made = [float(f(xx, yy, xy)) for f in (_neighbours, *_WRONG_NEIGHBOURS)]
        if len(set(made)) == len(made):
            cases.append((xx, yy, xy))
    return cases


_WRONG_NEIGHBOURS = (
    lambda xx, yy, xy: (
        torch.cat((xx.amin(1) < xy.amin(1), yy.amin(1) < xy.amin(0))).double().mean()
    ),
    lambda xx, yy, xy: 1 - _neighbours(xx, yy, xy),
    lambda xx, yy, xy: (_others(xx).amin(1) < xy.amin(1)).double().mean(),
    lambda xx, yy, xy: (_others(yy).amin(1) < xy.amin(0)).double().mean(),
    lambda xx, yy, xy: (
        torch.cat((_others(xx).amin(1) < xy.amin(0), _others(yy).amin(1) < xy.amin(1)))
        .double()
        .mean()
    ),
)

NEIGHBOURS = Function(
    id="ex-shapes-7",
    level="build",
    title="Whose neighbour?",
    minutes=10,
    call="one_nna(xx, yy, xy)",
    cases=_neighbour_cases,
    reference=_neighbours,
    mistakes=(
        Mistake(
            "each cloud is its own nearest neighbour",
            _WRONG_NEIGHBOURS[0],
            "On the diagonal stands the distance of a cloud to itself, 0. It is no neighbour.",
        ),
        Mistake(
            "the share whose neighbour is of the other set",
            _WRONG_NEIGHBOURS[1],
            "Asked for is how often the guess by the neighbour is right: 1 if the sets lie apart.",
        ),
        Mistake(
            "only the first set is asked",
            _WRONG_NEIGHBOURS[2],
            "The clouds of both sets are guessed.",
        ),
        Mistake(
            "only the second set is asked",
            _WRONG_NEIGHBOURS[3],
            "The clouds of both sets are guessed.",
        ),
        Mistake(
            "rows and columns of xy are exchanged",
            _WRONG_NEIGHBOURS[4],
            "Row i of xy belongs to cloud i of the first set, column j to cloud j of the second.",
        ),
    ),
)


def _know(
    xt: Tensor, x0_hat: Tensor, cloud: Tensor, known: Tensor, a: float, b: float
) -> dict[str, Tensor]:
    x0_hat = torch.where(known[..., None], cloud, x0_hat)
    return {"x0_hat": x0_hat, "eps_hat": (xt - a * x0_hat) / b}


def _know_cases(generator: Generator) -> Cases:
    cases = []
    for a in (draw.uniform(0.2, 0.5, generator=generator), 0.8):
        known = torch.rand(2, 6, generator=generator) < 0.5
        known[:, 0], known[:, -1] = True, False
        xt, x0_hat, cloud = (draw.normal(2, 6, 3, generator=generator) for _ in range(3))
        cases.append((xt, x0_hat, cloud, known, a, math.sqrt(1 - a**2)))
    return cases


KNOW = Function(
    id="ex-shapes-8",
    level="build",
    title="A guess that keeps what is known",
    minutes=10,
    call="know(xt, x0_hat, cloud, known, a, b)",
    terms=("x0_hat", "eps_hat"),
    cases=_know_cases,
    reference=_know,
    mistakes=(
        Mistake(
            "the noise is still that of the old guess",
            lambda xt, x, c, k, a, b: (_know(xt, x, c, k, a, b)["x0_hat"], (xt - a * x) / b),
            "The two halves must make up x_t, for known points, too.",
        ),
        Mistake(
            "known and unknown are exchanged",
            lambda xt, x, c, k, a, b: tuple(_know(xt, x, c, ~k, a, b).values()),
            "known is True where the point of `cloud` is given.",
        ),
        Mistake(
            "a is forgotten in the noise",
            lambda xt, x, c, k, a, b: (
                (y := _know(xt, x, c, k, a, b)["x0_hat"]),
                (xt - y) / b,
            ),
            "x_t = a x0_hat + b eps_hat.",
        ),
        Mistake(
            "the noise is not divided by b",
            lambda xt, x, c, k, a, b: (
                (y := _know(xt, x, c, k, a, b)["x0_hat"]),
                xt - a * y,
            ),
            "x_t = a x0_hat + b eps_hat.",
        ),
        Mistake(
            "the known points are put in noised",
            lambda xt, x, c, k, a, b: (
                (y := torch.where(k[..., None], a * c, x)),
                (xt - a * y) / b,
            ),
            "x0_hat is a guess of clean points: the factor a comes in with x_t.",
        ),
        Mistake(
            "known points have no noise",
            lambda xt, x, c, k, a, b: (
                _know(xt, x, c, k, a, b)["x0_hat"],
                torch.where(k[..., None], 0, (xt - a * x) / b),
            ),
            "In x_t they do have noise. What is left of x_t, if a times the point is taken away?",
        ),
    ),
)
