"""The exercises of the introduction: functions to build."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _unit(images: Tensor) -> Tensor:
    return images / 127.5 - 1


def _image_cases(generator: Generator) -> Cases:
    cases: Cases = []
    for count in (2, 3):
        images = torch.randint(0, 256, (count, 1, 5, 5), generator=generator).to(torch.uint8)
        images[0, 0, 0, 0], images[0, 0, 0, 1] = 0, 255
        cases.append((images,))
    # Without black and white: stretching a batch to its own range is something else.
    cases.append((torch.randint(40, 200, (2, 1, 4, 4), generator=generator).to(torch.uint8),))
    return cases


def _stretched(images: Tensor, axes: tuple[int, ...]) -> Tensor:
    x = images.double()
    low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    return 2 * (x - low) / (high - low) - 1


TO_UNIT = Function(
    id="ex-intro-4",
    level="build",
    title="From grey levels to [-1, 1]",
    minutes=5,
    call="my_to_unit(images)",
    cases=_image_cases,
    reference=_unit,
    mistakes=(
        Mistake(
            "a range of [0, 1]",
            lambda images: images / 255,
            "Black should be -1, white +1: the data are centred, like the noise.",
        ),
        Mistake(
            "a range of [0, 2]: never shifted",
            lambda images: images / 127.5,
            "Black is still 0. What has to be subtracted?",
        ),
        Mistake(
            "divided by 128, so that white is not 1",
            lambda images: images / 128 - 1,
            "Put in 255: does exactly 1 come out? Grey levels end at 255.",
        ),
        Mistake(
            "stretched to the range of the batch",
            lambda images: _stretched(images, (0, 1, 2, 3)),
            "A dark batch must stay dark: level 0 becomes -1 and 255 becomes 1, in every batch.",
        ),
        Mistake(
            "each picture is stretched to its own range",
            lambda images: _stretched(images, (1, 2, 3)),
            "A dark picture must stay dark: level 0 becomes -1 and 255 becomes 1, in every one.",
        ),
        Mistake(
            "uint8 arithmetic that wraps around at 256",
            lambda images: 2 * images / 255 - 1,
            "2 * images is still uint8, so 2 * 200 is 144. Turn it into floats first.",
        ),
    ),
)


def _spread(moves: Tensor) -> Tensor:
    return (moves.cumsum(1) ** 2).mean(0)


GAS = Function(
    id="ex-intro-6",
    level="build",
    title="Gas molecules diffuse",
    minutes=10,
    call="mean_squared_distance(moves)",
    cases=lambda generator: [
        (draw.normal(40, 25, generator=generator) + 0.1,),
        (draw.normal(30, 30, generator=generator),),
    ],
    reference=_spread,
    mistakes=(
        Mistake(
            "single moves instead of positions",
            lambda moves: (moves**2).mean(0),
            "A molecule goes on from where it is: its position is the sum of all moves so far.",
        ),
        Mistake(
            "the mean over time instead of over molecules",
            lambda moves: (moves.cumsum(1) ** 2).mean(1),
            "moves is (N, n): molecules first. One number a time step is asked for.",
        ),
        Mistake(
            "the moves are summed over the molecules",
            lambda moves: (moves.cumsum(0) ** 2).mean(0),
            "Which axis is the time? The positions are the running sum along it.",
        ),
        Mistake(
            "squared after the mean, so that left and right cancel",
            lambda moves: moves.cumsum(1).mean(0) ** 2,
            "The mean of the squares is asked for, not the square of the mean.",
        ),
        Mistake(
            "a root too many",
            lambda moves: (moves.cumsum(1) ** 2).mean(0).sqrt(),
            "The squared distance is asked for: it grows in a straight line.",
        ),
        Mistake(
            "the squares are summed",
            lambda moves: (moves**2).cumsum(1).mean(0),
            "First the position (a sum), then its square.",
        ),
    ),
)


def _likeness(a: Tensor, b: Tensor) -> Tensor:
    a, b = a.flatten(1), b.flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def _pair_cases(generator: Generator) -> Cases:
    cases: Cases = []
    for count in (3, 4):
        x = draw.normal(count, 1, 4, 5, generator=generator) * 0.5 + 0.3
        noise = draw.normal(count, 1, 4, 5, generator=generator) - 0.2
        b = 0.8 * x + 0.7 * noise
        b[1] = 0.3 - b[1]  # a negative: its correlation is below 0
        cases.append((x, b))
    return cases


def _uncentred(a: Tensor, b: Tensor) -> Tensor:
    return torch.cosine_similarity(a.flatten(1), b.flatten(1))


def _sums(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the centred pictures: the sum of the products, and both sums of squares."""
    a, b = a.flatten(1), b.flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1), (a**2).sum(1), (b**2).sum(1)


def _covariance(a: Tensor, b: Tensor) -> Tensor:
    return _sums(a, b)[0] / a[0].numel()


def _no_root(a: Tensor, b: Tensor) -> Tensor:
    ab, aa, bb = _sums(a, b)
    return ab / (aa * bb)


def _root_of_sum(a: Tensor, b: Tensor) -> Tensor:
    ab, aa, bb = _sums(a, b)
    return ab / (aa + bb).sqrt()


def _mixed_counts(a: Tensor, b: Tensor) -> Tensor:
    return _covariance(a, b) / (a.flatten(1).std(1) * b.flatten(1).std(1))


def _whole_batch(a: Tensor, b: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].expand(a.shape[0])


def _batch_mean(a: Tensor, b: Tensor) -> Tensor:
    return torch.cosine_similarity((a - a.mean()).flatten(1), (b - b.mean()).flatten(1))


LIKENESS = Function(
    id="ex-intro-7",
    level="build",
    title="How much of the picture is left?",
    minutes=10,
    call="correlation(a, b)",
    cases=_pair_cases,
    reference=_likeness,
    mistakes=(
        Mistake(
            "the means are not subtracted",
            _uncentred,
            "A correlation looks at deviations from each picture's own mean.",
        ),
        Mistake(
            "the sign is lost",
            lambda a, b: _likeness(a, b).abs(),
            "A picture and its negative have the correlation -1, not 1.",
        ),
        Mistake(
            "squared: the share of the variance",
            lambda a, b: _likeness(a, b) ** 2,
            "For a picture and its negative, does -1 come out?",
        ),
        Mistake(
            "a covariance: not divided by the spreads",
            _covariance,
            "Double the contrast of a: a correlation must not change.",
        ),
        Mistake(
            "the mean of the whole batch is subtracted",
            _batch_mean,
            "Each picture has a mean of its own.",
        ),
        Mistake(
            "one correlation for the whole batch",
            _whole_batch,
            "One number a picture is asked for: keep the first axis.",
        ),
        Mistake(
            "the root is missing",
            _no_root,
            "For a = b, does exactly 1 come out?",
        ),
        Mistake(
            "the root of the sum instead of the product",
            _root_of_sum,
            "For a = b, does exactly 1 come out?",
        ),
        Mistake(
            "a mean over n above, over n - 1 in the spreads",
            _mixed_counts,
            "For a = b, does exactly 1 come out?",
        ),
    ),
)
