"""The exercises of chapter 3, the reverse process: the open-ended one."""

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
from dmlib.mixture import GaussianMixture
from dmlib.oracle import MixtureOracle
from dmlib.schedules import NoiseSchedule, cosine_schedule

# Many points, so that chance decides little: the share of a heap has a standard deviation of at
# most 0.005, the measured width one of about 0.015.
POINTS, CALLS = 10_000, 12
SHARE, SPREAD = 0.06, 0.12


class _Counted:
    """A denoiser that counts how often it is asked."""

    def __init__(self, net: Callable[..., Tensor]) -> None:
        self._net, self.calls = net, 0

    def __call__(self, xt: Tensor, t: int | Tensor) -> Tensor:
        self.calls += 1
        t = t if isinstance(t, Tensor) else int(t)  # NumPy's numbers, too
        return self._net(xt, t).eps_hat


def _toy(generator: Generator) -> GaussianMixture:
    """Two heaps, left and right of 0, well apart."""
    share = draw.uniform(0.3, 0.7, generator=generator)
    left, right = (draw.uniform(0.9, 1.5, generator=generator) for _ in range(2))
    # Not wider: equal strides would do for wide heaps.
    stds = [draw.uniform(0.18, 0.24, generator=generator) for _ in range(2)]
    means = torch.tensor([[-left], [right]])
    return GaussianMixture(torch.tensor([share, 1 - share]), means, torch.tensor(stds))


def _measure(sampler: Callable[..., Any], generator: Generator) -> dict[str, float]:
    toy, schedule = _toy(generator), cosine_schedule(1000)
    net = _Counted(MixtureOracle(toy, schedule=schedule))
    xT = draw.normal(POINTS, 1, generator=generator)
    own = Generator().manual_seed(draw.integer(0, 2**31, generator=generator))
    x = to_tensor(sampler(net, xT.clone(), schedule, own))
    if x.shape != xT.shape:
        raise WrongForm(f"The shape is {tuple(x.shape)}, expected {tuple(xT.shape)}.")
    heaps = x < 0
    return {
        "calls of the network": float(net.calls),
        "points near a heap, share": _near(x, toy),
        "share of the left heap, less the true one": float(heaps.double().mean() - toy.weights[0]),
        "width over the true one, mean of both heaps": _width(x, heaps, toy),
    }


def _near(x: Tensor, toy: GaussianMixture) -> float:
    distance = ((x - toy.means[:, 0]).abs() / toy.stds).amin(1)
    return float((distance < 5).double().mean())


def _width(x: Tensor, heaps: Tensor, toy: GaussianMixture) -> float:
    """Median distance from the heap's median over that of a normal heap, both heaps' mean."""
    parts = [x[heaps], x[~heaps]]
    if min(map(len, parts)) < 10:
        return math.nan
    found = [(p - p.median()).abs().median() / 0.6745 for p in parts]
    return float((torch.stack(found) / toy.stds).mean())


def _squeezed(
    net: Callable[..., Tensor], xT: Tensor, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    # DDIM whose times lie closer together where little noise is left.
    times = [round(schedule.T * (k / 12) ** 2) for k in range(12, -1, -1)]
    x = xT
    for t, t_prev in pairwise(times):
        bar_t, bar_prev = schedule.alpha_bar[t], schedule.alpha_bar[t_prev]
        eps_hat = net(x, t)
        x0_hat = (x - (1 - bar_t).sqrt() * eps_hat) / bar_t.sqrt()
        x = bar_prev.sqrt() * x0_hat + (1 - bar_prev).sqrt() * eps_hat
    return x


def _steps(net: Any, xT: Tensor, schedule: NoiseSchedule, count: int, std: float) -> Tensor:
    """Equal strides to the mean of q(x_{t_prev} | x_t, x0_hat), with std times its noise."""
    x, generator = xT, Generator().manual_seed(0)
    for k in range(count, 0, -1):
        t, t_prev = schedule.T * k // count, schedule.T * (k - 1) // count
        bar_t, bar_prev = schedule.alpha_bar[t], schedule.alpha_bar[t_prev]
        eps_hat = net(x, t)
        x0_hat = (x - (1 - bar_t).sqrt() * eps_hat) / bar_t.sqrt()
        sigma2 = (1 - bar_prev) / (1 - bar_t) * (1 - bar_t / bar_prev)
        x = bar_prev.sqrt() * x0_hat + (1 - bar_prev - sigma2).sqrt() * eps_hat
        x = x + std * sigma2.sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x


def _never(net: Any, xT: Tensor, schedule: NoiseSchedule, generator: Generator) -> Tensor:
    return 0.3 * xT


def _patient(net: Any, xT: Tensor, schedule: NoiseSchedule, generator: Generator) -> Tensor:
    return _steps(net, xT, schedule, 100, 1.0)


def _no_noise(net: Any, xT: Tensor, schedule: NoiseSchedule, generator: Generator) -> Tensor:
    return _steps(net, xT, schedule, 12, 0.0)


def _equal_strides(net: Any, xT: Tensor, schedule: NoiseSchedule, generator: Generator) -> Tensor:
    return _steps(net, xT, schedule, 12, 1.0)


def _grainy(net: Any, xT: Tensor, schedule: NoiseSchedule, generator: Generator) -> Tensor:
    x = _squeezed(net, xT, schedule, generator)
    return x + 0.16 * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _noise_at_the_end(
    net: Any, xT: Tensor, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    x = _squeezed(net, xT, schedule, generator)
    return x + torch.randn(x.shape, generator=generator, dtype=x.dtype)


FEW_CALLS = Open(
    id="ex-reverse-12",
    level="build",
    title="Twelve calls of the network (open-ended)",
    minutes=30,
    call="my_sampler(net, xT, schedule, generator)",
    measure=_measure,
    reference=_squeezed,
    mistakes=(
        Requirement(
            "the network is never asked",
            "calls of the network",
            1,
            math.inf,
            _never,
            "Without net(x, t) nothing is known of the heaps.",
        ),
        Requirement(
            "too many calls of the network",
            "calls of the network",
            -math.inf,
            CALLS,
            _patient,
            "Each net(x, t) is a call, for the whole batch at once. Skip times.",
        ),
        Requirement(
            "points lie far from both heaps",
            "points near a heap, share",
            0.97,
            1.0,
            _noise_at_the_end,
            "Is the last step one to t = 0, without noise? Print the times that you visit. If the "
            "values are huge: at t = 1000 sqrt(alpha_bar_t) is tiny, and any change of eps_hat "
            "there is divided by it. Take the first stride plainly.",
        ),
        Requirement(
            "a heap gets too many points",
            "share of the left heap, less the true one",
            -SHARE,
            SHARE,
            _no_noise,
            "The heap is decided while much noise is left. Is noise missing that the step needs? "
            "Does every point start at its own xT, at t = T?",
        ),
        Requirement(
            "the heaps are too narrow",
            "width over the true one, mean of both heaps",
            1 - SPREAD,
            math.inf,
            _equal_strides,
            "The width is made in the last steps, where little noise is left. Make those short: "
            "the times need not be equally far apart. Is all noise put back that the step needs?",
        ),
        Requirement(
            "the heaps are too wide",
            "width over the true one, mean of both heaps",
            -math.inf,
            1 + SPREAD,
            _grainy,
            "Look for one stride that is too long: most likely too few times are left in the "
            "middle. Or too much fresh noise is added.",
        ),
    ),
)
