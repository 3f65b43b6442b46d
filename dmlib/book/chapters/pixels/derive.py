"""The exercises of the chapter on which pixel is what: a derivation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _overlaps(precision: Tensor, recall: Tensor) -> dict[str, Tensor]:
    one_over_iou = 1 / precision + 1 / recall - 1
    return {"iou": 1 / one_over_iou, "dice": 2 / (one_over_iou + 1)}


def _cases(generator: Generator) -> Cases:
    return [
        tuple(
            low + (0.98 - low) * torch.rand(5, generator=generator, dtype=torch.float64)
            for low in lows
        )
        for lows in ((0.1, 0.5), (0.5, 0.1))
    ]


OVERLAPS = Function(
    id="ex-pixels-3",
    level="derive",
    title="Precision, recall, overlap",
    minutes=10,
    call="overlaps(precision, recall)",
    terms=("iou", "dice"),
    cases=_cases,
    reference=_overlaps,
    mistakes=(
        Mistake(
            "the product of the two",
            lambda p, r: (p * r, 2 * p * r / (p + r)),
            "That would be right if the two sets met by chance. Write TP / P for the number of "
            "pixels called so.",
        ),
        Mistake(
            "the intersection is counted twice in the union",
            lambda p, r: (p * r / (p + r), 2 * p * r / (p + r)),
            "Pixels that are so, and pixels that are called so, share TP of them.",
        ),
        Mistake(
            "the Dice score for both",
            lambda p, r: (2 * p * r / (p + r), 2 * p * r / (p + r)),
            "The mean of the two sizes stands below the line in Dice, their union in IoU.",
        ),
        Mistake(
            "Dice is taken for the plain mean of the two",
            lambda p, r: (_overlaps(p, r)["iou"], (p + r) / 2),
            "The sizes stand below the line: what has a mean are 1/precision and 1/recall.",
        ),
        Mistake(
            "the factor 2 is missing in Dice",
            lambda p, r: (_overlaps(p, r)["iou"], p * r / (p + r)),
            "Where precision and recall are both 1, Dice must be 1.",
        ),
    ),
)
