"""The exercises of the chapter on continuous time: the open-ended one."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.continuous import StraightPath, velocity_from_guess
from dmlib.mixture import GaussianMixture
from dmlib.oracle import MixtureOracle

# Measured on twelve toys: ten equal steps of Euler end at 0.088 to 0.101, Heun with shorter and
# shorter steps at 0.033 to 0.046, two-step rules at 0.023 to 0.051, exact samples at 0.013 to
# 0.024 (twenty toys).
POINTS, LOOKS, BOUND = 10_000, 10, 0.06
BINS = torch.linspace(-3, 3, 61, dtype=torch.float64)
Velocity = Callable[[Tensor, Any], Tensor]


class _Counted:
    """The exact velocity of a toy on the straight path, which counts how often it is asked."""

    def __init__(self, toy: GaussianMixture) -> None:
        self._path = StraightPath()
        self._oracle = MixtureOracle(toy, schedule=self._path)
        self.looks = 0

    def __call__(self, x: Tensor, s: Any) -> Tensor:
        self.looks += 1
        if self.looks > 4 * LOOKS:  # the verdict is certain, and the student need not wait for it
            return torch.zeros_like(x)
        s = float(torch.as_tensor(s).flatten()[0])
        if abs(s) < 1e-9:  # where the sum of ten tenths is, too; u = E[eps] - x_0
            return -x
        t = torch.full((len(x),), s, dtype=torch.float64)
        return velocity_from_guess(self._oracle(x, t), s, path=self._path)


def _toy(generator: Generator) -> GaussianMixture:
    """Two heaps, left and right of 0, well apart."""
    share = draw.uniform(0.3, 0.7, generator=generator)
    left, right = (draw.uniform(0.9, 1.5, generator=generator) for _ in range(2))
    stds = [draw.uniform(0.18, 0.24, generator=generator) for _ in range(2)]
    means = torch.tensor([[-left], [right]])
    return GaussianMixture(torch.tensor([share, 1 - share]), means, torch.tensor(stds))


def _total_variation(x: Tensor, toy: GaussianMixture) -> float:
    """Half the sum of |share - exact share| over 60 bins from -3 to 3 and the two outside."""
    below = toy.cdf(BINS[:, None])
    exact = torch.cat([below[:1], below.diff(), 1 - below[-1:]])
    counts = torch.bucketize(x.flatten(), BINS).bincount(minlength=len(exact))
    return float((counts / len(x) - exact).abs().sum() / 2)


def _measure(sampler: Callable[..., Any], generator: Generator) -> dict[str, float]:
    toy = _toy(generator)
    velocity, x1 = _Counted(toy), draw.normal(POINTS, 1, generator=generator)
    x = to_tensor(sampler(velocity, x1.clone()))
    if x.shape != x1.shape:
        raise WrongForm(f"The shape is {tuple(x.shape)}, expected {tuple(x1.shape)}.")
    distance = ((x - toy.means[:, 0]).abs() / toy.stds).amin(1)
    heaps = x < 0
    parts = [x[heaps], x[~heaps]]
    places = [
        float(p.median() / m) if len(p) else 0.0 for p, m in zip(parts, toy.means, strict=True)
    ]
    return {
        "looks at the velocity": float(velocity.looks),
        "points near a heap, share": float((distance < 6).double().mean()),
        "distance of the heaps from 0 over the true one": sum(places) / 2,
        "total variation": _total_variation(x.nan_to_num(), toy),
    }


def _times(steps: int, power: float) -> list[float]:
    return [(1 - i / steps) ** power for i in range(steps + 1)]


def _euler(velocity: Velocity, x1: Tensor, times: list[float]) -> Tensor:
    x = x1
    for s, s_next in pairwise(times):
        x = x + (s_next - s) * velocity(x, s)
    return x


def _shorter_and_shorter(velocity: Velocity, x1: Tensor) -> Tensor:
    # Five steps of Heun, the last one Euler's: nine looks. They get shorter towards the data.
    x, times = x1, [(1 - i / 5) ** 1.5 for i in range(6)]
    for s, s_next in pairwise(times):
        u = velocity(x, s)
        there = x + (s_next - s) * u
        if s_next > 0:
            there = x + (s_next - s) / 2 * (u + velocity(there, s_next))
        x = there
    return x


def _never(velocity: Velocity, x1: Tensor) -> Tensor:
    return x1


def _patient(velocity: Velocity, x1: Tensor) -> Tensor:
    return _euler(velocity, x1, _times(100, 1.0))


def _wrong_sign(velocity: Velocity, x1: Tensor) -> Tensor:
    return _euler(lambda x, s: -velocity(x, s), x1, _times(LOOKS, 1.0))


def _stops_early(velocity: Velocity, x1: Tensor) -> Tensor:
    times = _times(LOOKS, 1.0)
    return _euler(velocity, x1, [0.15 + 0.85 * s for s in times])


def _equal(velocity: Velocity, x1: Tensor) -> Tensor:
    return _euler(velocity, x1, _times(LOOKS, 1.0))


TEN_LOOKS = Open(
    id="ex-continuous-10",
    level="build",
    title="Ten looks at the velocity (open-ended)",
    minutes=30,
    call="ten_looks(velocity, x1)",
    measure=_measure,
    reference=_shorter_and_shorter,
    mistakes=(
        Requirement(
            "the velocity is never asked for",
            "looks at the velocity",
            1,
            math.inf,
            _never,
            "Without velocity(x, s) nothing is known of the heaps.",
        ),
        Requirement(
            "too many looks at the velocity",
            "looks at the velocity",
            -math.inf,
            LOOKS,
            _patient,
            "Each velocity(x, s) is a look, for all points at once. Heun takes two a step.",
        ),
        Requirement(
            "points lie far from both heaps",
            "points near a heap, share",
            0.9,
            1.0,
            _wrong_sign,
            "The velocity is dx/ds, and s falls from 1 to 0: mind the sign, and print the times.",
        ),
        Requirement(
            "the heaps lie too close to 0",
            "distance of the heaps from 0 over the true one",
            0.93,
            math.inf,
            _stops_early,
            "Does the last step end at s = 0? What is left of s is missing of the data. Or are "
            "there only a few long steps?",
        ),
        Requirement(
            "the distribution is not close enough yet",
            "total variation",
            0.0,
            BOUND,
            _equal,
            "Ten equal steps of Euler are not enough. Use a look twice (a rule of second order), "
            "and make the steps shorter where the paths bend: not near the noise.",
        ),
    ),
)
