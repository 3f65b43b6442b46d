"""Sampling: from noise to data, one step of the reverse process after another.

`sample` is the one loop around every step rule (steps.py). A denoiser is anything that answers
net(xt, t) -> eps_hat: a network, an exact one (oracle.py), or either of them wrapped
(guidance.py, `clipped`). It may also answer net.x0_hat(xt, t) -> x0_hat, as `EpsFromV`, the
oracles and what wraps them do; that is asked for where alpha_bar_t = 0 (zero_terminal_snr),
because there x_t is all noise and eps_hat does not tell x0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from dmlib._validate import check_float, check_generator, check_int, check_like, check_real
from dmlib.forward import noise_like, q_sample
from dmlib.parameterization import eps_from_x0, x0_from_eps
from dmlib.schedules import NoiseSchedule, check_schedule
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
    T = check_int("T", T, low=1)
    steps = check_int("steps", steps, low=1, high=T)
    return [(2 * T * i + steps) // (2 * steps) for i in range(steps, -1, -1)]


def sample(
    net: Denoiser,
    xT: Tensor,
    *,
    schedule: NoiseSchedule,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int | Sequence[int] | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Snapshot]:
    """Walk from x_T to x_0, and show every x_t on the way with what the network says there.

    Args:
        net: a denoiser, net(xt, t) -> eps_hat, called with t as (B,) int64; no gradients.
        xT: (B, ...), where to start: standard normal noise for the first time, or an image that
            was noised to it.
        schedule: that the network was trained with.
        step: the rule: ddpm(), ddim(eta), dpm_solver(), or a function called like ddim_step.
        times: how many steps, evenly spaced from T; or every t to be at, falling, the last one 0;
            if None, 50 steps, or T where T is less.
        generator: for the noise of the steps, on any device; torch's global one if None.

    Yields:
        A Snapshot before each step, and the last one (0, x_0, x_0, None): steps + 1 in all.
        Where alpha_bar_t = 0 every rule takes the same step, that of DDIM: x_prev =
        sqrt(alpha_bar_prev) x0_hat + sqrt(1 - alpha_bar_prev) x_t.

    Raises:
        ValueError: an argument does not fit, or alpha_bar_t = 0 where it starts and the denoiser
            has no x0_hat (at once); or the network's answer does not fit (when it comes).
    """
    check_float("xT", xT)
    if xT.ndim == 0:
        raise ValueError("xT must have a batch axis (B, ...), got a 0-d tensor")
    check_schedule(schedule)
    check_generator(generator)
    for name, function in (("net", net), ("step", step)):
        if not callable(function):
            raise ValueError(f"{name} must be callable, got {type(function).__name__}")
    if step in (ddim, ddpm, dpm_solver, DPMSolver):
        name = step.__name__
        raise ValueError(f"step must be a rule, got {name}, which makes one; mend: {name}()")
    times = _times(times, schedule.T)
    if schedule.alpha_bar[times[0]] == 0 and not hasattr(net, "x0_hat"):
        raise ValueError(
            f"net must answer x0_hat(xt, t) to start at t = {times[0]}, where alpha_bar_t = 0, x_t "
            "is all noise and eps_hat does not tell x0; mend: dmlib.models.EpsFromV of a network "
            f"that predicts v, or start at t = {times[0] - 1}"
        )
    # A rule may remember its last step: each walk gets a copy that remembers nothing else.
    return _walk(net, xT, schedule, copy.copy(step), times, generator)


@torch.no_grad()
def _walk(
    net: Denoiser,
    xt: Tensor,
    schedule: NoiseSchedule,
    step: Step,
    times: list[int],
    generator: torch.Generator | None,
) -> Iterator[Snapshot]:
    for t, t_prev in pairwise(times):
        t_all = torch.full((len(xt),), t, device=xt.device)
        if schedule.alpha_bar[t] == 0:
            x0_hat = net.x0_hat(xt, t_all)
            check_like("x0_hat", x0_hat, "xt", xt)
            eps_hat = xt  # x_t is the noise itself
        else:
            eps_hat = net(xt, t_all)
            check_like("eps_hat", eps_hat, "xt", xt)
            x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
        yield Snapshot(t, xt, x0_hat, eps_hat)
        noise = noise_like(xt, generator)
        if schedule.alpha_bar[t] == 0:
            xt = q_sample(x0_hat, t_prev, eps_hat, schedule=schedule)
        else:
            xt = step(xt, eps_hat, noise, t=t, t_prev=t_prev, schedule=schedule)
    yield Snapshot(0, xt, xt, None)


def generate(
    net: Denoiser,
    xT: Tensor,
    *,
    schedule: NoiseSchedule,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int | Sequence[int] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The end of the walk alone, x_0 (B, ...); arguments and errors as for `sample`.

    A network with dropout answers anew each time while it trains: call net.eval() first.
    """
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
        net: a denoiser; its x0_hat, if it has one, is clipped too.
        schedule: that the network was trained with.
        low, high: the range, low < high.

    Raises:
        ValueError: schedule is no NoiseSchedule or not low < high; at a call, what x0_from_eps
            refuses.
    """
    check_schedule(schedule)
    low, high = (check_real(n, v, "[-inf, inf]") for n, v in (("low", low), ("high", high)))
    if not low < high:
        raise ValueError(f"low must be below high, got low={low}, high={high}")

    def denoiser(xt: Tensor, t: int | Tensor) -> Tensor:
        x0_hat = x0_from_eps(net(xt, t), xt, t, schedule=schedule).clamp(low, high)
        return eps_from_x0(x0_hat, xt, t, schedule=schedule)

    if hasattr(net, "x0_hat"):
        denoiser.x0_hat = lambda xt, t: net.x0_hat(xt, t).clamp(low, high)
    return denoiser


def _times(times: int | Sequence[int] | None, T: int) -> list[int]:
    if times is None:
        return spaced_times(T, min(50, T))
    if isinstance(times, str) or not isinstance(times, Sequence):
        if hasattr(times, "tolist") and getattr(times, "ndim", 0):
            kind = type(times).__name__
            raise ValueError(
                f"times must be a number or a list of steps, got {kind}; mend: times.tolist()"
            )
        return spaced_times(T, check_int("times", times, low=1, high=T))
    found = [check_int(f"times[{i}]", t, low=0) for i, t in enumerate(times)]
    falling = all(a > b for a, b in pairwise(found))
    if len(found) < 2 or found[-1] != 0 or found[0] > T or not falling:
        raise ValueError(f"times must fall from at most {T} to 0, got {found}")
    return found
