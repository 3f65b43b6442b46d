"""The exercises of chapter 3, the reverse process: derivations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _gaussian(xt: Tensor, variance_prev: float, beta_t: float) -> dict[str, Any]:
    whole = (1 - beta_t) * variance_prev + beta_t
    return {
        "mean": math.sqrt(1 - beta_t) * variance_prev / whole * xt,
        "variance": variance_prev * beta_t / whole,
    }


GAUSSIAN = Function(
    id="ex-reverse-4",
    level="derive",
    title="One heap: the reverse step exactly",
    minutes=10,
    call="reverse_terms(xt, variance_prev, beta_t)",
    terms=("mean", "variance"),
    cases=lambda generator: [
        (
            draw.normal(4, generator=generator),
            draw.uniform(0.2, 3, generator=generator),
            draw.uniform(0.05, 0.6, generator=generator),
        )
        for _ in range(5)
    ],
    reference=_gaussian,
    mistakes=(
        Mistake(
            "the shrinking is undone, as if there were no noise",
            lambda x, v, b: (x / math.sqrt(1 - b), b),
            "x_t may be large because its noise was large. How far can it be trusted?",
        ),
        Mistake(
            "the variance of the forward step",
            lambda x, v, b: (_gaussian(x, v, b)["mean"], b),
            "Looking back there are two sources of knowledge: x_t, and where x_{t-1} tends to lie.",
        ),
        Mistake(
            "the shrinking is forgotten",
            lambda x, v, b: (v / (v + b) * x, v * b / (v + b)),
            "x_t is centred at sqrt(1 - beta_t) x_{t-1}, not at x_{t-1}.",
        ),
        Mistake(
            "standard deviation for variance",
            lambda x, v, b: (
                _gaussian(x, v, b)["mean"],
                math.sqrt(_gaussian(x, v, b)["variance"]),
            ),
            "One over the precision is the variance: no root.",
        ),
        Mistake(
            "A in place of the variance",
            lambda x, v, b: (_gaussian(x, v, b)["mean"], 1 / _gaussian(x, v, b)["variance"]),
            "That is A. The variance is 1/A.",
        ),
        Mistake(
            "B in place of the mean",
            lambda x, v, b: (math.sqrt(1 - b) / b * x, _gaussian(x, v, b)["variance"]),
            "That is B. The mean is B/A.",
        ),
        Mistake(
            "A and B in place of variance and mean",
            lambda x, v, b: (math.sqrt(1 - b) / b * x, 1 / _gaussian(x, v, b)["variance"]),
            "Those are A and B. The variance is 1/A, the mean is B/A.",
        ),
    ),
)


def _square(x0: Tensor, xt: Tensor, bar_s: float, bar_t: float) -> dict[str, Any]:
    stays = bar_t / bar_s
    return {
        "A": stays / (1 - stays) + 1 / (1 - bar_s),
        "B": math.sqrt(stays) / (1 - stays) * xt + math.sqrt(bar_s) / (1 - bar_s) * x0,
    }


def _square_slip(x0: Tensor, xt: Tensor, s: float, t: float, slip: str) -> Any:
    r = t / s
    A, on_xt, on_x0 = r / (1 - r) + 1 / (1 - s), math.sqrt(r) / (1 - r), math.sqrt(s) / (1 - s)
    if slip == "no factor":
        A, on_xt = 1 / (1 - r) + 1 / (1 - s), 1 / (1 - r)
    elif slip == "no roots":
        on_xt, on_x0 = r / (1 - r), s / (1 - s)
    elif slip == "root in A":
        A = math.sqrt(r) / (1 - r) + 1 / (1 - s)
    elif slip == "twice":
        on_xt, on_x0 = 2 * on_xt, 2 * on_x0
    elif slip == "not divided":
        on_x0 = math.sqrt(s)
    elif slip == "difference":
        A, on_xt = r / (s - t) + 1 / (1 - s), math.sqrt(r) / (s - t)
    elif slip == "kernel":
        A, on_xt = t / (1 - t) + 1 / (1 - s), math.sqrt(t) / (1 - t)
    return A, on_xt * xt + on_x0 * x0


SQUARE = Function(
    id="ex-reverse-5",
    level="derive",
    title="Complete the square for a longer step",
    minutes=15,
    call="square_terms(x0, xt, bar_s, bar_t)",
    terms=("A", "B"),
    cases=lambda generator: [
        (
            draw.normal(5, generator=generator),
            draw.normal(5, generator=generator),
            bar_s,
            bar_s * draw.uniform(0.3, 0.9, generator=generator),
        )
        for bar_s in (draw.uniform(0.3, 0.9, generator=generator) for _ in range(5))
    ],
    reference=_square,
    mistakes=(
        Mistake(
            "the kernel from x_0 to x_t in place of that from x_s to x_t",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "kernel"),
            "From x_s to x_t only the steps s+1, ..., t are taken. What is the product of their "
            "alphas?",
        ),
        Mistake(
            "the variance from x_s to x_t taken as a difference",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "difference"),
            "From x_s to x_t the variance is 1 - alpha_bar_t / alpha_bar_s.",
        ),
        Mistake(
            "the factor of x_s inside the first square is forgotten",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "no factor"),
            "x_t is centred at a factor times x_s: sort the first square by powers of x_s.",
        ),
        Mistake(
            "no roots in B",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "no roots"),
            "B belongs to x_s to the first power: the roots are not squared there.",
        ),
        Mistake(
            "the variance of the second square is forgotten in B",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "not divided"),
            "Both squares are divided by their variances, the middle terms as well.",
        ),
        Mistake(
            "a root in A",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "root in A"),
            "A belongs to the square of x_s: the root is squared there.",
        ),
        Mistake(
            "twice B",
            lambda x0, xt, s, t: _square_slip(x0, xt, s, t, "twice"),
            "The 2 of the middle term stands in front of B already: A x^2 - 2 B x.",
        ),
        Mistake(
            "x_0 and x_t are exchanged",
            lambda x0, xt, s, t: _square(xt, x0, s, t),
            "Which of the two is sqrt(alpha_bar_s) away from x_s?",
        ),
    ),
)


def _weight(t: Tensor, schedule: NoiseSchedule) -> Tensor:
    beta_t, alpha_t, bar_prev = schedule.beta[t], schedule.alpha[t], schedule.alpha_bar[t - 1]
    return beta_t / (2 * alpha_t * (1 - bar_prev))


def _weight_cases(generator: Generator) -> Cases:
    return [
        (1 + draw.steps(T - 1, 5, generator=generator), draw.schedule(T, generator=generator))
        for T in (8, 12)
    ]


def _weight_with(t: Tensor, s: NoiseSchedule, below: Tensor) -> Tensor:
    return s.beta[t] / (2 * below)


WEIGHT = Function(
    id="ex-reverse-9",
    level="derive",
    title="How the bound weights the noise",
    minutes=12,
    call="eps_weight(t, schedule)",
    cases=_weight_cases,
    reference=_weight,
    mistakes=(
        Mistake(
            "sigma_t^2 = beta_t in place of beta_tilde_t",
            lambda t, s: _weight_with(t, s, s.alpha[t] * (1 - s.alpha_bar[t])),
            "Here both normals have the variance beta_tilde_t: put it in and simplify.",
        ),
        Mistake(
            "the factor 1/2 is missing",
            lambda t, s: 2 * _weight(t, s),
            "The KL of two normals of equal variance is the squared distance over 2 sigma^2.",
        ),
        Mistake(
            "the weight of the error in x_0, not in eps",
            lambda t, s: (s.snr[t - 1] - s.snr[t]) / 2,
            "An error in eps moves x0_hat by sqrt(1 - alpha_bar_t) / sqrt(alpha_bar_t) times that.",
        ),
        Mistake(
            "1/alpha_t is lost",
            lambda t, s: _weight_with(t, s, 1 - s.alpha_bar[t - 1]),
            "The mean has a factor 1/sqrt(alpha_t) in front; squared it stays in the weight.",
        ),
        Mistake(
            "no weight at all",
            lambda t, s: torch.ones(len(t), dtype=torch.float64),
            "That is L_simple, which leaves this weight out. What is it that is left out?",
        ),
    ),
)
