"""Clouds of points: make them whole where a part is known, in two ways.

A cloud is (B, N, 3), and its points are in no order. What is known is told by `known` (B, N),
True where the point is given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib._validate import check_alike, check_float, check_int
from dmlib.models import NetDenoiser, predicts_v
from dmlib.models.points import CloudNet
from dmlib.parameterization import Denoiser, Guess, guess_from_x0
from dmlib.schedules import wide
from dmlib.steps import Move, Step


def visible(cloud: Tensor, normal: Tensor, offset: float | Tensor) -> Tensor:
    """Which points lie on the seen side of a plane: n . x > offset.

    Args:
        cloud: (B, N, 3).
        normal: (3,), or (B, 3) for a plane of each cloud's own.
        offset: a number, or (B,).

    Returns:
        (B, N), bool.

    Raises:
        ValueError: shapes do not fit.
    """
    if cloud.ndim != 3 or normal.shape[-1] != cloud.shape[-1]:
        raise ValueError(f"cloud (B, N, 3), normal (3,): got {cloud.shape}, {normal.shape}")
    height = (cloud * normal.view(-1, 1, cloud.shape[-1])).sum(-1)
    return height > torch.as_tensor(offset).to(cloud).view(-1, 1)


def some_of(seen: Tensor, count: int, *, generator: Generator | None = None) -> Tensor:
    """Of the seen points of each cloud `count` at random; all where fewer are seen.

    A fixed number: how many points are hidden would tell how large the hidden part is.

    Args:
        seen: (B, N), bool.
        count: >= 0.
        generator: on any device; torch's global one if None.

    Returns:
        (B, N), bool.

    Raises:
        ValueError: count is negative.
    """
    count = check_int("count", count, low=0)
    place = torch.device("cpu") if generator is None else generator.device
    lot = torch.rand(seen.shape, generator=generator, device=place).to(seen.device) * seen
    rank = lot.argsort(1, descending=True).argsort(1)
    return seen & (rank < count)


def completing(
    denoiser: NetDenoiser, cloud: Tensor, known: Tensor, *, y: Tensor | None = None
) -> Denoiser:
    """The denoiser of a network that is told which points are known, and where they are.

    The network sees the known points clean, and says E[x_0 | x_t, known] of the others, if it was
    trained so. Of the known ones the guess is the truth: x0_hat = x_0 there, so that any sampler
    ends at them exactly.
    Source: conditional diffusion on partial clouds as Zhou et al. 2021 (PVD), section 3.3; the
    book's equation eq-told.

    Args:
        denoiser: of a `CloudNet`, trained on partial shapes.
        cloud: (B, N, 3); only its known points are used.
        known: (B, N), bool.
        y: (B,) classes, None for "not told".

    Returns:
        A denoiser, (xt, t) -> Guess.

    Raises:
        ValueError: shapes do not fit, or the network is no CloudNet that predicts v.
    """
    net = getattr(denoiser, "net", None)
    if not isinstance(net, CloudNet) or denoiser.predicts != "v":
        raise ValueError(f"denoiser must be of a CloudNet that predicts v, got {type(net)}")
    known = _checked(cloud, known)

    def told(xt: Tensor, t: Tensor) -> Tensor:
        return net(torch.where(known, cloud.to(xt), xt), t, y, known=known[..., 0])

    inner = predicts_v(told, denoiser.path)

    def look(xt: Tensor, t: Any) -> Guess:
        x0_hat = torch.where(known, cloud.to(wide(xt)), inner(xt, t).x0_hat)
        return guess_from_x0(x0_hat, wide(xt), t, schedule=denoiser.path)

    return Denoiser(denoiser.path, look)


def keeping(step: Step, cloud: Tensor, known: Tensor) -> Step:
    """Replacement: after each step the known points are put in, noised to the level of x_prev.

    x_prev = a_prev x_0 + b_prev z where known. For any denoiser, trained for it or not.
    Source: Song et al. 2021 (score SDE), appendix I.2; the book's equation eq-replacement.

    Args:
        step: the rule, such as ddpm(); its noise is used for z.
        cloud: (B, N, 3); only its known points are used.
        known: (B, N), bool.

    Returns:
        A rule, rule(xt, guess, noise, move) -> x_prev.

    Raises:
        ValueError: shapes do not fit.
    """
    known = _checked(cloud, known)

    def rule(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        x_prev = step(xt, guess, noise, move)
        check_alike(xt=xt, noise=noise)
        _, _, a_prev, b_prev = move.levels
        put = a_prev * cloud.to(x_prev) + b_prev * wide(noise)
        return torch.where(known, put, x_prev)

    return rule


def _checked(cloud: Tensor, known: Tensor) -> Tensor:
    """`known` as (B, N, 1)."""
    check_float("cloud", cloud)
    if known.dtype != torch.bool or known.shape != cloud.shape[:2]:
        raise ValueError(
            f"known must be bool {tuple(cloud.shape[:2])}, got {known.dtype} {tuple(known.shape)}"
        )
    return known[..., None]
