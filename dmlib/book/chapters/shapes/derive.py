"""The exercises of the chapter on shapes in space: the derivation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _legs(p: Tensor, low: tuple[float, float], high: tuple[float, float]) -> dict[str, Tensor]:
    m_low, m_high = (low[0] + low[1]) / 2, (high[0] + high[1]) / 2
    within = (1 - p) * (low[1] - low[0]) ** 2 / 12 + p * (high[1] - high[0]) ** 2 / 12
    return {
        "mean": (1 - p) * m_low + p * m_high,
        "variance": within + p * (1 - p) * (m_high - m_low) ** 2,
    }


def _cases(generator: Generator) -> Cases:
    cases = []
    for _ in range(3):
        a = draw.uniform(0.5, 1.0, generator=generator)
        b = a + draw.uniform(0.8, 1.4, generator=generator)
        c = b + draw.uniform(0.2, 0.8, generator=generator)
        d = c + draw.uniform(0.3, 0.7, generator=generator)
        p = torch.rand(4, generator=generator, dtype=torch.float64)
        cases.append((0.1 + 0.25 * p, a, b, c, d))
    return cases


def _reference(p: Tensor, a: float, b: float, c: float, d: float) -> dict[str, Tensor]:
    return _legs(p, (a, b), (c, d))


def _mean(p: Tensor, a: float, b: float, c: float, d: float) -> Tensor:
    return _legs(p, (a, b), (c, d))["mean"]


def _within(p: Tensor, a: float, b: float, c: float, d: float) -> Tensor:
    return (1 - p) * (b - a) ** 2 / 12 + p * (d - c) ** 2 / 12


def _gap(a: float, b: float, c: float, d: float) -> float:
    return (c + d - a - b) / 2


LEGS = Function(
    id="ex-shapes-3",
    level="derive",
    title="Legs, low or high",
    minutes=10,
    call="leg_terms(p, a, b, c, d)",
    terms=("mean", "variance"),
    cases=_cases,
    reference=_reference,
    mistakes=(
        Mistake(
            "only the variance within low and high",
            lambda p, a, b, c, d: (_mean(p, a, b, c, d), _within(p, a, b, c, d)),
            "Low and high legs lie apart. That spreads the lengths, too: by how much?",
        ),
        Mistake(
            "only the variance between low and high",
            lambda p, a, b, c, d: (_mean(p, a, b, c, d), p * (1 - p) * _gap(a, b, c, d) ** 2),
            "Low legs are not all of one length.",
        ),
        Mistake(
            "the shares of low and high are exchanged",
            lambda p, a, b, c, d: tuple(_legs(1 - p, (a, b), (c, d)).values()),
            "p is the share of the high legs, which lie between c and d.",
        ),
        Mistake(
            "standard deviation for variance",
            lambda p, a, b, c, d: (
                _mean(p, a, b, c, d),
                _reference(p, a, b, c, d)["variance"].sqrt(),
            ),
            "The variance is asked for: no root.",
        ),
        Mistake(
            "the shares are squared, as if lengths were added up",
            lambda p, a, b, c, d: (
                _mean(p, a, b, c, d),
                (1 - p) ** 2 * (b - a) ** 2 / 12 + p**2 * (d - c) ** 2 / 12,
            ),
            "A chair has legs of one of the two kinds, not a sum of both. "
            "Try E[l^2] minus the squared mean.",
        ),
        Mistake(
            "the variance of a uniform number without its 12",
            lambda p, a, b, c, d: (
                _mean(p, a, b, c, d),
                12 * _within(p, a, b, c, d) + p * (1 - p) * _gap(a, b, c, d) ** 2,
            ),
            "A number that is uniform between a and b has the variance (b - a)^2 / 12.",
        ),
    ),
)
