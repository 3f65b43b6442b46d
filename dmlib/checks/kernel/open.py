"""The exercises of chapter 2, the diffusion kernel: the open-ended one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.checks import draw
from dmlib.checks.compare import WrongForm
from dmlib.checks.exercise import Open, Requirement
from dmlib.forward import q_sample
from dmlib.schedules import NoiseSchedule, linear_schedule

TEMPLATES, PER_CLASS, CHANCE = 5, 40, 0.2


def _measure(accuracy: Callable[..., Any], generator: Generator) -> dict[str, float]:
    x0, labels = _classes(generator)
    schedule = linear_schedule(1000)
    values = []
    for t in (0, 300, 1000):
        own = Generator().manual_seed(draw.integer(0, 2**31, generator=generator))
        value = accuracy(x0.clone(), labels.clone(), t, schedule, own)
        try:
            values.append(float(value))
        except (TypeError, ValueError, RuntimeError):
            raise WrongForm("Return one number: the share of right labels.") from None
    return {
        "accuracy at t = 0": values[0],
        "accuracy at t = 300": values[1],
        "accuracy at t = T": values[2],
    }


def _classes(generator: Generator) -> tuple[Tensor, Tensor]:
    """Five kinds of 8x8 pictures, with small differences within a kind."""
    kinds = draw.pictures(TEMPLATES, 8, generator=generator)
    labels = torch.arange(TEMPLATES).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return kinds[labels] + 0.15 * draw.normal(len(labels), 1, 8, 8, generator=generator), labels


def _means(x0: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([x0[labels == c].mean(0) for c in range(int(labels.max()) + 1)]).flatten(1)


def _share(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    xt = q_sample(x0, t, eps, schedule=schedule)
    guess = torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1)
    return (guess == labels).double().mean()


def _share_again(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> float:
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    bar = float(schedule.alpha_bar[t])
    xt = math.sqrt(bar) * x0 + math.sqrt(1 - bar) * eps
    means = _means(x0, labels)
    right = 0
    for x, label in zip(xt.flatten(1), labels, strict=True):
        score = means @ x - math.sqrt(bar) * (means**2).sum(1) / 2
        right += int(score.argmax() == label)
    return right / len(labels)


def _percent(*args: Any) -> Tensor:
    return 100 * _share(*args)


def _errors(*args: Any) -> Tensor:
    return 1 - _share(*args)


def _no_noise(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    return _share(x0, labels, 0, schedule, generator)


def _all_noise(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    return _share(x0, labels, schedule.T if t else 0, schedule, generator)


SURVIVES = Open(
    id="ex-kernel-10",
    level="build",
    title="How long does the class survive? (open-ended)",
    minutes=25,
    call="accuracy(x0, labels, t, schedule, generator)",
    measure=_measure,
    reference=_share,
    alternative=_share_again,
    mistakes=(
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
            "At t = T only luck is left. Does the noisy picture reach your classifier?",
        ),
        Requirement(
            "the class is lost at once",
            "accuracy at t = 300",
            CHANCE + 0.15,
            1.0,
            _all_noise,
            "At t = 300 much can still be told. Which t is in your kernel?",
        ),
    ),
)
