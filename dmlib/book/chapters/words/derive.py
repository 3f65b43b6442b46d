"""The exercises of the chapter on words and pictures: derivations."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _scale(D: int, sq: float, sk: float) -> dict[str, float]:
    return {"variance": D * sq**2 * sk**2, "factor": 1 / (sq * sk * math.sqrt(D))}


def _scale_cases(generator: Generator) -> Cases:
    return [
        (
            D,
            draw.uniform(0.5, 0.9, generator=generator),
            draw.uniform(1.2, 1.9, generator=generator),
        )
        for D in (
            draw.integer(3, 9, generator=generator),
            draw.integer(40, 90, generator=generator),
        )
    ]


SCALE = Function(
    id="ex-words-3",
    level="derive",
    title="The missing scale",
    minutes=10,
    call="score_terms(D, sq, sk)",
    terms=("variance", "factor"),
    cases=_scale_cases,
    reference=_scale,
    mistakes=(
        Mistake(
            "the factor is divided by D: by the variance, not by its root",
            lambda D, sq, sk: (D * sq**2 * sk**2, 1 / (sq**2 * sk**2 * D)),
            "A factor c multiplies a variance by c^2.",
        ),
        Mistake(
            "the factor brings the variance of the entries, not of the sum, to 1",
            lambda D, sq, sk: (D * sq**2 * sk**2, 1 / (sq * sk)),
            "How many products are added up?",
        ),
        Mistake(
            "the variance of one product: the sum is forgotten",
            lambda D, sq, sk: (sq**2 * sk**2, 1 / (sq * sk)),
            "q k^T is a sum of D independent products. What do variances do in a sum?",
        ),
        Mistake(
            "a standard deviation in place of the variance",
            lambda D, sq, sk: (math.sqrt(D) * sq * sk, 1 / (sq * sk * math.sqrt(D))),
            "The variance is asked for: no root.",
        ),
        Mistake(
            "the standard deviations are not squared",
            lambda D, sq, sk: (D * sq * sk, 1 / math.sqrt(sq * sk * D)),
            "q and k have the standard deviations sq and sk: their variances are the squares.",
        ),
        Mistake(
            "the variances of q and k are added",
            lambda D, sq, sk: (D * (sq**2 + sk**2), 1 / math.sqrt(D * (sq**2 + sk**2))),
            "For independent numbers of mean 0, E[(q k)^2] = E[q^2] E[k^2].",
        ),
    ),
)


def _pull(eps: Tensor, told: Tensor, w: float) -> dict[str, Any]:
    return {"guided": (1 - w) * eps + w * told, "share": 1 - w}


def _pull_cases(generator: Generator) -> Cases:
    return [
        (draw.normal(3, 2, generator=generator), draw.normal(3, 2, generator=generator), w)
        for w in (
            draw.uniform(0.2, 0.7, generator=generator),
            draw.uniform(1.5, 2.5, generator=generator),
            draw.uniform(3.0, 6.0, generator=generator),
        )
    ]


PULL = Function(
    id="ex-words-7",
    level="derive",
    title="Guidance as a mixture",
    minutes=6,
    call="mixture(eps_none, eps_told, w)",
    terms=("guided", "share"),
    cases=_pull_cases,
    reference=_pull,
    mistakes=(
        Mistake(
            "the two answers are exchanged",
            lambda eps, told, w: (w * eps + (1 - w) * told, w),
            "w = 1 must give what the caption says, w = 0 what is said without one.",
        ),
        Mistake(
            "w is counted from 0, as in the paper: the difference is added to the caption's answer",
            lambda eps, told, w: (-w * eps + (1 + w) * told, -w),
            "The paper's w is our w - 1. Put w = 1 into the equation of the book.",
        ),
        Mistake(
            "the share is the caption's",
            lambda eps, told, w: ((1 - w) * eps + w * told, w),
            "The share of the answer without a caption is asked for. Both add up to 1.",
        ),
        Mistake(
            "the wrong sign of the difference",
            lambda eps, told, w: (eps + w * (eps - told), 1 + w),
            "That goes away from the caption.",
        ),
        Mistake(
            "the share without its sign",
            lambda eps, told, w: ((1 - w) * eps + w * told, abs(1 - w)),
            "Beyond w = 1 the share is negative: that is what goes away from something means.",
        ),
    ),
)
