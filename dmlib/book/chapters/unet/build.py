"""The exercises of chapter 4, the U-Net: functions to build."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _waves(t: Tensor, k: Tensor, *, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    angle = t[:, None] * base ** (-k)
    return angle.cos(), angle.sin()


def _embedding(t: Tensor, dim: int) -> Tensor:
    omega = 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2))
    angle = t[:, None] * omega
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def _t_cases(generator: Generator) -> Cases:
    # Early steps: at t = 1000 float32 rounds so much that a known mistake is not recognised.
    return [(draw.steps(100, 5, generator=generator), dim) for dim in (6, 8, 16)]


def _k(dim: int, divisor: float) -> Tensor:
    return torch.arange(dim // 2) / divisor


EMBEDDING = Function(
    id="ex-unet-4",
    level="build",
    title="The step as a row of waves",
    minutes=10,
    call="my_embedding(t, dim)",
    cases=_t_cases,
    reference=_embedding,
    forbidden=("dmlib",),
    mistakes=(
        Mistake(
            "sines first",
            lambda t, dim: torch.cat(_waves(t, _k(dim, dim // 2))[::-1], 1),
            "In this book the cosines fill the first half, the sines the second.",
        ),
        Mistake(
            "cosines and sines alternate",
            lambda t, dim: torch.stack(_waves(t, _k(dim, dim // 2)), 2).flatten(1),
            "Both orders are in use; here all cosines come first, then all sines.",
        ),
        Mistake(
            "dim in place of dim/2 in the exponent",
            lambda t, dim: torch.cat(_waves(t, _k(dim, dim)), 1),
            "Divide k by dim/2, the number of waves: the exponent runs from 0 to nearly -1.",
        ),
        Mistake(
            "the exponent runs up to 1 exactly: k / (dim/2 - 1)",
            lambda t, dim: torch.cat(_waves(t, _k(dim, dim // 2 - 1)), 1),
            "Some programs do so; the book's formula divides by dim/2.",
        ),
        Mistake(
            "the sign of the exponent: the waves get faster instead of slower",
            lambda t, dim: torch.cat(_waves(t, -_k(dim, dim // 2)), 1),
            "omega_k must fall from 1 to nearly 1/10000.",
        ),
        Mistake(
            "wrong axis: one column a step",
            lambda t, dim: torch.cat(_waves(t, _k(dim, dim // 2)), 1).T,
            "The shape is (B, dim): a row for each t.",
        ),
    ),
)


def _scale_shift(h: Tensor, scale_shift: Tensor) -> Tensor:
    scale, shift = scale_shift[:, :, None, None].chunk(2, dim=1)
    return (1 + scale) * h + shift


def _halves(p: Tensor) -> tuple[Tensor, Tensor]:
    scale, shift = p[:, :, None, None].chunk(2, dim=1)
    return scale, shift


def _by_columns(h: Tensor, p: Tensor) -> Tensor:
    scale, shift = p.chunk(2, dim=1)
    return (1 + scale) * h + shift


SCALE_SHIFT = Function(
    id="ex-unet-7",
    level="build",
    title="Let t turn the knobs",
    minutes=6,
    call="my_scale_shift(h, scale_shift)",
    # First as many pictures and channels as rows and columns: there the wrong broadcast runs.
    cases=lambda generator: [
        (draw.normal(*shape, generator=generator), draw.normal(*wide, generator=generator))
        for shape, wide in (((3, 3, 3, 3), (3, 6)), ((2, 3, 4, 5), (2, 6)))
    ],
    reference=_scale_shift,
    mistakes=(
        Mistake(
            "the 1 is missing: scale times h",
            lambda h, p: _halves(p)[0] * h + _halves(p)[1],
            "With scale 0 and shift 0, h must come through unchanged.",
        ),
        Mistake(
            "scale and shift are exchanged",
            lambda h, p: (1 + _halves(p)[1]) * h + _halves(p)[0],
            "The first C columns are the scale, the last C the shift.",
        ),
        Mistake(
            "the shift is scaled, too",
            lambda h, p: (1 + _halves(p)[0]) * (h + _halves(p)[1]),
            "First multiply, then add.",
        ),
        Mistake(
            "wrong broadcast: the channels' numbers run along rows and columns",
            _by_columns,
            "(B, C) lines up with the last two axes of (B, C, H, W). Give it two more axes.",
        ),
        Mistake(
            "every second column is a shift",
            lambda h, p: (1 + p[:, ::2, None, None]) * h + p[:, 1::2, None, None],
            "All scales come first, then all shifts: chunk, do not stride.",
        ),
    ),
)
