"""The exercises of chapter 1, the forward process: functions to build."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _step(x_prev: Tensor, beta_t: float, eps: Tensor) -> Tensor:
    return math.sqrt(1 - beta_t) * x_prev + math.sqrt(beta_t) * eps


STEP = Function(
    id="ex-forward-3",
    level="build",
    title="One noising step",
    minutes=5,
    call="my_q_step(x_prev, beta_t, eps)",
    cases=lambda generator: [
        (
            draw.normal(3, 4, generator=generator),
            draw.uniform(0.05, 0.6, generator=generator),
            draw.normal(3, 4, generator=generator),
        )
        for _ in range(5)
    ],
    reference=_step,
    forbidden=("q_step", "q_sample"),
    mistakes=(
        Mistake(
            "variance for standard deviation",
            lambda x, b, eps: math.sqrt(1 - b) * x + b * eps,
            "beta_t is the variance of the noise. What do you multiply eps by to get it?",
        ),
        Mistake(
            "missing square root on the picture's factor",
            lambda x, b, eps: (1 - b) * x + math.sqrt(b) * eps,
            "Compare the factor of x_{t-1} with the equation: variance 1 must stay 1.",
        ),
        Mistake(
            "no square root at all",
            lambda x, b, eps: (1 - b) * x + b * eps,
            "Both factors are standard deviations, so both have a root.",
        ),
        Mistake(
            "the picture is not shrunk",
            lambda x, b, eps: x + math.sqrt(b) * eps,
            "Without the factor the variance grows with every step.",
        ),
        Mistake(
            "the two factors are exchanged",
            lambda x, b, eps: math.sqrt(b) * x + math.sqrt(1 - b) * eps,
            "For a small beta_t, x_t must be nearly x_{t-1}.",
        ),
    ),
)


def _linear(T: int, beta_1: float, beta_T: float) -> Tensor:
    beta = torch.zeros(T + 1, dtype=torch.float64)
    beta[1:] = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return beta


def _T_plus_1_steps(T: int, beta_1: float, beta_T: float) -> Tensor:
    beta = torch.linspace(beta_1, beta_T, T + 1, dtype=torch.float64)
    beta[0] = 0
    return beta


def _never_beta_T(T: int, beta_1: float, beta_T: float) -> list[float]:
    return [0.0] + [beta_1 + (beta_T - beta_1) * (t - 1) / T for t in range(1, T + 1)]


LINEAR = Function(
    id="ex-forward-5",
    level="build",
    title="The linear schedule as a table",
    minutes=8,
    call="linear_beta(T, beta_1, beta_T)",
    cases=lambda generator: [
        (
            draw.integer(6, 15, generator=generator),
            draw.uniform(0.001, 0.02, generator=generator),
            draw.uniform(0.1, 0.4, generator=generator),
        )
        for _ in range(4)
    ],
    reference=_linear,
    mistakes=(
        Mistake(
            "slot 0 is missing",
            lambda T, b1, bT: torch.linspace(b1, bT, T, dtype=torch.float64),
            "The table has length T+1: slot 0 stands for the clean data, with beta 0.",
        ),
        Mistake(
            "slot 0 already adds noise",
            lambda T, b1, bT: torch.linspace(b1, bT, T + 1, dtype=torch.float64),
            "beta[0] must be 0, and beta[1] is the first variance beta_1.",
        ),
        Mistake(
            "the line starts at slot 0, so that beta[1] is not beta_1",
            _T_plus_1_steps,
            "T values from beta_1 to beta_T, both included, belong in the slots 1..T.",
        ),
        Mistake(
            "the line starts at 0 and beta_1 is not used",
            lambda T, b1, bT: torch.linspace(0, bT, T + 1, dtype=torch.float64),
            "Check the first step: beta[1] == beta_1?",
        ),
        Mistake(
            "divided by T instead of T - 1",
            _never_beta_T,
            "Does slot T hold beta_T exactly?",
        ),
    ),
)


Cases = list[tuple[Any, ...]]
