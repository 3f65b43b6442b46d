"""The exercises of chapter 5, training: derivations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _lowest(alpha_bar_t: float, variance: float) -> float:
    return alpha_bar_t * variance / (alpha_bar_t * variance + 1 - alpha_bar_t)


_WAY = (
    "1/Var(x_0 given x_t) = 1/variance + alpha_bar_t/(1 - alpha_bar_t); then multiply by the SNR."
)


def _snr(alpha_bar_t: float) -> float:
    return alpha_bar_t / (1 - alpha_bar_t)


LOWEST = Function(
    id="ex-training-8",
    level="derive",
    title="The loss of a perfect network",
    minutes=12,
    call="lowest_loss(alpha_bar_t, variance)",
    cases=lambda generator: [
        (draw.uniform(0.1, 0.9, generator=generator), draw.uniform(0.1, 0.8, generator=generator))
        for _ in range(6)
    ],
    reference=_lowest,
    mistakes=(
        Mistake(
            "the part of the noise that can be known",
            lambda a, v: (1 - a) / (a * v + 1 - a),
            "That is what the network gets right. The loss is the rest, up to Var(eps) = 1.",
        ),
        Mistake(
            "the data's variance taken as 1",
            lambda a, v: a,
            "Only for variance 1 is alpha_bar_t the answer. Here the data have their own.",
        ),
        Mistake(
            "the error in x_0, not in eps",
            lambda a, v: v * (1 - a) / (a * v + 1 - a),
            "eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t): what factor does x_0 "
            "have there, and what does it do to a variance?",
        ),
        Mistake(
            "a standard deviation, not a variance",
            lambda a, v: math.sqrt(a * v / (a * v + 1 - a)),
            "The loss is a mean of squares: a variance, without a root.",
        ),
        Mistake(
            "the variances are added, not the precisions",
            lambda a, v: _snr(a) * (v + 1 / _snr(a)),
            _WAY,
        ),
        Mistake(
            "the sum of the precisions is taken for the variance",
            lambda a, v: _snr(a) * (1 / v + _snr(a)),
            _WAY,
        ),
        Mistake(
            "the SNR is upside down in the sum of the precisions",
            lambda a, v: _snr(a) / (1 / v + 1 / _snr(a)),
            _WAY,
        ),
        Mistake(
            "divided by the SNR, not multiplied",
            lambda a, v: 1 / _snr(a) / (1 / v + _snr(a)),
            _WAY,
        ),
        Mistake(
            "the SNR is upside down everywhere",
            lambda a, v: 1 / _snr(a) / (1 / v + 1 / _snr(a)),
            _WAY,
        ),
        Mistake(
            "the root of the SNR as the factor",
            lambda a, v: math.sqrt(_snr(a)) / (1 / v + _snr(a)),
            _WAY,
        ),
        Mistake(
            "0",
            lambda a, v: 0.0,
            "From x_t alone picture and noise cannot be told apart exactly.",
        ),
    ),
)


def _accumulated(gradients: Tensor, sizes: Tensor) -> Tensor:
    return (sizes[:, None] * gradients).sum(0) / sizes.sum()


def _parts(generator: Generator) -> Cases:
    cases = []
    for K in (3, 4):
        sizes = torch.randint(2, 9, (K,), generator=generator)
        sizes[-1] = 1  # the short batch at the end of the data
        cases.append((draw.normal(K, K, generator=generator), sizes))
    return cases


ACCUMULATED = Function(
    id="ex-training-11",
    level="derive",
    title="A large batch from small ones",
    minutes=8,
    call="accumulated(gradients, sizes)",
    cases=_parts,
    reference=_accumulated,
    mistakes=(
        Mistake(
            "the gradients are only added",
            lambda g, n: g.sum(0),
            "Each is of a mean; their sum is larger the more parts there are.",
        ),
        Mistake(
            "the plain mean of the parts",
            lambda g, n: g.mean(0),
            "Right for parts of equal size. Here a picture in a small part would count more.",
        ),
        Mistake(
            "weighted by size, but not divided",
            lambda g, n: (n[:, None] * g).sum(0),
            "The mean over all pictures: divide by how many there are in all.",
        ),
        Mistake(
            "divided by the number of pictures, but not weighted",
            lambda g, n: g.sum(0) / n.sum(),
            "Each row is a mean: multiply by its size first.",
        ),
        Mistake(
            "divided by the number of parts, not of pictures",
            lambda g, n: (n[:, None] * g).mean(0),
            "n_k times a part's mean is its sum over pictures. Over how many in all?",
        ),
        Mistake(
            "wrong broadcast: the sizes run along the weights, not along the parts",
            lambda g, n: (n * g).sum(0) / n.sum(),
            "sizes (K,) lines up with the last axis of gradients (K, P). Give it (K, 1).",
        ),
    ),
)


def _v_weights(t: Tensor, schedule: NoiseSchedule) -> dict[str, Tensor]:
    bar = schedule.alpha_bar[t]
    return {"on eps": 1 / bar, "on x0": 1 / (1 - bar)}


V_WEIGHTS = Function(
    id="ex-training-12",
    level="derive",
    title="The error in v, with a network that says eps",
    minutes=10,
    call="v_weights(t, schedule)",
    terms=("on eps", "on x0"),
    cases=lambda generator: [
        (draw.steps(T, 5, generator=generator), draw.schedule(T, generator=generator))
        for T in (8, 12)
    ],
    reference=_v_weights,
    mistakes=(
        Mistake(
            "the two are exchanged",
            lambda t, s: (1 / (1 - s.alpha_bar[t]), 1 / s.alpha_bar[t]),
            "At small t v is nearly eps: the weight on eps is nearly 1 there.",
        ),
        Mistake(
            "as if the error of v were only that of one of its two parts",
            lambda t, s: (s.alpha_bar[t], 1 - s.alpha_bar[t]),
            "x_t is given: where eps_hat errs, the x_0 that belongs to it errs as well.",
        ),
        Mistake(
            "roots: factors of the error, not of its square",
            lambda t, s: (s.alpha_bar[t] ** -0.5, (1 - s.alpha_bar[t]) ** -0.5),
            "The loss is a square, so its weight is the factor squared.",
        ),
        Mistake(
            "the weight on eps is upside down",
            lambda t, s: (s.alpha_bar[t], 1 / (1 - s.alpha_bar[t])),
            "The error in v is larger than that in eps: the weight is above 1.",
        ),
        Mistake(
            "the SNR on x0",
            lambda t, s: (1 / s.alpha_bar[t], s.snr[t]),
            "That is the weight of eps against x_0. For v add 1.",
        ),
        Mistake(
            "the SNR without the + 1",
            lambda t, s: (1 / s.snr[t], s.snr[t]),
            "SNR(t) turns the error in x_0 into that in eps. For v it is SNR(t) + 1.",
        ),
    ),
)
