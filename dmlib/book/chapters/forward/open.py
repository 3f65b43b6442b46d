"""The exercises of chapter 1, the forward process: the open-ended one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.schedules import cosine_schedule

Cases = list[tuple[Any, ...]]


Cases = list[tuple[Any, ...]]


def _measure(design: Callable[..., Any], generator: Generator) -> dict[str, float]:
    """The worst of what the smallest, the largest and some T between give."""
    T = draw.integer(160, 290, generator=generator)
    each = [_of(design, T) for T in (150, T, 300)]
    worst = {name: max(row[name] for row in each) for name in each[0]}
    for name in ("smallest beta[t], t >= 1", "relative distance from a straight line"):
        worst[name] = min(row[name] for row in each)
    return worst


def _of(design: Callable[..., Any], T: int) -> dict[str, float]:
    beta = to_tensor(design(T))
    if beta.shape != (T + 1,):
        raise WrongForm(f"For T = {T} the shape is {tuple(beta.shape)}, expected ({T + 1},).")
    alpha_bar = (1 - beta).cumprod(0)
    root = alpha_bar.clamp(min=0).sqrt()
    line = torch.linspace(float(beta[1]), float(beta[-1]), T, dtype=torch.float64)
    spread = (beta[1:] - line).abs().max() / beta[1:].max().clamp(min=1e-12)
    return {
        "beta[0]": float(beta[0]),
        "smallest beta[t], t >= 1": float(beta[1:].min()),
        "largest beta[t]": float(beta.max()),
        "signal left at T, sqrt(alpha_bar_T)": float(root[-1]),
        "largest loss of signal in one step": float((root[:-1] - root[1:]).max()),
        "relative distance from a straight line": float(spread),
    }


def _cosine(T: int) -> Tensor:
    return cosine_schedule(T).beta


def _straight(T: int) -> Tensor:
    return torch.cat([torch.zeros(1), torch.linspace(1e-4, 0.1, T)])


def _weak(T: int) -> Tensor:
    return 0.01 * _cosine(T)


def _abrupt(T: int) -> Tensor:
    beta = _straight(T)
    beta[T // 4] = 0.95
    return beta


def _above_1(T: int) -> Tensor:
    beta = _cosine(T).clone()
    beta[-1] = 1.5
    return beta


def _noise_in_slot_0(T: int) -> Tensor:
    beta = _cosine(T).clone()
    beta[0] = 0.01
    return beta


def _idle(T: int) -> Tensor:
    beta = _cosine(T).clone()
    beta[1 : T // 10] = 0
    return beta


DESIGN = Open(
    id="ex-forward-9",
    level="build",
    title="Design your own schedule (open-ended)",
    minutes=20,
    call="my_beta(T)",
    measure=_measure,
    reference=_cosine,
    mistakes=(
        Requirement(
            "slot 0 adds noise",
            "beta[0]",
            0.0,
            0.0,
            _noise_in_slot_0,
            "Slot 0 is the clean data: beta[0] = 0.",
        ),
        Requirement(
            "a step that adds no noise",
            "smallest beta[t], t >= 1",
            1e-9,
            1.0,
            _idle,
            "Each of the steps 1..T must add some noise: beta_t > 0.",
        ),
        Requirement(
            "a variance above 1",
            "largest beta[t]",
            -math.inf,
            1.0,
            _above_1,
            "1 - beta_t stands under a root: beta_t may be 1 at most.",
        ),
        Requirement(
            "the picture survives",
            "signal left at T, sqrt(alpha_bar_T)",
            0.0,
            0.1,
            _weak,
            "The end should be nearly pure noise. With fewer steps each must do more.",
        ),
        Requirement(
            "one step does too much",
            "largest loss of signal in one step",
            -math.inf,
            0.1,
            _abrupt,
            "No single step should take more than a tenth of the signal.",
        ),
        Requirement(
            "it is the linear schedule",
            "relative distance from a straight line",
            0.05,
            math.inf,
            _straight,
            "Let beta_t bend: slower first, or slower last?",
        ),
    ),
)
