"""The exercises of the chapter on shapes in space: a layer, a distance, points far apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _layer(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return x @ A + x.mean(1, keepdim=True) @ B


def _layer_cases(generator: Generator) -> Cases:
    return [
        tuple(draw.normal(*shape, generator=generator) for shape in ((2, n, 3), (3, 4), (3, 4)))
        for n in (5, 7)
    ]


LAYER = Function(
    id="ex-shapes-4",
    level="build",
    title="A layer that knows no order",
    minutes=8,
    call="layer(x, A, B)",
    cases=_layer_cases,
    reference=_layer,
    mistakes=(
        Mistake(
            "the sum in place of the mean",
            lambda x, A, B: x @ A + x.sum(1, keepdim=True) @ B,
            "With twice as many points the sum is twice as large, and the shape is the same.",
        ),
        Mistake(
            "the mean over the clouds of the batch",
            lambda x, A, B: x @ A + x.mean(0, keepdim=True) @ B,
            "Clouds of a batch have nothing to do with each other. Which axis are the points?",
        ),
        Mistake(
            "A and B are exchanged",
            lambda x, A, B: _layer(x, B, A),
            "A acts on the point itself, B on the mean.",
        ),
        Mistake(
            "the points do not hear of each other",
            lambda x, A, B: x @ (A + B),
            "Each point is to hear the mean of all points of its cloud.",
        ),
        Mistake(
            "the mean of the others, without the point itself",
            lambda x, A, B: x @ A + (x.sum(1, keepdim=True) - x) / (x.shape[1] - 1) @ B,
            "That respects the order, too; but the statement asks for the mean of all points.",
        ),
        Mistake(
            "the largest value in place of the mean",
            lambda x, A, B: x @ A + x.amax(1, keepdim=True) @ B,
            "That respects the order, too (Qi et al. do it); asked for is the mean.",
        ),
    ),
)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, None] - y[None]).square().sum(-1)


def _chamfer(x: Tensor, y: Tensor) -> Tensor:
    d = (x[:, None] - y[None]).square().sum(-1)
    return d.amin(1).mean() + d.amin(0).mean()


def _chamfer_cases(generator: Generator) -> Cases:
    return [
        (draw.normal(n, 3, generator=generator), draw.normal(m, 3, generator=generator))
        for n, m in ((6, 9), (8, 5))
    ]


CHAMFER = Function(
    id="ex-shapes-5",
    level="build",
    title="The Chamfer distance",
    minutes=10,
    call="chamfer(x, y)",
    cases=_chamfer_cases,
    reference=_chamfer,
    mistakes=(
        Mistake(
            "one way only, from x to y",
            lambda x, y: _squares(x, y).amin(1).mean(),
            "A single point of y would then fit all of x, if x is small enough. Both ways.",
        ),
        Mistake(
            "one way only, from y to x",
            lambda x, y: _squares(x, y).amin(0).mean(),
            "What of points of x that are far from everything? Both ways.",
        ),
        Mistake(
            "distances that are not squared",
            lambda x, y: (
                _squares(x, y).sqrt().amin(1).mean() + _squares(x, y).sqrt().amin(0).mean()
            ),
            "The distance of the chapter takes squares. Others exist: never compare the numbers.",
        ),
        Mistake(
            "sums in place of means",
            lambda x, y: _squares(x, y).amin(1).sum() + _squares(x, y).amin(0).sum(),
            "With more points the sums grow. Means let clouds of other sizes be compared.",
        ),
        Mistake(
            "the mean of both ways, not their sum",
            lambda x, y: _chamfer(x, y) / 2,
            "The two ways are added up.",
        ),
        Mistake(
            "all pairs, not the nearest ones",
            lambda x, y: 2 * _squares(x, y).mean(),
            "For each point only the nearest of the other cloud counts.",
        ),
        Mistake(
            "the farthest of the nearest ones",
            lambda x, y: _squares(x, y).amin(1).amax() + _squares(x, y).amin(0).amax(),
            "That is Hausdorff's distance, nearly: one stray point decides. Take the mean.",
        ),
    ),
)


def _farthest(x: Tensor, k: int) -> Tensor:
    chosen = [0]
    nearest = (x - x[0]).norm(dim=1)
    while len(chosen) < k:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (x - x[chosen[-1]]).norm(dim=1))
    return torch.tensor(chosen)


def _from_the_last(x: Tensor, k: int) -> Tensor:
    chosen = [0]
    while len(chosen) < k:
        away = (x - x[chosen[-1]]).norm(dim=1)
        away[chosen] = -1
        chosen.append(int(away.argmax()))
    return torch.tensor(chosen)


def _by_sum(x: Tensor, k: int) -> Tensor:
    chosen = [0]
    while len(chosen) < k:
        away = torch.cdist(x, x[chosen]).sum(1)
        away[chosen] = -1
        chosen.append(int(away.argmax()))
    return torch.tensor(chosen)


def _farthest_cases(generator: Generator) -> Cases:
    """Clouds in which all wrong ways lead elsewhere."""
    cases: Cases = []
    while len(cases) < 2:
        x = draw.normal(24, 3, generator=generator)
        ways = [f(x, 6) for f in (_farthest, _from_the_last, _by_sum, _once)]
        if len({tuple(way.tolist()) for way in ways}) == len(ways):
            cases.append((x, 6))
    return cases


def _once(x: Tensor, k: int) -> Tensor:
    """The k - 1 points that are farthest from the first."""
    order = (x - x[0]).norm(dim=1).argsort(descending=True)
    return torch.cat((torch.tensor([0]), order[: k - 1]))


FARTHEST = Function(
    id="ex-shapes-6",
    level="build",
    title="Points far apart",
    minutes=12,
    call="farthest(x, k)",
    cases=_farthest_cases,
    reference=_farthest,
    mistakes=(
        Mistake(
            "farthest from the last chosen point only",
            _from_the_last,
            "The walk then goes to and fro between two ends. All chosen points count.",
        ),
        Mistake(
            "the largest sum of distances",
            _by_sum,
            "Points at the rim have large sums, and end up side by side. Which one distance says "
            "that a point is far from all chosen ones?",
        ),
        Mistake(
            "all of them farthest from the first",
            _once,
            "After each choice the distances must be looked at anew.",
        ),
        Mistake(
            "the first point is left out",
            lambda x, k: _farthest(x, k + 1)[1:],
            "The first of the chosen is number 0.",
        ),
        Mistake(
            "one point too many",
            lambda x, k: _farthest(x, k + 1),
            "k points in all, the first one among them.",
        ),
        Mistake(
            "the points in place of their numbers",
            lambda x, k: x[_farthest(x, k)],
            "Return the indices, (k,).",
        ),
    ),
)
