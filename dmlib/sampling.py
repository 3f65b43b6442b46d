"""Sampling: from noise to data, one step of the reverse process after another.

`sample` is the one loop around every step rule (steps.py). A denoiser is anything that answers
net(xt, t) -> eps_hat: a network, an exact one (oracle.py), or either of them wrapped
(guidance.py, `clipped`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from dmlib._validate import check_float, check_like
from dmlib.parameterization import eps_from_x0, x0_from_eps
from dmlib.schedules import NoiseSchedule
from dmlib.steps import (
    DPMSolver,
    Step,
    Variance,
    ddim,
    ddim_step,
    ddpm,
    ddpm_step,
    dpm_solver,
)

__all__ = [
    "DPMSolver",
    "Denoiser",
    "Snapshot",
    "Step",
    "Variance",
    "clipped",
    "ddim",
    "ddim_step",
    "ddpm",
    "ddpm_step",
    "dpm_solver",
    "generate",
    "sample",
    "spaced_times",
]

Denoiser = Callable[[Tensor, Tensor], Tensor]


class Snapshot(NamedTuple):
    """A trajectory at one moment: x_t, and what the network says of it (eps_hat None at t = 0)."""

    t: int
    xt: Tensor
    x0_hat: Tensor
    eps_hat: Tensor | None


def spaced_times(T: int, steps: int) -> list[int]:
    """steps + 1 times from T down to 0, as evenly spaced as whole numbers can be.

    Args:
        T: number of noising steps, >= 1.
        steps: of the sampler, in 1..T.

    Raises:
        ValueError: steps is not in 1..T.
    """
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ValueError(f"T must be an integer >= 1, got {T!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= T:
        raise ValueError(f"steps must be an integer in 1..{T}, got {steps!r}")
    return [(2 * T * i + steps) // (2 * steps) for i in range(steps, -1, -1)]


def sample(
    net: Denoiser,
    xT: Tensor,
    *,
    schedule: NoiseSchedule,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int | Sequence[int] = 50,
    generator: torch.Generator | None = None,
) -> Iterator[Snapshot]:
    """Walk from x_T to x_0, and show every x_t on the way with what the network says there.

    Args:
        net: a denoiser, net(xt, t) -> eps_hat, called with t as (B,) int64; no gradients.
        xT: (B, ...), where to start: standard normal noise for the first time, or an image that
            was noised to it.
        schedule: that the network was trained with.
        step: the rule: ddpm(), ddim(eta), dpm_solver(), or a function called like ddim_step.
        times: how many steps, evenly spaced from T; or every t to be at, falling, the last one 0.
        generator: for the noise of the steps; torch's global one if None.

    Yields:
        A Snapshot before each step, and the last one (0, x_0, x_0, None): steps + 1 in all.

    Raises:
        ValueError: an argument does not fit (at once); or the network's answer does not, or
            alpha_bar_t = 0 at a time in `times` (when it is reached).
    """
    check_float("xT", xT)
    if xT.ndim == 0:
        raise ValueError("xT must have a batch axis (B, ...), got a 0-d tensor")
    if not isinstance(schedule, NoiseSchedule):
        raise ValueError(f"schedule must be a NoiseSchedule, got {type(schedule).__name__}")
    for name, function in (("net", net), ("step", step)):
        if not callable(function):
            raise ValueError(f"{name} must be callable, got {type(function).__name__}")
    # A rule may remember its last step: each walk gets a copy that remembers nothing else.
    return _walk(net, xT, schedule, copy.copy(step), _times(times, schedule.T), generator)


@torch.no_grad()
def _walk(
    net: Denoiser,
    xt: Tensor,
    schedule: NoiseSchedule,
    step: Step,
    times: list[int],
    generator: torch.Generator | None,
) -> Iterator[Snapshot]:
    source = xt.device if generator is None else generator.device
    for t, t_prev in pairwise(times):
        eps_hat = net(xt, torch.full((len(xt),), t, device=xt.device))
        check_like("eps_hat", eps_hat, "xt", xt)
        yield Snapshot(t, xt, x0_from_eps(eps_hat, xt, t, schedule=schedule), eps_hat)
        noise = torch.randn(xt.shape, generator=generator, device=source, dtype=xt.dtype)
        noise = noise.to(xt.device)
        xt = step(xt, eps_hat, noise, t=t, t_prev=t_prev, schedule=schedule)
    yield Snapshot(0, xt, xt, None)


def generate(
    net: Denoiser,
    xT: Tensor,
    *,
    schedule: NoiseSchedule,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int | Sequence[int] = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The end of the walk alone, x_0 (B, ...); arguments and errors as for `sample`."""
    walk = sample(net, xT, schedule=schedule, step=step, times=times, generator=generator)
    for snapshot in walk:  # noqa: B007 (the last one is wanted)
        pass
    return snapshot.xt


def clipped(
    net: Denoiser, *, schedule: NoiseSchedule, low: float = -1.0, high: float = 1.0
) -> Denoiser:
    """A denoiser whose x0_hat stays in the range of the data, as eps_hat again.

    Steps never clip by themselves; wrap the network where x0_hat leaves the range.
    Source: the code of Ho et al. 2020 (clip_denoised); the book's equation eq-x0-from-eps.

    Args:
        net: a denoiser.
        schedule: that the network was trained with.
        low, high: the range, low < high.

    Raises:
        ValueError: not low < high; at a call, what x0_from_eps refuses.
    """
    if not low < high:
        raise ValueError(f"low must be below high, got low={low}, high={high}")

    def denoiser(xt: Tensor, t: int | Tensor) -> Tensor:
        x0_hat = x0_from_eps(net(xt, t), xt, t, schedule=schedule).clamp(low, high)
        return eps_from_x0(x0_hat, xt, t, schedule=schedule)

    return denoiser


def _times(times: int | Sequence[int], T: int) -> list[int]:
    if isinstance(times, int) and not isinstance(times, bool):
        if not 1 <= times <= T:
            raise ValueError(f"times must be a number of steps in 1..{T}, got {times}")
        return spaced_times(T, times)
    if not isinstance(times, Sequence) or isinstance(times, str):
        kind = type(times).__name__
        raise ValueError(f"times must be a number of steps or a list of steps, got {kind}")
    if any(isinstance(t, bool) or not isinstance(t, int) for t in times):
        raise ValueError("times must hold whole numbers (int)")
    falling = all(a > b for a, b in pairwise(times))
    if len(times) < 2 or times[-1] != 0 or times[0] > T or not falling:
        raise ValueError(f"times must fall from at most {T} to 0, got {list(times)}")
    return list(times)
