"""The exercise of the chapter on words and pictures that measures a word's map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _overlap(word_map: Tensor, mask: Tensor) -> Tensor:
    bright = word_map > (word_map.min() + word_map.max()) / 2
    return (bright & mask).sum() / (bright | mask).sum()


def _overlap_cases(generator: Generator) -> Cases:
    """A blob that covers a part of the mask, and more; on a ground that is not 0."""
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    cases = []
    for _ in range(2):
        x, y = (draw.uniform(4, 7, generator=generator) for _ in range(2))
        blob = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 12).double()
        mask = ((columns - x - 1).abs() < 2.6) & ((rows - y).abs() < 3.1)
        cases.append((0.15 + 0.1 * blob + 0.001 * draw.normal(12, 12, generator=generator), mask))
    return cases


OVERLAP = Function(
    id="ex-words-9",
    level="build",
    title="Does the word look at its thing?",
    minutes=8,
    call="overlap(word_map, mask)",
    cases=_overlap_cases,
    reference=_overlap,
    mistakes=(
        Mistake(
            "the threshold is half of the maximum, whatever the ground",
            lambda m, mask: ((m > m.max() / 2) & mask).sum() / ((m > m.max() / 2) | mask).sum(),
            "A map may be bright everywhere. The middle between its smallest and largest value is "
            "asked for.",
        ),
        Mistake(
            "the threshold is 1/2",
            lambda m, mask: ((m > 0.5) & mask).sum() / ((m > 0.5) | mask).sum(),
            "Weights add up to 1 over the words: no map need reach 1/2 anywhere.",
        ),
        Mistake(
            "intersection over mask: what is bright beside it costs nothing",
            lambda m, mask: ((m > (m.min() + m.max()) / 2) & mask).sum() / mask.sum(),
            "A map that is bright everywhere would get 1.",
        ),
        Mistake(
            "intersection over sum: the intersection counts twice below",
            lambda m, mask: (
                ((m > (m.min() + m.max()) / 2) & mask).sum()
                / ((m > (m.min() + m.max()) / 2).sum() + mask.sum())
            ),
            "In the union each pixel counts once.",
        ),
        Mistake(
            "the weights are added up, not the pixels",
            lambda m, mask: (m * mask).sum() / torch.maximum(m, mask.double()).sum(),
            "First decide which pixels are bright; then count.",
        ),
    ),
)
