"""Hidden inputs: random schedules, images and numbers, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.schedules import NoiseSchedule


def normal(*shape: int, generator: Generator) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def uniform(low: float, high: float, *, generator: Generator) -> float:
    """One number between low and high."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(low: int, high: int, *, generator: Generator) -> int:
    """One integer in low..high."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def steps(T: int, count: int, *, generator: Generator) -> Tensor:
    """`count` different steps t in 1..T, int64; the last step T is always among them."""
    t = torch.randperm(T - 1, generator=generator)[:count] + 1
    t[-1] = T
    return t


def schedule(T: int, *, generator: Generator) -> NoiseSchedule:
    """A schedule of no known form, with steps that differ well from each other."""
    beta = torch.zeros(T + 1, dtype=torch.float64)
    beta[1:] = 0.02 + 0.4 * torch.rand(T, generator=generator, dtype=torch.float64)
    return NoiseSchedule(beta, "hidden")


def pictures(count: int, size: int, *, generator: Generator) -> Tensor:
    """Smooth grey pictures (B, 1, size, size) in [-1, 1], each another sum of waves."""
    grid = torch.linspace(0, 3.0, size, dtype=torch.float64)
    wave = normal(count, 4, 4, generator=generator)
    phase = normal(count, 4, 1, 1, generator=generator) * 3
    u = wave[:, :, 0, None, None] * grid[:, None] + wave[:, :, 1, None, None] * grid
    x = (wave[:, :, 2, None, None] * torch.sin(2 * u + phase)).sum(1, keepdim=True)
    x = x - x.mean((1, 2, 3), keepdim=True)
    return x / x.abs().amax((1, 2, 3), keepdim=True)


def repeats(function: Callable[..., Any], *args: Any, generator: Generator) -> bool:
    """Whether two calls with one state of the generator, the last argument, give one result."""
    state, results = generator.get_state(), []
    for _ in range(2):
        own = Generator().set_state(state)
        given = (a.clone() if isinstance(a, Tensor) else a for a in args)
        results.append(torch.as_tensor(function(*given, own)).double().nan_to_num())
    return results[0].shape == results[1].shape and torch.equal(*results)
