"""The exercises of the chapter on networks that are shown a picture: the open-ended one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dmlib.applications.translation import enlarged, psnr, shrunk
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor
from dmlib.data import fashion_sample, to_unit

KNOWN, NEW = 1000, 100


def _measure(larger: Callable[..., Any], generator: Generator) -> dict[str, float]:
    images = to_unit(fashion_sample()[0]).view(-1, 1, 28, 28).double()
    images = images[torch.randperm(len(images), generator=generator)[: KNOWN + NEW]]
    x, truth = images[:KNOWN], images[KNOWN:]
    answer = to_tensor(larger(shrunk(x), x.clone(), shrunk(truth))).double()
    if answer.shape != truth.shape:
        raise WrongForm(f"The shape is {tuple(answer.shape)}, expected {tuple(truth.shape)}.")
    answer = answer.nan_to_num()
    return {
        "distance from the blocks": float((shrunk(answer) - shrunk(truth)).abs().max()),
        "PSNR": float(psnr(answer, truth).mean()),
    }


def _least_squares(y: Tensor, x: Tensor, y_new: Tensor) -> Tensor:
    rest = (x - enlarged(y)).flatten(1)
    given, asked = (F.pad(some.flatten(1), (0, 1), value=1.0) for some in (y, y_new))
    ridge = 0.3 * torch.eye(given.shape[1], dtype=x.dtype)
    W = torch.linalg.solve(given.mT @ given + ridge, given.mT @ rest)
    guess = enlarged(y_new) + (asked @ W).view(-1, *x.shape[1:])
    return guess + enlarged(y_new - shrunk(guess))


def _blocks(y: Tensor, x: Tensor, y_new: Tensor) -> Tensor:
    return enlarged(y_new)


def _neighbour(y: Tensor, x: Tensor, y_new: Tensor) -> Tensor:
    return x[torch.cdist(y_new.flatten(1), y.flatten(1)).argmin(1)]


LARGER = Open(
    id="ex-translate-8",
    level="build",
    title="Larger without a network (open-ended)",
    minutes=20,
    call="larger(y, x, y_new)",
    measure=_measure,
    reference=_least_squares,
    mistakes=(
        Requirement(
            "the answer does not fit what is given",
            "distance from the blocks",
            0.0,
            0.01,
            _neighbour,
            "Made small again, each answer must be its y. You have written what is missing one "
            "exercise ago.",
        ),
        Requirement(
            "too far from the garments",
            "PSNR",
            17.0,
            60.0,
            _blocks,
            "A thousand pairs tell how details hang on the 49 numbers: fit a linear map, or mix "
            "the pictures whose 49 numbers are near.",
        ),
    ),
)
