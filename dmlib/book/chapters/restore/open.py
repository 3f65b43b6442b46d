"""The exercises of the chapter on restoring: the open-ended one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.mixture import GaussianMixture, given_measurement

# 20,000 samples of the prior, re-weighted, are 0.01 to 0.04 off in 20 seeds (2,000 drawn).
DRAWN, WANTED, STD = 20_000, 2_000, 0.3
A = torch.tensor([[1.0, 0.0]], dtype=torch.float64)


def _toy(generator: Generator) -> tuple[GaussianMixture, float]:
    """Three heaps of which y leaves two possible, one more likely; and that y."""
    low = draw.uniform(0.25, 0.35, generator=generator)
    heights = [draw.uniform(1.2, 1.8, generator=generator) for _ in range(2)]
    x = draw.uniform(0.4, 0.7, generator=generator)
    means = torch.tensor([[x, heights[0]], [x + 0.35, -heights[1]], [-1.5, 0.0]])
    weights = torch.tensor([low, 0.5 - low + 0.1, 0.4])
    return GaussianMixture(weights / weights.sum(), means, torch.full((3,), 0.15)), x


def _measure(sampler: Callable[..., Any], generator: Generator) -> dict[str, float]:
    toy, y = _toy(generator)
    x0 = toy.sample(DRAWN, generator)
    own = Generator().manual_seed(int(torch.randint(2**31, (), generator=generator)))
    x = to_tensor(sampler(x0.clone(), y, STD, WANTED, own)).double()
    if x.shape != (WANTED, 2):
        raise WrongForm(f"The shape is {tuple(x.shape)}, expected {(WANTED, 2)}.")
    exact = given_measurement(toy, A, torch.tensor([y], dtype=torch.float64), STD)
    heap = torch.cdist(x.nan_to_num(), toy.means).argmin(1)
    share = torch.bincount(heap, minlength=3) / WANTED
    return {
        "share of the heap that y excludes": float(share[2]),
        "different samples": float(len(x.unique(dim=0))),
        "total variation of the shares": float((share - exact.weights[0]).abs().sum() / 2),
    }


def _log_weight(x0: Tensor, y: float, std: float) -> Tensor:
    return -((y - x0[:, 0]) ** 2) / (2 * std**2)


def _resample(x0: Tensor, y: float, std: float, n: int, generator: Generator) -> Tensor:
    weight = torch.exp(-((y - x0[:, 0]) ** 2) / (2 * std**2))
    chosen = torch.multinomial(weight, n, replacement=True, generator=generator)
    return x0[chosen]


def _prior(x0: Tensor, y: float, std: float, n: int, generator: Generator) -> Tensor:
    return x0[:n]


def _nearest(x0: Tensor, y: float, std: float, n: int, generator: Generator) -> Tensor:
    return x0[(x0[:, 0] - y).abs().argsort()[:n]]


def _the_best(x0: Tensor, y: float, std: float, n: int, generator: Generator) -> Tensor:
    return x0[_log_weight(x0, y, std).argmax()].expand(n, 2)


def _twice(x0: Tensor, y: float, std: float, n: int, generator: Generator) -> Tensor:
    weight = (2.5 * _log_weight(x0, y, std)).exp()
    return x0[torch.multinomial(weight, n, replacement=True, generator=generator)]


RESAMPLE = Open(
    id="ex-restore-8",
    level="build",
    title="The posterior without a network (open-ended)",
    minutes=20,
    call="from_posterior(x0, y, std, n, generator)",
    measure=_measure,
    reference=_resample,
    mistakes=(
        Requirement(
            "samples lie where y excludes them",
            "share of the heap that y excludes",
            -1.0,
            0.02,
            _prior,
            "Samples of the prior know nothing of y. How likely is y, for each of them?",
        ),
        Requirement(
            "too few different samples",
            "different samples",
            200,
            float(WANTED),
            _the_best,
            "The posterior is a distribution: many x_0 fit, and all that do should come.",
        ),
        Requirement(
            "the shares of the heaps are wrong",
            "total variation of the shares",
            -1.0,
            0.06,
            _twice,
            "Each x_0 must come in proportion to N(y; x_0's first coordinate, std^2). Is that the "
            "weight which you give it? What counts is the variance, not std.",
        ),
    ),
)
