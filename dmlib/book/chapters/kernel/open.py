"""The exercises of chapter 2, the diffusion kernel: the open-ended one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm
from dmlib.forward import q_sample
from dmlib.schedules import NoiseSchedule, linear_schedule

KINDS, PER_CLASS, CHANCE = 5, 500, 0.2
# Two shares of 2500 pictures differ by chance with a standard deviation of at most 0.0142.
BAND = 0.06


def _measure(accuracy: Callable[..., Any], generator: Generator) -> dict[str, float]:
    x0, labels = _classes(generator)
    schedule = linear_schedule(1000)
    share, gap, drawn = {}, {}, False
    for t in (0, 200, 450, 1000):
        own, ours = (
            Generator().manual_seed(draw.integer(0, 2**31, generator=generator)) for _ in range(2)
        )
        state = own.get_state()
        value = accuracy(x0.clone(), labels.clone(), t, schedule, own)
        try:
            share[t] = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise WrongForm("Return one number: the share of right labels.") from None
        if t == 450:
            drawn = not torch.equal(state, own.get_state())
            again = accuracy(x0, labels, t, schedule, own.set_state(state))
            drawn = drawn and float(again) == share[t]
        gap[t] = share[t] - float(_share(x0, labels, t, schedule, ours))
    return {
        "noise from the generator (1: all of it)": float(drawn),
        "accuracy at t = 0": share[0],
        "accuracy at t = T": share[1000],
        "accuracy at t = 450, compared with ours": gap[450],
        "accuracy at t = 200, compared with ours": gap[200],
    }


def _classes(generator: Generator) -> tuple[Tensor, Tensor]:
    """Five kinds of 8x8 pictures of equal contrast, with large differences within a kind.

    So large that the nearest *picture* is another answer than the nearest class mean.
    """
    pictures = draw.pictures(KINDS, 8, generator=generator)
    # Orthogonal, so that every two kinds are equally far apart, whatever the seed is.
    basis = torch.linalg.qr(pictures.flatten(1).T).Q.T
    kinds = 2.0 * basis.reshape(KINDS, 1, 8, 8)
    labels = torch.arange(KINDS).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return kinds[labels] + 0.5 * draw.normal(len(labels), 1, 8, 8, generator=generator), labels


def _means(x0: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([x0[labels == c].mean(0) for c in range(int(labels.max()) + 1)]).flatten(1)


def _share(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    xt = q_sample(x0, t, eps, schedule=schedule)
    guess = torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1)
    return (guess == labels).double().mean()


def _counts(*args: Any) -> Tensor:
    return len(args[1]) * _share(*args)


def _own_noise(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    return _share(x0, labels, t, schedule, Generator().manual_seed(0))


def _percent(*args: Any) -> Tensor:
    return 100 * _share(*args)


def _errors(*args: Any) -> Tensor:
    return 1 - _share(*args)


def _no_noise(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    return _share(x0, labels, 0, schedule, generator)


def _single_step(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    if t in (0, schedule.T):
        return _share(x0, labels, t, schedule, generator)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    beta_t = schedule.beta[t]
    xt = (1 - beta_t).sqrt() * x0 + beta_t.sqrt() * eps
    guess = torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1)
    return (guess == labels).double().mean()


def _variance(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    bar = schedule.alpha_bar[t]
    xt = bar.sqrt() * x0 + (1 - bar) * eps
    guess = torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1)
    return (guess == labels).double().mean()


def _noisy_means(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    xt = q_sample(x0, t, eps, schedule=schedule)
    guess = torch.cdist(xt.flatten(1), _means(xt, labels)).argmin(1)
    return (guess == labels).double().mean()


SURVIVES = Open(
    id="ex-kernel-10",
    level="build",
    title="How long does the class survive? (open-ended)",
    minutes=25,
    call="accuracy(x0, labels, t, schedule, generator)",
    measure=_measure,
    reference=_share,
    mistakes=(
        Requirement(
            "a count instead of a share",
            "accuracy at t = 0",
            0.0,
            100.5,
            _counts,
            "Divide by the number of pictures: a share lies between 0 and 1.",
        ),
        Requirement(
            "per cent instead of a share",
            "accuracy at t = 0",
            0.0,
            1.0,
            _percent,
            "Return a share between 0 and 1.",
        ),
        Requirement(
            "clean pictures are not recognised",
            "accuracy at t = 0",
            0.9,
            1.0,
            _errors,
            "At t = 0 nearly all are right. Is it right labels that you count?",
        ),
        Requirement(
            "pure noise is recognised",
            "accuracy at t = T",
            0.0,
            CHANCE + 0.15,
            _no_noise,
            "At t = T only chance is left. Is x_t made by the kernel, with alpha_bar[t], and is it "
            "x_t that you classify?",
        ),
        Requirement(
            "the class means are those of the noisy pictures themselves",
            "accuracy at t = T",
            0.0,
            CHANCE + 0.045,
            _noisy_means,
            "A noisy picture then is a part of its own class's mean. Take the means of x0.",
        ),
        Requirement(
            "halfway the class is kept (or lost) too well",
            "accuracy at t = 450, compared with ours",
            -BAND,
            BAND,
            _single_step,
            "Is x_t drawn with q_sample at this t, and compared with the means of clean pictures?",
        ),
        Requirement(
            "with little noise the class is kept (or lost) too well",
            "accuracy at t = 200, compared with ours",
            -BAND,
            BAND,
            _variance,
            "Look at the noise: is its factor the root of 1 - alpha_bar_t? And is it the nearest "
            "class *mean* that you take, not the nearest picture?",
        ),
        Requirement(
            "the noise does not come from the generator",
            "noise from the generator (1: all of it)",
            1.0,
            1.0,
            _own_noise,
            "Hand it over wherever you draw: torch.randn(shape, generator=generator).",
        ),
    ),
)
