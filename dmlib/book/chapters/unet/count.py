"""The exercises of chapter 4, the U-Net: shapes and parameters, counted with a pencil."""

from __future__ import annotations

from typing import Any

from torch import Generator

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]
Shapes = list[tuple[int, int]]


def _skips(image_size: int, widths: tuple[int, ...], blocks: int) -> Shapes:
    made = []
    for level, width in enumerate(widths):
        made += [(width, image_size // 2**level)] * blocks
    return made[::-1]


def _skip_cases(generator: Generator) -> Cases:
    cases = []
    for levels, blocks in ((3, 2), (2, 3), (4, 1)):
        widths = tuple(8 * (draw.integer(1, 3, generator=generator) + 3 * i) for i in range(levels))
        size = 2 ** (levels - 1) * draw.integer(2, 5, generator=generator)
        cases.append((size, widths, blocks))
    return cases


def _halved_first(image_size: int, widths: tuple[int, ...], blocks: int) -> Shapes:
    return _skips(image_size // 2, widths, blocks)


SKIP_SHAPES = Function(
    id="ex-unet-5",
    level="derive",
    title="Last in, first out",
    minutes=10,
    call="skip_shapes(image_size, widths, blocks)",
    cases=_skip_cases,
    reference=_skips,
    mistakes=(
        Mistake(
            "in the order in which they are made",
            lambda size, widths, blocks: _skips(size, widths, blocks)[::-1],
            "The way up begins at the bottom: the map that was made last is used first.",
        ),
        Mistake(
            "the widths are reversed, the sizes are not",
            lambda size, widths, blocks: [
                (c, s)
                for (c, _), (_, s) in zip(
                    _skips(size, widths, blocks), _skips(size, widths, blocks)[::-1], strict=True
                )
            ],
            "At the bottom the map is smallest: channels and side belong together.",
        ),
        Mistake(
            "one skip a level",
            lambda size, widths, blocks: _skips(size, widths, 1),
            "Every residual block hands its output over, so there are `blocks` of them a level.",
        ),
        Mistake(
            "halved before the first level",
            _halved_first,
            "The first level works at the size of the image; the halvings lie between levels.",
        ),
        Mistake(
            "all at full size",
            lambda size, widths, blocks: [(w, size) for w in widths[::-1] for _ in range(blocks)],
            "Each level after the first works at half the size of the one before.",
        ),
        Mistake(
            "twice the channels: what comes up is counted, too",
            lambda size, widths, blocks: [(2 * c, s) for c, s in _skips(size, widths, blocks)],
            "2 x width goes into the block; the skip alone brings one width.",
        ),
    ),
)


PARTS = ("norm_1", "conv_1", "scale_shift", "norm_2", "conv_2", "shortcut")


def _block(c_in: int, c_out: int, emb_dim: int) -> dict[str, int]:
    return {
        "norm_1": 2 * c_in,
        "conv_1": 9 * c_in * c_out + c_out,
        "scale_shift": emb_dim * 2 * c_out + 2 * c_out,
        "norm_2": 2 * c_out,
        "conv_2": 9 * c_out * c_out + c_out,
        "shortcut": 0 if c_in == c_out else c_in * c_out + c_out,
    }


def _other(c_in: int, c_out: int, emb_dim: int, **changed: int) -> dict[str, int]:
    return _block(c_in, c_out, emb_dim) | changed


def _unbiased(c_in: int, c_out: int, emb_dim: int) -> dict[str, int]:
    layers = {
        "conv_1": 9 * c_in * c_out,
        "scale_shift": emb_dim * 2 * c_out,
        "conv_2": 9 * c_out**2,
        "shortcut": 0 if c_in == c_out else c_in * c_out,
    }
    return _other(c_in, c_out, emb_dim, **layers)


def _block_cases(generator: Generator) -> Cases:
    eights = [8 * draw.integer(1, 9, generator=generator) for _ in range(3)]
    pairs = [(eights[0], eights[0] + 8), (eights[1], eights[1]), (eights[2] + 16, eights[2])]
    return [(c_in, c_out, 2 * draw.integer(5, 60, generator=generator)) for c_in, c_out in pairs]


BLOCK = Function(
    id="ex-unet-9",
    level="derive",
    title="Where do the parameters sit?",
    minutes=12,
    call="block_parameters(c_in, c_out, emb_dim)",
    terms=PARTS,
    cases=_block_cases,
    reference=_block,
    mistakes=(
        Mistake(
            "the biases are forgotten",
            _unbiased,
            "Each output channel of a convolution or a linear layer has one bias as well.",
        ),
        Mistake(
            "the shortcut always has weights",
            lambda a, b, e: _other(a, b, e, shortcut=a * b + b),
            "Where the channels stay the same, the shortcut hands x on as it is.",
        ),
        Mistake(
            "the shortcut is counted as a 3 x 3 convolution",
            lambda a, b, e: _other(a, b, e, shortcut=0 if a == b else 9 * a * b + b),
            "It only mixes channels: its kernel is 1 x 1.",
        ),
        Mistake(
            "one number a channel from the embedding, not two",
            lambda a, b, e: _other(a, b, e, scale_shift=e * b + b),
            "Each channel gets a scale and a shift.",
        ),
        Mistake(
            "the 9 of the kernel is missing",
            lambda a, b, e: _other(a, b, e, conv_1=a * b + b, conv_2=b * b + b),
            "A 3 x 3 kernel has 9 weights for each pair of channels.",
        ),
        Mistake(
            "GroupNorm with a weight and a bias a group",
            lambda a, b, e: _other(a, b, e, norm_1=16, norm_2=16),
            "Mean and variance are taken a group; the weight and the bias belong to a channel.",
        ),
    ),
)
