"""The exercises of chapter 4, the U-Net: its two layers that are not convolutions."""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


GROUP_EPS = 1e-5


def _group_norm(x: Tensor, groups: int) -> Tensor:
    h = x.unflatten(1, (groups, -1))  # (B, groups, C/groups, H, W)
    mean = h.mean((2, 3, 4), keepdim=True)
    var = ((h - mean) ** 2).mean((2, 3, 4), keepdim=True)
    return ((h - mean) / (var + 1e-5).sqrt()).flatten(1, 2)


def _norm_cases(generator: Generator) -> Cases:
    # A faint input, too: there the 1e-5 under the root counts.
    return [
        (
            scale * (draw.normal(3, C, 2, 3, generator=generator) + 1),
            groups,
        )
        for C, groups, scale in ((6, 2, 1.0), (8, 4, 3.0), (6, 3, 0.004))
    ]


def _normed(h: Tensor, axes: tuple[int, ...], *, power: float = 0.5, off: float = 1e-5) -> Tensor:
    centred = h - h.mean(axes, keepdim=True)
    return centred / ((centred**2).mean(axes, keepdim=True) + off) ** power


def _grouped(x: Tensor, groups: int, **how: Any) -> Tensor:
    return _normed(x.unflatten(1, (groups, -1)), (2, 3, 4), **how).flatten(1, 2)


def _unbiased(x: Tensor, groups: int) -> Tensor:
    h = x.unflatten(1, (groups, -1)).flatten(2)
    h = (h - h.mean(2, keepdim=True)) / (h.var(2, keepdim=True) + GROUP_EPS).sqrt()
    return h.reshape(x.shape)


def _interleaved(x: Tensor, groups: int) -> Tensor:
    h = x.unflatten(1, (-1, groups))
    return _normed(h, (1, 3, 4)).flatten(1, 2)


GROUP_NORM = Function(
    id="ex-unet-6",
    level="build",
    title="GroupNorm by hand",
    minutes=12,
    call="my_group_norm(x, groups)",
    cases=_norm_cases,
    reference=_group_norm,
    forbidden=("group_norm", "native_group_norm", "layer_norm", "batch_norm", "instance_norm"),
    mistakes=(
        Mistake(
            "the whole batch shares its mean: that is a kind of BatchNorm",
            lambda x, g: _normed(x.unflatten(1, (g, -1)), (0, 2, 3, 4)).flatten(1, 2),
            "Each picture is normed alone: leave axis 0 out of the mean.",
        ),
        Mistake(
            "each channel for itself: InstanceNorm",
            lambda x, g: _normed(x, (2, 3)),
            "The C/groups channels of a group share one mean and one variance.",
        ),
        Mistake(
            "all channels together: LayerNorm",
            lambda x, g: _normed(x, (1, 2, 3)),
            "There are `groups` groups, each with a mean and a variance of its own.",
        ),
        Mistake(
            "divided by the variance, not by its root",
            lambda x, g: _grouped(x, g, power=1.0),
            "To get variance 1, divide by the standard deviation.",
        ),
        Mistake(
            "variance with n - 1",
            _unbiased,
            "torch's var divides by n - 1 unless told otherwise; here it is the plain mean.",
        ),
        Mistake(
            "the 1e-5 under the root is missing",
            lambda x, g: _grouped(x, g, off=0.0),
            "Where the input is faint, var + 1e-5 is clearly more than var.",
        ),
        Mistake(
            "every groups-th channel makes a group",
            _interleaved,
            "A group is a run of neighbouring channels: the first C/groups make the first one.",
        ),
    ),
)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def _weighted(q: Tensor, k: Tensor, v: Tensor, factor: float, axis: int = -1) -> Tensor:
    return (factor * q @ k.transpose(-1, -2)).softmax(axis) @ v


def _bare_exp(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def _token_cases(generator: Generator) -> Cases:
    def draws(N: int, D: int) -> tuple[Tensor, ...]:
        return tuple(draw.normal(2, N, D, generator=generator) for _ in range(3))

    q, k, v = draws(4, 3)
    # Scores in the thousands, whose exponentials are beyond every float.
    return [draws(5, 3), draws(4, 4), draws(6, 8), (3000 * q, k, v)]


ATTENTION = Function(
    id="ex-unet-8",
    level="build",
    title="Attention, softmax included",
    minutes=12,
    call="my_attention(q, k, v)",
    cases=_token_cases,
    reference=_attention,
    forbidden=(
        "softmax",
        "log_softmax",
        "logsumexp",
        "scaled_dot_product_attention",
        "attend",
        "multi_head_attention_forward",
    ),
    mistakes=(
        Mistake(
            "the exponential of a large score is infinite",
            _bare_exp,
            "exp(1000) is no float. Subtract the largest score of the row from all of them first.",
        ),
        Mistake(
            "the division by sqrt(D) is missing",
            lambda q, k, v: _weighted(q, k, v, 1.0),
            "A product of D random numbers has variance D: without the root the softmax saturates.",
        ),
        Mistake(
            "divided by D, not by its root",
            lambda q, k, v: _weighted(q, k, v, 1 / q.shape[-1]),
            "Variance D means standard deviation sqrt(D).",
        ),
        Mistake(
            "divided by the root of the number of tokens",
            lambda q, k, v: _weighted(q, k, v, q.shape[-2] ** -0.5),
            "D is the length of one query, the last axis.",
        ),
        Mistake(
            "softmax over the queries",
            lambda q, k, v: _weighted(q, k, v, q.shape[-1] ** -0.5, axis=-2),
            "The weights with which one query looks at all keys add up to 1: over the last axis.",
        ),
        Mistake(
            "keys and queries are exchanged",
            lambda q, k, v: _weighted(k, q, v, q.shape[-1] ** -0.5),
            "Row i of the weights belongs to query i.",
        ),
        Mistake(
            "no softmax",
            lambda q, k, v: q @ k.transpose(-1, -2) @ v / math.sqrt(q.shape[-1]),
            "Weights must be positive and add up to 1.",
        ),
    ),
)
