"""The exercises of chapter 5, training: what goes into one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dmlib.checks import draw
from dmlib.checks.exercise import Function, Mistake
from dmlib.checks.training.nets import HiddenNet
from dmlib.forward import q_sample
from dmlib.losses import simple_loss
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _unit(images: Tensor) -> Tensor:
    return images.double() / 127.5 - 1


def _unit_again(images: Tensor) -> Any:
    return np.interp(images.numpy(), [0, 255], [-1, 1])


def _images(generator: Generator) -> Cases:
    cases = []
    for B in (2, 3):
        images = torch.randint(0, 256, (B, 4, 4), generator=generator, dtype=torch.uint8)
        images[0, 0, 0], images[-1, -1, -1] = 0, 255
        cases.append((images,))
    return cases


UNIT = Function(
    id="ex-training-2",
    level="build",
    title="Grey levels to [-1, 1]",
    minutes=4,
    call="my_to_unit(images)",
    cases=_images,
    reference=_unit,
    alternative=_unit_again,
    mistakes=(
        Mistake(
            "to [0, 1], not to [-1, 1]",
            lambda x: x / 255,
            "Noise is centred at 0, so the data should be, too: 0 becomes -1.",
        ),
        Mistake(
            "centred, but only half as wide",
            lambda x: x / 255 - 0.5,
            "White must become +1 and black -1.",
        ),
        Mistake(
            "divided by 128: white becomes 127/128",
            lambda x: x / 128 - 1,
            "There are 255 equal strides from 0 to 255. Where does 255 end up?",
        ),
        Mistake(
            "computed in uint8, which has no numbers below 0",
            lambda x: (x - 128) / 127,
            "images is uint8: 100 - 128 is 228 there. Make it floating point first.",
        ),
    ),
)


def _loss(net: Any, x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    xt = q_sample(x0, t, eps, schedule=schedule)
    return simple_loss(net(xt, t), eps)


def _loss_again(net: Any, x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar[t].reshape(-1, 1, 1, 1)
    gap = net(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, t) - eps
    return gap.square().sum() / gap.numel()


def _loss_cases(generator: Generator) -> Cases:
    return [
        (
            HiddenNet(generator=generator),
            draw.normal(B, 1, 3, 3, generator=generator),
            draw.steps(9, B, generator=generator),
            draw.normal(B, 1, 3, 3, generator=generator),
            draw.schedule(9, generator=generator),
        )
        for B in (4, 5)
    ]


def _noised(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    return q_sample(x0, t, eps, schedule=schedule)


LOSS = Function(
    id="ex-training-4",
    level="build",
    title="The loss of one batch",
    minutes=8,
    call="my_loss(net, x0, t, eps, schedule)",
    cases=_loss_cases,
    reference=_loss,
    alternative=_loss_again,
    mistakes=(
        Mistake(
            "the network is shown the clean picture",
            lambda net, x0, t, eps, s: (net(x0, t) - eps).square().mean(),
            "There is no noise to be found in x0. Make x_t first, with q_sample.",
        ),
        Mistake(
            "the answer is compared with the picture",
            lambda net, x0, t, eps, s: (net(_noised(x0, t, eps, s), t) - x0).square().mean(),
            "This network predicts the noise: which tensor is its target?",
        ),
        Mistake(
            "the answer is compared with x_t",
            lambda net, x0, t, eps, s: (
                (net(_noised(x0, t, eps, s), t) - _noised(x0, t, eps, s)).square().mean()
            ),
            "x_t is what goes in. Its noise, eps, is what should come out.",
        ),
        Mistake(
            "a sum, not a mean",
            lambda net, x0, t, eps, s: (net(_noised(x0, t, eps, s), t) - eps).square().sum(),
            "With a sum the loss grows with the batch and the picture's size.",
        ),
        Mistake(
            "absolute values, not squares",
            lambda net, x0, t, eps, s: (net(_noised(x0, t, eps, s), t) - eps).abs().mean(),
            "L_simple is the mean of the squares: its best answer is the mean of the noise.",
        ),
        Mistake(
            "one t for all pictures",
            lambda net, x0, t, eps, s: _loss(net, x0, t[:1].expand(len(t)), eps, s),
            "Every picture of the batch has its own t, in q_sample and in the network.",
        ),
    ),
)
