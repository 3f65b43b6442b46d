"""The exercises of the chapter on which pixel is what: spread the maps, normalise features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _spread(h: Tensor, H: int, W: int) -> Tensor:
    tall = h.repeat_interleave(H // h.shape[2], dim=2)
    return tall.repeat_interleave(W // h.shape[3], dim=3)


def _spread_cases(generator: Generator) -> Cases:
    return [
        (draw.normal(B, 3, 2, 4, generator=generator), 2 * down, 4 * right)
        for B, down, right in ((2, 2, 3), (1, 4, 2))
    ]


SPREAD = Function(
    id="ex-pixels-6",
    level="build",
    title="From cells to pixels",
    minutes=6,
    call="spread(h, H, W)",
    cases=_spread_cases,
    reference=_spread,
    mistakes=(
        Mistake(
            "the map is laid out again and again, like tiles",
            lambda h, H, W: h.repeat(1, 1, H // h.shape[2], W // h.shape[3]),
            "Neighbouring pixels belong to the same cell: each value must be repeated where it "
            "stands.",
        ),
        Mistake(
            "only the columns are spread rightly, the rows are tiles",
            lambda h, H, W: _spread(h, h.shape[2], W).repeat(1, 1, H // h.shape[2], 1),
            "Rows are to be treated as columns are.",
        ),
        Mistake(
            "only the rows are spread rightly, the columns are tiles",
            lambda h, H, W: _spread(h, H, h.shape[3]).repeat(1, 1, 1, W // h.shape[3]),
            "Columns are to be treated as rows are.",
        ),
        Mistake(
            "the numbers are only laid out in another shape",
            lambda h, H, W: h.repeat_interleave(H * W // (h.shape[2] * h.shape[3]), 3).reshape(
                *h.shape[:2], H, W
            ),
            "A reshape keeps the order of the numbers. Row for row, does each value lie where its "
            "cell is?",
        ),
        Mistake(
            "linear between the cells",
            lambda h, H, W: F.interpolate(h, (H, W), mode="bilinear"),
            "That is what the book does. Here each pixel gets its own cell's value.",
        ),
    ),
)


def _normalise(train: Tensor, new: Tensor) -> Tensor:
    std, mean = torch.std_mean(train, dim=(0, 2, 3), keepdim=True, correction=0)
    return (new - mean) / std


def _normalise_cases(generator: Generator) -> Cases:
    scale = torch.tensor([0.2, 1.0, 30.0], dtype=torch.float64).view(1, 3, 1, 1)
    return [
        (
            scale * (draw.normal(n, 3, 2, 3, generator=generator) + 0.7),
            scale * (1.5 * draw.normal(4, 3, 2, 3, generator=generator) - 0.2),
        )
        for n in (3, 5)
    ]


def _by(train: Tensor, new: Tensor, dim: tuple[int, ...]) -> Tensor:
    std, mean = torch.std_mean(train, dim=dim, keepdim=True, correction=0)
    return (new - mean) / std


NORMALISE = Function(
    id="ex-pixels-7",
    level="build",
    title="Whose mean, whose spread?",
    minutes=8,
    call="normalised(train, new)",
    cases=_normalise_cases,
    reference=_normalise,
    mistakes=(
        Mistake(
            "new features are normalised by their own mean and spread",
            lambda train, new: _by(new, new, (0, 2, 3)),
            "The classifier has learned on the training scenes' scale. What would become of one "
            "single new scene that is all ground?",
        ),
        Mistake(
            "each new scene is normalised by itself",
            lambda train, new: _by(new, new, (2, 3)),
            "A scene that is all ground would look like every other one. Use what the classifier "
            "was trained with.",
        ),
        Mistake(
            "one mean and one spread for all features",
            lambda train, new: _by(train, new, (0, 1, 2, 3)),
            "The features have different scales: each channel has its own mean and spread.",
        ),
        Mistake(
            "divided by the variance",
            lambda train, new: (
                _by(train, new, (0, 2, 3)) / train.std((0, 2, 3), correction=0, keepdim=True)
            ),
            "After it the training features should have the spread 1.",
        ),
        Mistake(
            "the mean is not taken away",
            lambda train, new: new / train.std((0, 2, 3), correction=0, keepdim=True),
            "After it the training features should have the mean 0.",
        ),
        Mistake(
            "divided by n - 1",
            lambda train, new: (
                (new - train.mean((0, 2, 3), keepdim=True)) / train.std((0, 2, 3), keepdim=True)
            ),
            "The statement asks for the spread of these numbers themselves, over n.",
        ),
    ),
)
