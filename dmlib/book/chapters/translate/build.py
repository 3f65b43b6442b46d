"""The exercises of the chapter on networks that are shown a picture: the pieces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _psnr(x: Tensor, truth: Tensor) -> Tensor:
    return 10 * torch.log10(4 / (x - truth).square().flatten(1).mean(1))


def _psnr_cases(generator: Generator) -> Cases:
    cases = []
    for size in (4, 6):
        truth = draw.pictures(3, size, generator=generator)
        off = torch.tensor([0.05, 0.2, 0.6], dtype=torch.float64).view(3, 1, 1, 1)
        cases.append((truth + off * draw.normal(*truth.shape, generator=generator), truth))
    return cases


def _square(x: Tensor, truth: Tensor) -> Tensor:
    return (x - truth).square().flatten(1).mean(1)


PEAK = Function(
    id="ex-translate-4",
    level="build",
    title="Decibels",
    minutes=6,
    call="my_psnr(x, truth)",
    cases=_psnr_cases,
    reference=_psnr,
    mistakes=(
        Mistake(
            "the range is taken for 1",
            lambda x, y: 10 * torch.log10(1 / _square(x, y)),
            "From -1 to 1 it is 2, and its square is 4. For pictures in [0, 1] you would be right.",
        ),
        Mistake(
            "the range is not squared",
            lambda x, y: 10 * torch.log10(2 / _square(x, y)),
            "Above the line stands the largest possible *square* error.",
        ),
        Mistake(
            "the root of the square error",
            lambda x, y: 10 * torch.log10(4 / _square(x, y).sqrt()),
            "Squares above and below the line, or roots in both places and a factor 20.",
        ),
        Mistake(
            "a factor 20",
            lambda x, y: 20 * torch.log10(4 / _square(x, y)),
            "20 belongs to the ratio of sizes, 10 to that of their squares.",
        ),
        Mistake(
            "the natural logarithm",
            lambda x, y: 10 * torch.log(4 / _square(x, y)),
            "A decibel is ten times the logarithm to the base 10.",
        ),
        Mistake(
            "one number for the whole batch",
            lambda x, y: (10 * torch.log10(4 / (x - y).square().mean())).expand(len(x)),
            "Each picture has its own PSNR. The logarithm of a mean is not the mean of logarithms.",
        ),
        Mistake(
            "the sum of the squares, not their mean",
            lambda x, y: 10 * torch.log10(4 / (x - y).square().flatten(1).sum(1)),
            "Divide by the number of pixels, or larger pictures get worse figures.",
        ),
        Mistake(
            "the sign",
            lambda x, y: -_psnr(x, y),
            "Nearer to the truth is more decibels.",
        ),
    ),
)


def _enlarged(y: Tensor, f: int) -> Tensor:
    return y.repeat_interleave(f, 2).repeat_interleave(f, 3)


def _xt(x0: Tensor, eps: Tensor, bar: Tensor) -> Tensor:
    bar = bar.view(-1, 1, 1, 1)
    return bar.sqrt() * x0 + (1 - bar).sqrt() * eps


def _input(x0: Tensor, eps: Tensor, alpha_bar_t: Tensor, f: int) -> Tensor:
    given = _enlarged(F.avg_pool2d(x0, f), f)
    return torch.cat([_xt(x0, eps, alpha_bar_t), given], dim=1)


def _input_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(3, 1, 2 * f, 3 * f, generator=generator),
            draw.normal(3, 1, 2 * f, 3 * f, generator=generator),
            0.1 + 0.8 * torch.rand(3, generator=generator, dtype=torch.float64),
            f,
        )
        for f in (2, 3)
    ]


def _two(xt: Tensor, given: Tensor) -> Tensor:
    return torch.cat([xt, given], dim=1)


INPUT = Function(
    id="ex-translate-5",
    level="build",
    title="What the network is shown",
    minutes=10,
    call="network_input(x0, eps, alpha_bar_t, f)",
    cases=_input_cases,
    reference=_input,
    mistakes=(
        Mistake(
            "the noisy picture is made small",
            lambda x, e, bar, f: _two(
                _xt(x, e, bar), _enlarged(F.avg_pool2d(_xt(x, e, bar), f), f)
            ),
            "y is what is known of the clean picture; it has no noise, at any t.",
        ),
        Mistake(
            "what is given comes first",
            lambda x, e, bar, f: _two(_enlarged(F.avg_pool2d(x, f), f), _xt(x, e, bar)),
            "The statement wants x_t first. Another order would do as well, if training and "
            "sampling agree.",
        ),
        Mistake(
            "y is noised, too",
            lambda x, e, bar, f: _two(
                _xt(x, e, bar), _xt(_enlarged(F.avg_pool2d(x, f), f), e, bar)
            ),
            "The condition is not part of the process: it is shown as it is.",
        ),
        Mistake(
            "tiles instead of blocks",
            lambda x, e, bar, f: _two(_xt(x, e, bar), F.avg_pool2d(x, f).repeat(1, 1, f, f)),
            "Each value must fill the block that it is the mean of.",
        ),
        Mistake(
            "every f-th pixel instead of the mean",
            lambda x, e, bar, f: _two(_xt(x, e, bar), _enlarged(x[:, :, ::f, ::f], f)),
            "y holds the means of the blocks, not one of their pixels.",
        ),
        Mistake(
            "the largest instead of the mean",
            lambda x, e, bar, f: _two(_xt(x, e, bar), _enlarged(F.max_pool2d(x, f), f)),
            "y holds the means of the blocks.",
        ),
        Mistake(
            "linear between the blocks' centres",
            lambda x, e, bar, f: _two(
                _xt(x, e, bar),
                F.interpolate(F.avg_pool2d(x, f), scale_factor=f, mode="bilinear"),
            ),
            "Each pixel is to get its own block's value.",
        ),
        Mistake(
            "no roots",
            lambda x, e, bar, f: _two(
                _xt(x, e, bar**2) * 0 + bar.view(-1, 1, 1, 1) * x + (1 - bar.view(-1, 1, 1, 1)) * e,
                _enlarged(F.avg_pool2d(x, f), f),
            ),
            "alpha_bar and 1 - alpha_bar are variances. What multiplies x0 and eps?",
        ),
        Mistake(
            "beside each other in the batch, not in the channels",
            lambda x, e, bar, f: torch.cat(
                [_xt(x, e, bar), _enlarged(F.avg_pool2d(x, f), f)], dim=0
            ),
            "A convolution sees channels together, the pictures of a batch never.",
        ),
    ),
)


def _consistent(x: Tensor, y: Tensor) -> Tensor:
    f = x.shape[-1] // y.shape[-1]
    return x + _enlarged(y - F.avg_pool2d(x, f), f)


def _consistent_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(2, 1, 2 * f, 3 * f, generator=generator),
            draw.normal(2, 1, 2, 3, generator=generator),
        )
        for f in (2, 3)
    ]


def _by(x: Tensor, y: Tensor, scale: float) -> Tensor:
    f = x.shape[-1] // y.shape[-1]
    return x + scale * _enlarged(y - F.avg_pool2d(x, f), f)


CONSISTENT = Function(
    id="ex-translate-7",
    level="build",
    title="Make it fit",
    minutes=8,
    call="fitted_to(x, y)",
    cases=_consistent_cases,
    reference=_consistent,
    mistakes=(
        Mistake(
            "y itself is added",
            lambda x, y: x + _enlarged(y, x.shape[-1] // y.shape[-1]),
            "Add what is *missing*: y minus the means that x has already.",
        ),
        Mistake(
            "the sign",
            lambda x, y: _by(x, y, -1.0),
            "If the block is too dark, it must become brighter.",
        ),
        Mistake(
            "the correction is shared out among the pixels of a block",
            lambda x, y: _by(x, y, 1 / (x.shape[-1] // y.shape[-1]) ** 2),
            "If every pixel of a block rises by d, so does its mean.",
        ),
        Mistake(
            "all details are lost: blocks of y",
            lambda x, y: _enlarged(y, x.shape[-1] // y.shape[-1]),
            "That fits, but is farther from x than need be.",
        ),
        Mistake(
            "the correction is laid out as tiles",
            lambda x, y: (
                x
                + (y - F.avg_pool2d(x, x.shape[-1] // y.shape[-1])).repeat(
                    1, 1, *[x.shape[-1] // y.shape[-1]] * 2
                )
            ),
            "Each correction belongs to its own block.",
        ),
        Mistake(
            "only the mean of the whole picture fits",
            lambda x, y: x + (y.mean((2, 3)) - x.mean((2, 3)))[..., None, None],
            "Each block has its own mean in y.",
        ),
        Mistake(
            "each block is multiplied, not shifted",
            lambda x, y: (
                x
                * _enlarged(
                    y / F.avg_pool2d(x, x.shape[-1] // y.shape[-1]), x.shape[-1] // y.shape[-1]
                )
            ),
            "That fits as well, but it is not the nearest picture: and where a mean is near 0, it "
            "explodes.",
        ),
    ),
)
