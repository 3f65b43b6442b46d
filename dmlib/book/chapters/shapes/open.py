"""The exercises of the chapter on shapes in space: the open-ended one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.data.shapes3d import HIGH, LOW, draw_parameters, share_of_high

DRAWN, WANTED = 50_000, 1_000


def _exact(width: float) -> Tensor:
    """WANTED quantiles of a chair's leg length given its width, in their middle ranks."""
    p = float(share_of_high(torch.tensor(width)))
    u = (torch.arange(WANTED) + 0.5) / WANTED
    low = LOW[0] + (LOW[1] - LOW[0]) * u / (1 - p)
    high = HIGH[0] + (HIGH[1] - HIGH[0]) * (u - 1 + p) / p
    return torch.where(u < 1 - p, low, high).double()


def _measure(sampler: Callable[..., Any], generator: Generator) -> dict[str, float]:
    narrow = float(torch.rand((), generator=generator)) < 0.5
    ends = (1.68, 1.75) if narrow else (2.45, 2.52)
    width = draw.uniform(*ends, generator=generator)
    chairs = draw_parameters(torch.zeros(DRAWN, dtype=torch.int64), generator=generator)
    legs = to_tensor(sampler(chairs.clone(), width, WANTED)).double()
    if legs.shape != (WANTED,):
        raise WrongForm(f"The shape is {tuple(legs.shape)}, expected {(WANTED,)}.")
    off = (legs.nan_to_num().sort().values - _exact(width)).abs().mean()
    return {"different legs": float(len(legs.unique())), "Wasserstein distance": float(off)}


def _given(chairs: Tensor, width: float, n: int) -> Tensor:
    like = (chairs[:, 0] - width).abs() < 0.03
    return chairs[like, 4][:n]


def _anybody(chairs: Tensor, width: float, n: int) -> Tensor:
    return chairs[:n, 4]


def _one(chairs: Tensor, width: float, n: int) -> Tensor:
    return chairs[(chairs[:, 0] - width).abs().argmin(), 4].expand(n)


GIVEN_WIDTH = Open(
    id="ex-shapes-9",
    level="build",
    title="The true legs (open-ended)",
    minutes=15,
    call="legs_given(chairs, width, n)",
    measure=_measure,
    reference=_given,
    mistakes=(
        Requirement(
            "too few different legs",
            "different legs",
            0.5 * WANTED,
            float(WANTED),
            _one,
            "Many chairs have nearly this width; all of them should come. Is the tolerance too "
            "small?",
        ),
        Requirement(
            "the legs have another law",
            "Wasserstein distance",
            -1.0,
            0.09,
            _anybody,
            "Which chairs may be kept? Not all, and the lengths must not be averaged.",
        ),
    ),
)
