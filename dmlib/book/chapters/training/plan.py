"""The exercises of chapter 5, training: averages, rates and times."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _ema(weights: Tensor, decay: float) -> Tensor:
    average = weights[0]
    for n in range(1, len(weights)):
        d = min(decay, (1 + n) / (10 + n))
        average = d * average + (1 - d) * weights[n]
    return average


def _ema_with(weights: Tensor, rate: Any) -> Tensor:
    average = weights[0]
    for n in range(1, len(weights)):
        average = rate(n) * average + (1 - rate(n)) * weights[n]
    return average


EMA = Function(
    id="ex-training-5",
    level="build",
    title="The average of the weights",
    minutes=8,
    call="my_ema(weights, decay)",
    # Few updates: after many the start is forgotten, and slips at the start do not show.
    cases=lambda generator: [
        (
            draw.normal(N + 1, 3, generator=generator),
            draw.uniform(0.3, 0.39, generator=generator),
        )
        for N in (5, 6, 6)
    ],
    reference=_ema,
    mistakes=(
        Mistake(
            "old and new are exchanged",
            lambda w, decay: _ema_with(w, lambda n: 1 - min(decay, (1 + n) / (10 + n))),
            "d_n is the weight of the past: with d_n near 1 the average moves slowly.",
        ),
        Mistake(
            "no warm-up: d_n is decay from the first update on",
            lambda w, decay: _ema_with(w, lambda n: decay),
            "While n is small, (1 + n) / (10 + n) is smaller than decay. Take the minimum.",
        ),
        Mistake(
            "the maximum, not the minimum",
            lambda w, decay: _ema_with(w, lambda n: max(decay, (1 + n) / (10 + n))),
            "The start is random and should soon be forgotten: at first d_n is small.",
        ),
        Mistake(
            "updates counted from 0",
            lambda w, decay: _ema_with(w, lambda n: min(decay, n / (9 + n))),
            "The first update, with weights[1], is n = 1: d_1 = min(decay, 2/11).",
        ),
        Mistake(
            "the start is taken for an update",
            lambda w, decay: _ema_with(w[1:], lambda n: min(decay, (1 + n) / (10 + n))),
            "The average begins as a copy of weights[0]; all later rows are updates.",
        ),
        Mistake(
            "the plain mean",
            lambda w, decay: w.mean(0),
            "Here the newest weights count most, and the past fades.",
        ),
    ),
)


def _rate(step: int, steps: int, warmup: int, top: float) -> float:
    if step <= warmup:
        return top * step / warmup
    done = (step - warmup - 1) / (steps - warmup)
    return top * (1 + math.cos(math.pi * done)) / 2


def _rate_cases(generator: Generator) -> Cases:
    cases = []
    for _ in range(2):
        warmup = draw.integer(4, 12, generator=generator)
        steps = warmup + draw.integer(20, 60, generator=generator)
        top = draw.uniform(0.5, 3, generator=generator)
        middle = draw.integer(warmup + 5, steps - 5, generator=generator)
        at = (1, warmup // 2, warmup, warmup + 1, warmup + 2, middle, steps)
        cases += [(step, steps, warmup, top) for step in at]
    return cases


def _decayed(step: int, steps: int, warmup: int, top: float, done: float) -> float:
    if step <= warmup:
        return top * step / warmup
    return top * (1 + math.cos(math.pi * done)) / 2


RATE = Function(
    id="ex-training-7",
    level="build",
    title="The learning rate of a step",
    minutes=8,
    call="my_rate(step, steps, warmup, top)",
    cases=_rate_cases,
    reference=_rate,
    mistakes=(
        Mistake(
            "no warm-up",
            lambda i, n, w, top: top * (1 + math.cos(math.pi * max(i - w - 1, 0) / (n - w))) / 2,
            "The first warmup steps rise in a straight line, from top/warmup to top.",
        ),
        Mistake(
            "the first step has the rate 0",
            lambda i, n, w, top: top * (i - 1) / w if i <= w else _rate(i, n, w, top),
            "Steps are counted from 1: step 1 has the rate top/warmup, step warmup has top.",
        ),
        Mistake(
            "the decay begins one step early",
            lambda i, n, w, top: _decayed(i, n, w, top, (i - w) / (n - w)),
            "The first step after the warm-up has the highest rate, too: u = 0 there.",
        ),
        Mistake(
            "the warm-up ends one step early",
            lambda i, n, w, top: (
                top * i / w if i < w else _decayed(i, n, 0, top, (i - w - 1) / (n - w))
            ),
            "Step `warmup` itself has the rate `top`.",
        ),
        Mistake(
            "the decay is counted from step 1, not from the end of the warm-up",
            lambda i, n, w, top: _decayed(i, n, w, top, (i - 1) / n),
            "After the warm-up the rate must go on from top, without a jump.",
        ),
        Mistake(
            "a straight line down, no cosine",
            lambda i, n, w, top: top * i / w if i <= w else top * (1 - (i - w - 1) / (n - w)),
            "The decay is half a cosine wave: slow at first, and slow at the end.",
        ),
        Mistake(
            "the cosine wave goes below 0",
            lambda i, n, w, top: (
                top * i / w if i <= w else top * math.cos(math.pi * (i - w - 1) / (n - w))
            ),
            "A cosine runs from 1 to -1. Lift it and halve it, so that it ends at 0.",
        ),
    ),
)


def _times(T: int, steps: int) -> list[int]:
    return [round(T * k / steps) for k in range(steps, -1, -1)]


def _times_cases(generator: Generator) -> Cases:
    # No time lies halfway between two integers, with steps strides (odd) or steps - 1 (T is a
    # multiple of 4).
    return [
        (4 * steps * draw.integer(3, 60, generator=generator) + rest, steps)
        for steps, rest in ((5, 12), (7, 12), (11, 20))
    ]


TIMES = Function(
    id="ex-training-10",
    level="build",
    title="Fewer steps: which times?",
    minutes=6,
    call="my_times(T, steps)",
    cases=_times_cases,
    reference=_times,
    mistakes=(
        Mistake(
            "the clean end is missing",
            lambda T, steps: _times(T, steps)[:-1],
            "steps strides have steps + 1 ends: the last one is 0.",
        ),
        Mistake(
            "steps numbers: a stride too few",
            lambda T, steps: _times(T, steps - 1),
            "`steps` strides have `steps` + 1 ends.",
        ),
        Mistake(
            "rounded down",
            lambda T, steps: [T * k // steps for k in range(steps, -1, -1)],
            "Round to the nearest, not down.",
        ),
        Mistake(
            "it ends at 1, not at 0",
            lambda T, steps: [1 + round((T - 1) * k / steps) for k in range(steps, -1, -1)],
            "t = 1 still holds noise; slot 0 is the clean data.",
        ),
        Mistake(
            "it starts at T - 1",
            lambda T, steps: [round((T - 1) * k / steps) for k in range(steps, -1, -1)],
            "Time runs over 1..T in this book, and pure noise is at t = T itself.",
        ),
        Mistake(
            "upwards",
            lambda T, steps: _times(T, steps)[::-1],
            "Sampling goes from noise to data: from T down to 0.",
        ),
        Mistake(
            "strides of T // steps: the start falls short of T",
            lambda T, steps: [T // steps * k for k in range(steps, -1, -1)],
            "Where T is no multiple of steps, round each time, not the stride.",
        ),
    ),
)
