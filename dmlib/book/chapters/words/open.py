"""The exercises of the chapter on words and pictures: the open-ended one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.data.scenes import draw_scenes

PICTURES = 48


def _measure(counter: Callable[..., Any], generator: Generator) -> dict[str, float]:
    scenes = draw_scenes(PICTURES, generator=generator, counts=(1, 1, 1))
    counted = to_tensor(counter(scenes.images.clone()))
    if counted.shape != (PICTURES,):
        raise WrongForm(f"The shape is {tuple(counted.shape)}, expected {(PICTURES,)}.")
    return {
        "different answers": float(len(counted.unique())),
        "share of pictures with too many": float((counted > scenes.count).double().mean()),
        "share of pictures with too few": float((counted < scenes.count).double().mean()),
    }


def _stands_out(images: Tensor, least: float) -> Tensor:
    ground = images.flatten(2).median(-1).values[:, :, None, None]
    return (images - ground).square().sum(1).sqrt() > least


def _count(images: Tensor) -> Tensor:
    return _pieces(_stands_out(images, 0.5))


def _pieces(on: Tensor) -> Tensor:
    number = (torch.arange(1, 1025.0).view(32, 32) * on)[:, None]
    for _ in range(24):
        number = F.max_pool2d(number, 3, stride=1, padding=1) * on[:, None]
    return torch.tensor([len(x.unique()) - 1 for x in number])


def _always_two(images: Tensor) -> Tensor:
    return torch.full((len(images),), 2)


def _texture_too(images: Tensor) -> Tensor:
    return _pieces(_stands_out(images, 0.12))


def _by_colour(images: Tensor) -> Tensor:
    """How many different colours: two objects of one colour count once."""
    sharp = (images > 0.2).long() * _stands_out(images, 0.9)[:, None]
    code = 4 * sharp[:, 0] + 2 * sharp[:, 1] + sharp[:, 2]
    return torch.tensor([len((x.flatten().bincount(minlength=8)[1:] > 12).nonzero()) for x in code])


COUNT = Open(
    id="ex-words-10",
    level="build",
    title="A judge of your own (open-ended)",
    minutes=20,
    call="count_objects(images)",
    measure=_measure,
    reference=_count,
    mistakes=(
        Requirement(
            "every picture gets the same number",
            "different answers",
            2.0,
            50.0,
            _always_two,
            "Look at the pictures: there are one, two or three objects.",
        ),
        Requirement(
            "too many objects are counted in more than one picture of twenty",
            "share of pictures with too many",
            -1.0,
            0.05,
            _texture_too,
            "The ground has a pattern, and edges are mixtures of two colours. How far from the "
            "ground must a pixel be to belong to an object? And does one object come in pieces?",
        ),
        Requirement(
            "too few objects are counted in more than one picture of twenty",
            "share of pictures with too few",
            -1.0,
            0.05,
            _by_colour,
            "Two objects may have one colour, or one size. They never touch.",
        ),
    ),
)
