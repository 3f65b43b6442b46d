"""The exercises of chapter 4, the U-Net: the open-ended one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, nn

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm
from dmlib.models.blocks import SelfAttention
from dmlib.models.unet import UNet, UNetConfig

LARGE = "parameters / budget, largest of three budgets"
SMALL = "parameters / budget, smallest of three budgets"


def _measure(design: Callable[..., Any], generator: Generator) -> dict[str, float]:
    """The worst of three budgets, small, medium and large: one fixed network fits them never."""
    rows = [
        _of(design, draw.integer(low, low + 50_000, generator=generator))
        for low in (800_000, 1_200_000, 1_950_000)
    ]
    worst = {name: max(row[name] for row in rows) for name in rows[0]}
    return worst | {
        SMALL: min(row[LARGE] for row in rows),
        "classes": min(row["classes"] for row in rows),
    }


def _of(design: Callable[..., Any], budget: int) -> dict[str, float]:
    config = design(budget)
    if not isinstance(config, UNetConfig):
        raise WrongForm(f"Return a UNetConfig, not a {type(config).__name__}.")
    if (config.image_size, config.channels) != (28, 1):
        raise WrongForm("The pictures are 28 x 28 with one channel: leave these two alone.")
    parameters, multiply_adds = _cost(config)
    return {
        LARGE: parameters / budget,
        "side of the smallest feature map": config.sizes[-1],
        "classes": config.num_classes or 0,
        "multiply-adds / parameters": multiply_adds / parameters,
    }


def _cost(config: UNetConfig) -> tuple[int, int]:
    """(parameters, multiply-adds for one picture), as `dmlib.models.inspect.parts` counts them.

    That runs the network, which takes seconds the first time; here its names are enough.
    """
    with torch.device("meta"):  # shapes only: nothing is drawn or stored
        net = UNet(config)
    count = 0
    for name, layer in net.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            count += layer.weight.numel() * _places(name, config)
        elif isinstance(layer, SelfAttention):
            count += 2 * _places(name, config) ** 2 * layer.out.out_features
    return sum(p.numel() for p in net.parameters()), count


def _places(name: str, config: UNetConfig) -> int:
    """At how many places of its map a layer's weights are used."""
    part, level, *rest = [*name.split("."), ""]
    if part == "conditioning" or "scale_shift" in rest:
        return 1
    sizes = config.sizes
    if part == "down":
        return sizes[int(level)] ** 2
    if part == "up":  # the convolution before the map doubles works at the smaller size
        return sizes[len(sizes) - 1 - int(level) + ("resize" in rest)] ** 2
    return sizes[-1 if part == "middle" else 0] ** 2


def _shape(w: int) -> UNetConfig:
    return UNetConfig(widths=(w, 2 * w, 2 * w), emb_dim=2 * w, groups=4, num_classes=10)


def _warm_up() -> None:
    """Build on the meta device: torch imports much the first time, some 20 seconds when busy."""
    _cost(_shape(8))


def _scaled(budget: int) -> UNetConfig:
    # The number of parameters grows nearly as w^2: measure one small network, then scale.
    start = 16
    small = sum(p.numel() for p in UNet(_shape(start)).parameters())
    return _shape(int(start * math.sqrt(budget / small)) // 4 * 4)


def _too_large(budget: int) -> UNetConfig:
    return _scaled(2 * budget)


def _thrifty(budget: int) -> UNetConfig:
    return _scaled(budget // 3)


def _flat(budget: int) -> UNetConfig:
    return UNetConfig(widths=(_width_flat(budget),), num_classes=10, attention=(), groups=4)


def _width_flat(budget: int) -> int:
    # Two blocks down, two up and the middle: 150 to 180 w^2 parameters at these widths.
    return int(math.sqrt(budget / 190)) // 4 * 4


def _no_classes(budget: int) -> UNetConfig:
    return replace(_scaled(budget), num_classes=None)


def _top_heavy(budget: int) -> UNetConfig:
    w = int(math.sqrt(budget / 220)) // 4 * 4
    small = w // 8 * 4
    return UNetConfig(widths=(w, small, small), emb_dim=w, groups=4, num_classes=10)


CONFIG = Open(
    id="ex-unet-12",
    level="build",
    title="The best network for the money (open-ended)",
    minutes=25,
    call="my_config(budget)",
    measure=_measure,
    reference=_scaled,
    prepare=_warm_up,
    slow="Building a network takes time: build few of them. From the parameters of a small one you "
    "can tell those of a wider one.",
    mistakes=(
        Requirement(
            "the budget is exceeded",
            LARGE,
            0.0,
            1.0,
            _too_large,
            "Build the network, count its parameters, and take the next smaller one.",
        ),
        Requirement(
            "more than a third of the budget is left over",
            SMALL,
            0.65,
            math.inf,
            _thrifty,
            "Wider maps or more blocks would fit in. The number grows as the square of the width.",
        ),
        Requirement(
            "no place sees the whole picture",
            "side of the smallest feature map",
            1.0,
            7.0,
            _flat,
            "Go down until the smallest map has at most 7 x 7 places: more levels, or a patch.",
        ),
        Requirement(
            "the network does not know the ten classes",
            "classes",
            10.0,
            10.0,
            _no_classes,
            "Chapter 5 asks for a class: num_classes=10.",
        ),
        Requirement(
            "too much is computed at full size",
            "multiply-adds / parameters",
            0.0,
            250.0,
            _top_heavy,
            "A weight at 28 x 28 is used 784 times, at 7 x 7 only 49 times. Move width down.",
        ),
    ),
)
