"""The exercises of chapter 5, training: derivations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.checks import draw
from dmlib.checks.exercise import Function, Mistake
from dmlib.losses import min_snr_weight
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _lowest(alpha_bar_t: float, variance: float) -> float:
    return alpha_bar_t * variance / (alpha_bar_t * variance + 1 - alpha_bar_t)


def _lowest_again(alpha_bar_t: float, variance: float) -> float:
    # The variance of x_0, once x_t is known, and how eps moves with it.
    snr = alpha_bar_t / (1 - alpha_bar_t)
    return snr / (1 / variance + snr)


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
    alternative=_lowest_again,
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
            "0",
            lambda a, v: 0.0,
            "From x_t alone nobody can tell picture and noise apart exactly.",
        ),
    ),
)


def _accumulated(gradients: Tensor, sizes: Tensor) -> Tensor:
    return (sizes[:, None] * gradients).sum(0) / sizes.sum()


def _accumulated_again(gradients: Tensor, sizes: Tensor) -> Tensor:
    shares = sizes.double() / float(sizes.sum())
    return shares @ gradients


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
    alternative=_accumulated_again,
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


def _min_snr(t: Tensor, schedule: NoiseSchedule, gamma: float) -> dict[str, Tensor]:
    bar = schedule.alpha_bar[t]
    capped = (bar / (1 - bar)).clamp(max=gamma)
    return {"eps": capped * (1 - bar) / bar, "v": capped * (1 - bar)}


def _min_snr_again(t: Tensor, schedule: NoiseSchedule, gamma: float) -> tuple[Tensor, Tensor]:
    eps = min_snr_weight(t, schedule=schedule, gamma=gamma, prediction="eps")
    return eps, eps * schedule.alpha_bar[t]


def _min_snr_cases(generator: Generator) -> Cases:
    cases = []
    for T in (8, 12):
        schedule = draw.schedule(T, generator=generator)
        gamma = float((schedule.snr[3] * schedule.snr[4]).sqrt())
        cases.append((torch.arange(1, T + 1), schedule, gamma))
    return cases


MIN_SNR = Function(
    id="ex-training-12",
    level="derive",
    title="One weight, three ways to write it",
    minutes=12,
    call="min_snr_terms(t, schedule, gamma)",
    terms=("eps", "v"),
    cases=_min_snr_cases,
    reference=_min_snr,
    alternative=_min_snr_again,
    mistakes=(
        Mistake(
            "the weight of the error in x_0 for all",
            lambda t, s, g: (s.snr[t].clamp(max=g), s.snr[t].clamp(max=g)),
            "An error in x_0 is an error in eps, divided by sqrt(SNR): put that in.",
        ),
        Mistake(
            "multiplied by the SNR where one divides",
            lambda t, s, g: (
                s.snr[t].clamp(max=g) * s.snr[t],
                s.snr[t].clamp(max=g) * (s.snr[t] + 1),
            ),
            "(x0 - x0_hat)^2 = (eps - eps_hat)^2 / SNR.",
        ),
        Mistake(
            "v is taken for eps",
            lambda t, s, g: ((g / s.snr[t]).clamp(max=1), (g / s.snr[t]).clamp(max=1)),
            "For v: x0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat.",
        ),
        Mistake(
            "the larger of the two, not the smaller",
            lambda t, s, g: (
                s.snr[t].clamp(min=g) / s.snr[t],
                s.snr[t].clamp(min=g) / (s.snr[t] + 1),
            ),
            "gamma is a cap: times with little noise shall not count more than that.",
        ),
        Mistake(
            "no cap",
            lambda t, s, g: (torch.ones_like(s.snr[t]), s.snr[t] / (s.snr[t] + 1)),
            "min(SNR, gamma): where the SNR is large, gamma stands in its place.",
        ),
    ),
)
