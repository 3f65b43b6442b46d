"""Conditioning and guidance: wrappers that turn net(xt, t, y) into a denoiser (xt, t) -> eps_hat.

A sampler knows nothing of classes. It calls a denoiser; what that denoiser is asked for, and how
hard, is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, "int | Tensor"], Tensor]
Conditional = Callable[[Tensor, "int | Tensor", "Tensor | None"], Tensor]


def conditioned(net: Conditional, y: int | Tensor) -> Denoiser:
    """The denoiser of p(x | y): eps_hat = net(x_t, t, y), y fixed.

    Args:
        net: answers net(xt, t, y) -> eps_hat.
        y: one class for all, or (B,) integers, a class for each sample.

    Returns:
        A denoiser, (xt, t) -> eps_hat.

    Raises:
        ValueError: y holds no integers; and at a call, y does not have xt's batch size.
    """
    _check_y(y)

    def denoiser(xt: Tensor, t: int | Tensor) -> Tensor:
        return net(xt, t, _labels(y, xt))

    return denoiser


def guided(net: Conditional, y: int | Tensor, *, guidance_scale: float) -> Denoiser:
    """Classifier-free guidance: go further in the direction in which the class points.

    eps_hat = net(x_t, t, none) + guidance_scale (net(x_t, t, y) - net(x_t, t, none)).
    0 asks for no class at all, 1 for the class as it is, more for the class and less variety.
    Source: Ho & Salimans 2022, eq. 6 (their w is guidance_scale - 1); the book's equation
    eq-guidance.

    Args:
        net: answers net(xt, t, y) -> eps_hat, and without a class for y = None.
        y: one class for all, or (B,) integers, a class for each sample.
        guidance_scale: any finite number. Two calls of the network a step, except at 0 and 1.

    Returns:
        A denoiser, (xt, t) -> eps_hat.

    Raises:
        ValueError: y holds no integers or guidance_scale is not finite; and at a call, y does
            not have xt's batch size.
    """
    _check_y(y)
    if isinstance(guidance_scale, bool) or not isinstance(guidance_scale, (int, float)):
        kind = type(guidance_scale).__name__
        raise ValueError(f"guidance_scale must be a number, got {kind}")
    if not math.isfinite(guidance_scale):
        raise ValueError(f"guidance_scale must be finite, got {guidance_scale}")

    def denoiser(xt: Tensor, t: int | Tensor) -> Tensor:
        labels = _labels(y, xt)
        if guidance_scale == 1:
            return net(xt, t, labels)
        eps_uncond = net(xt, t, None)
        if guidance_scale == 0:
            return eps_uncond
        eps_cond = net(xt, t, labels)
        return eps_uncond + guidance_scale * (eps_cond - eps_uncond)

    return denoiser


def _check_y(y: int | Tensor) -> None:
    if isinstance(y, bool) or not isinstance(y, (int, Tensor)):
        raise ValueError(f"y must be an int or an int64 tensor (B,), got {type(y).__name__}")
    if isinstance(y, Tensor):
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise ValueError(f"y must hold integers, got {y.dtype}; mend: y.long()")
        if y.ndim > 1:
            raise ValueError(f"y must have shape (B,), got {tuple(y.shape)}")


def _labels(y: int | Tensor, xt: Tensor) -> Tensor:
    """y as (B,) int64 on the device of xt."""
    labels = torch.as_tensor(y, device=xt.device).long()
    if labels.ndim == 0:
        return labels.expand(len(xt))
    if len(labels) != len(xt):
        raise ValueError(f"y must have shape (B,) = ({len(xt)},), got {tuple(labels.shape)}")
    return labels
