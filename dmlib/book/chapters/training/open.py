"""The exercises of chapter 5, training: the open-ended one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.forward import q_sample
from dmlib.mixture import GaussianMixture
from dmlib.oracle import FiniteOracle, MixtureOracle
from dmlib.schedules import NoiseSchedule, cosine_schedule

POINTS, TESTED = 2000, 600
TIMES = {"little noise": 150, "half and half": 500, "much noise": 850}
# What the exact denoiser's own loss may be exceeded by; eps has the variance 1.
EXCESS = 0.08


def _toy(generator: Generator) -> GaussianMixture:
    """Three heaps in the plane, at random angles."""
    angle = 2 * math.pi * (torch.arange(3) / 3 + draw.uniform(0, 1, generator=generator))
    means = 1.4 * torch.stack([angle.cos(), angle.sin()], 1)
    share = draw.uniform(0.2, 0.4, generator=generator)
    stds = [draw.uniform(0.2, 0.4, generator=generator) for _ in range(3)]
    weights = torch.tensor([share, 0.6 - share, 0.4])
    return GaussianMixture(weights, means, torch.tensor(stds))


def _measure(train: Callable[..., Any], generator: Generator) -> dict[str, float]:
    toy, schedule = _toy(generator), cosine_schedule(1000)
    oracle = MixtureOracle(toy, schedule=schedule)
    x0 = toy.sample(POINTS, generator).float()
    own = Generator().manual_seed(draw.integer(0, 2**31, generator=generator))
    net = train(x0.clone(), schedule, own)
    if not callable(net):
        raise WrongForm(f"Return the network, net(xt, t); what came back is {net!r}."[:200])
    excess = {}
    for name, t in TIMES.items():
        fresh = toy.sample(TESTED, generator).float()
        eps = torch.randn(fresh.shape, generator=generator)
        xt = q_sample(fresh, t, eps, schedule=schedule)
        with torch.no_grad():
            eps_hat = to_tensor(_asked(net, xt.clone(), torch.full((TESTED,), t)))
        if eps_hat.shape != xt.shape:
            raise WrongForm(f"net(xt, t) has shape {tuple(eps_hat.shape)}, not {tuple(xt.shape)}.")
        key = f"loss above the exact denoiser's, {name}"
        excess[key] = float((eps_hat - oracle(xt, t).eps_hat).square().mean())
    return excess


def _asked(net: Callable[..., Any], xt: Tensor, t: Tensor) -> Any:
    try:
        return net(xt, t)
    except TypeError as error:
        if "positional argument" in str(error):
            raise WrongForm(f"Your network must take two arguments, net(xt, t): {error}.") from None
        raise


def _warm_up() -> None:
    """Build an optimizer: torch imports much for the first one, up to 15 seconds when busy."""
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])


Net = Callable[[Tensor, Tensor], Tensor]


def _nearest(x0: Tensor, schedule: NoiseSchedule, generator: Generator) -> Net:
    # What a network would answer that has memorised the data.
    oracle = FiniteOracle(x0, schedule=schedule)
    return lambda xt, t: oracle(xt, t).eps_hat


def _predicts_x0(x0: Tensor, schedule: NoiseSchedule, generator: Generator) -> Net:
    oracle = FiniteOracle(x0, schedule=schedule)
    return lambda xt, t: oracle(xt, t).x0_hat


def _weak_halfway(x0: Tensor, schedule: NoiseSchedule, generator: Generator) -> Net:
    oracle = FiniteOracle(x0, schedule=schedule)
    weak = lambda t: 1 - 0.5 * ((t - 500).abs() < 200).float()[:, None]  # noqa: E731
    return lambda xt, t: weak(t) * oracle(xt, t).eps_hat


def _late_times_only(x0: Tensor, schedule: NoiseSchedule, generator: Generator) -> Net:
    oracle = FiniteOracle(x0, schedule=schedule)
    return lambda xt, t: oracle(xt, t.clamp(min=450)).eps_hat


TRAIN = Open(
    id="ex-training-14",
    level="build",
    title="Train one yourself (open-ended)",
    minutes=40,
    call="my_train(x0, schedule, generator)",
    measure=_measure,
    reference=_nearest,
    prepare=_warm_up,
    slow="Training takes time: use fewer steps, a smaller batch or a smaller network, or give it "
    'more with check("ex-training-14", my_train, seconds=60).',
    mistakes=(
        Requirement(
            "with much noise the answer is off",
            "loss above the exact denoiser's, much noise",
            0.0,
            EXCESS,
            _predicts_x0,
            "At t = 850 eps_hat must be nearly x_t itself. Is eps the target of the loss? Has it "
            "been trained for long enough? Does the network get t in a form that it can use, "
            "scaled to about [-1, 1]?",
        ),
        Requirement(
            "halfway the answer is off",
            "loss above the exact denoiser's, half and half",
            0.0,
            EXCESS,
            _weak_halfway,
            "Between the heaps the right answer bends sharply. Is there a hidden layer wide "
            "enough, and does the network hear t?",
        ),
        Requirement(
            "with little noise the answer is off",
            "loss above the exact denoiser's, little noise",
            0.0,
            EXCESS,
            _late_times_only,
            "Small t are the hard ones. Is t drawn from all of 1..T? Train longer, or give the "
            "network t in a form that it can use: scaled to about [-1, 1].",
        ),
    ),
)
