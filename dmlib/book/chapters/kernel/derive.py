"""The exercises of chapter 2, the diffusion kernel: derivations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake


def _two(beta_1: float, beta_2: float) -> dict[str, float]:
    return {
        "factor": math.sqrt((1 - beta_1) * (1 - beta_2)),
        "first noise": (1 - beta_2) * beta_1,
        "second noise": beta_2,
    }


def _factor(b_1: float, b_2: float) -> float:
    return math.sqrt((1 - b_1) * (1 - b_2))


TWO_STEPS = Function(
    id="ex-kernel-4",
    level="derive",
    title="Two steps are one",
    minutes=10,
    call="two_steps(beta_1, beta_2)",
    terms=("factor", "first noise", "second noise"),
    cases=lambda generator: [
        (draw.uniform(0.05, 0.6, generator=generator), draw.uniform(0.05, 0.6, generator=generator))
        for _ in range(6)
    ],
    reference=_two,
    mistakes=(
        Mistake(
            "the first noise is not shrunk by the second step",
            lambda b, c: (_factor(b, c), b, c),
            "The second step multiplies all of x_1, the noise in it too.",
        ),
        Mistake(
            "the first noise is shrunk by the root, as if a variance scaled like a value",
            lambda b, c: (_factor(b, c), math.sqrt(1 - c) * b, c),
            "Var(c eps) is c squared: the root disappears.",
        ),
        Mistake(
            "standard deviations instead of variances",
            lambda b, c: (_factor(b, c), math.sqrt((1 - c) * b), math.sqrt(c)),
            "Variances are asked for: only they add up for independent noises.",
        ),
        Mistake(
            "missing square root in the factor",
            lambda b, c: ((1 - b) * (1 - c), (1 - c) * b, c),
            "Each step multiplies the picture by a root.",
        ),
        Mistake(
            "the two steps are exchanged",
            lambda b, c: (_factor(b, c), b, (1 - b) * c),
            "The first noise is added first, so it is the one that passes through step 2.",
        ),
    ),
)


def _from_log_snr(log_snr: Tensor) -> Tensor:
    return torch.sigmoid(log_snr)


LOG_SNR = Function(
    id="ex-kernel-5",
    level="derive",
    title="Back from log SNR",
    minutes=6,
    call="alpha_bar_from_log_snr(log_snr)",
    cases=lambda generator: [(4 * draw.normal(12, generator=generator),) for _ in range(3)],
    reference=_from_log_snr,
    mistakes=(
        Mistake(
            "the wrong sign: that is 1 - alpha_bar_t",
            lambda x: torch.sigmoid(-x),
            "A large SNR means much picture: alpha_bar_t near 1.",
        ),
        Mistake(
            "the logarithm to base 10",
            lambda x: 10**x / (1 + 10**x),
            "log SNR is the natural logarithm in this book.",
        ),
        Mistake(
            "the SNR itself",
            lambda x: x.exp(),
            "exp undoes the logarithm; SNR = alpha_bar / (1 - alpha_bar) is still to be solved.",
        ),
        Mistake(
            "sqrt(alpha_bar_t) instead of alpha_bar_t",
            lambda x: torch.sigmoid(x).sqrt(),
            "The SNR is a ratio of variances: no root.",
        ),
    ),
)


def _shift(alpha_bar: Tensor, factor: float) -> Tensor:
    return factor * alpha_bar / (factor * alpha_bar + 1 - alpha_bar)


SHIFT = Function(
    id="ex-kernel-9",
    level="derive",
    title="More noise for larger pictures",
    minutes=12,
    call="shifted_alpha_bar(alpha_bar, factor)",
    cases=lambda generator: [
        (draw.schedule(15, generator=generator).alpha_bar, factor)
        for factor in (0.25, 1 / 16, draw.uniform(2, 5, generator=generator))
    ],
    reference=_shift,
    mistakes=(
        Mistake(
            "alpha bar is scaled instead of the SNR",
            lambda bar, c: bar * c,
            "At t = 0 alpha_bar must stay 1: scale SNR = alpha_bar / (1 - alpha_bar), solve back.",
        ),
        Mistake(
            "log SNR is shifted by the factor, not by its logarithm",
            lambda bar, c: torch.sigmoid(torch.logit(bar) + c),
            "log(factor * SNR) = log(factor) + log SNR.",
        ),
        Mistake(
            "log SNR is multiplied",
            lambda bar, c: torch.sigmoid(torch.logit(bar) * c),
            "A factor on the SNR is a shift of its logarithm.",
        ),
        Mistake(
            "SNR divided by the factor",
            lambda bar, c: bar / (bar + c * (1 - bar)),
            "A factor below 1 must give less picture, not more.",
        ),
    ),
)
