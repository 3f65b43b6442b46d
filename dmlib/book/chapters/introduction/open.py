"""The exercises of the introduction: the open-ended one."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def _left(x0: Tensor, x: Tensor) -> float:
    """Mean correlation with x0; a picture without any contrast has none left."""
    a, b = x0.flatten(1), x.flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = a.norm(dim=1) * b.norm(dim=1)
    return float(((a * b).sum(1) / size.clamp(min=1e-9)).mean())


def _measure(destroy: Callable[..., Any], generator: Generator) -> dict[str, float]:
    x0 = draw.pictures(24, 16, generator=generator)
    left, gap = [], 0.0
    for strength in STRENGTHS:
        own = Generator().manual_seed(draw.integer(0, 2**31, generator=generator))
        x = to_tensor(destroy(x0.clone(), strength, own))
        if x.shape != x0.shape:
            raise WrongForm(f"The shape is {tuple(x.shape)}, expected {tuple(x0.shape)}.")
        if strength == 0:
            gap = float((x - x0).abs().max())
        left.append(_left(x0, x) if bool(torch.isfinite(x).all()) else math.nan)
    own = Generator().manual_seed(draw.integer(0, 2**31, generator=generator))
    same = draw.repeats(destroy, x0, 0.75, generator=own)
    rises = max(b - a for a, b in pairwise(left))
    return {
        "change at strength 0": gap,
        "correlation left at strength 1": abs(left[-1]),
        "correlation left at strength 0.5": left[2],
        "largest rise between strengths": rises,
        "repeated with the same generator (1: yes)": float(same),
    }


def _noise(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    return math.cos(math.pi / 2 * strength) * x0 + math.sin(math.pi / 2 * strength) * noise


def _never_enough(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    return x0 + 0.1 * strength * torch.randn(x0.shape, generator=generator, dtype=x0.dtype)


def _always_some(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    return _noise(x0, 0.2 + 0.8 * strength, generator)


def _all_at_once(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    return x0 if strength == 0 else _noise(x0, 1.0, generator)


def _paler(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    return (1 - strength) * x0


def _own_noise(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    return _noise(x0, strength, Generator().manual_seed(torch.seed() % 2**31))


def _back_and_forth(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    level = {0.25: 0.75, 0.5: 0.3}.get(strength, strength)
    return _noise(x0, level, generator)


DESTROY = Open(
    id="ex-intro-8",
    level="build",
    title="Invent your own destruction (open-ended)",
    minutes=20,
    call="destroy(x0, strength, generator)",
    measure=_measure,
    reference=_noise,
    mistakes=(
        Requirement(
            "strength 0 already changes the picture",
            "change at strength 0",
            -math.inf,
            1e-6,
            _always_some,
            "At strength 0 nothing has happened yet: x0 must come back.",
        ),
        Requirement(
            "the picture survives strength 1",
            "correlation left at strength 1",
            -math.inf,
            0.2,
            _never_enough,
            "At the end nothing of x0 may be left. Does the x0 in your formula fade away?",
        ),
        Requirement(
            "halfway nothing is lost yet",
            "correlation left at strength 0.5",
            -math.inf,
            0.99,
            _paler,
            "The correlation sees neither brightness nor contrast: a paler picture is still the "
            "same picture. Put something else in its place.",
        ),
        Requirement(
            "the picture is lost in one jump",
            "correlation left at strength 0.5",
            0.15,
            math.inf,
            _all_at_once,
            "Halfway, something should be left and something lost: let it fade gradually.",
        ),
        Requirement(
            "the picture comes back on the way",
            "largest rise between strengths",
            -math.inf,
            0.1,
            _back_and_forth,
            "More strength must never give more of the picture.",
        ),
        Requirement(
            "it draws noise of its own, not from the generator",
            "repeated with the same generator (1: yes)",
            1.0,
            1.0,
            _own_noise,
            "Hand it over wherever you draw: torch.randn(x0.shape, generator=generator).",
        ),
    ),
)
