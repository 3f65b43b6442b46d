"""The exercises of the introduction: derivations."""

from __future__ import annotations

import math

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake


def _gain(variance: float, noise_variance: float) -> float:
    return 0.5 * math.log((variance + noise_variance) / variance)


ENTROPY = Function(
    id="ex-intro-5",
    level="derive",
    title="How much entropy does noise add?",
    minutes=8,
    call="entropy_gain(variance, noise_variance)",
    cases=lambda generator: [
        (draw.uniform(0.2, 3, generator=generator), draw.uniform(0.1, 2, generator=generator))
        for _ in range(6)
    ],
    reference=_gain,
    mistakes=(
        Mistake(
            "the factor 1/2 is missing",
            lambda v, n: math.log((v + n) / v),
            "The entropy has the logarithm of the standard deviation, and that is a root.",
        ),
        Mistake(
            "bits instead of nats",
            lambda v, n: 0.5 * math.log2((v + n) / v),
            "The statement asks for the natural logarithm.",
        ),
        Mistake(
            "standard deviations added",
            lambda v, n: math.log((math.sqrt(v) + math.sqrt(n)) / math.sqrt(v)),
            "For independent variables it is the variances that add.",
        ),
        Mistake(
            "the entropy after the noise, not its gain",
            lambda v, n: 0.5 * math.log(2 * math.pi * math.e * (v + n)),
            "Subtract the entropy that was there before.",
        ),
        Mistake(
            "the entropy of the noise alone",
            lambda v, n: 0.5 * math.log(2 * math.pi * math.e * n),
            "Variances add up, entropies do not: which variance does the sum have?",
        ),
    ),
)
