"""Bad input at a public entry: one place that says what was wrong and what was expected."""

from __future__ import annotations

import torch
from torch import Tensor


def check_float(name: str, x: Tensor) -> None:
    """Raise unless `x` is a floating-point tensor without NaN or infinity."""
    check_floating(name, x)
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite value(s)")


def check_floating(name: str, x: Tensor) -> None:
    """Raise unless `x` is a floating-point tensor that holds values."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {x.dtype}; mend: {name}.float()")
    check_values(name, x)


def check_values(name: str, x: Tensor) -> None:
    """Raise unless `x` holds values that can be computed with."""
    if x.is_meta:
        raise ValueError(f"{name} must hold values, got a tensor on the device meta")
    if x.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got {x.layout}; mend: {name}.to_dense()")


def check_like(name: str, x: Tensor, like_name: str, like: Tensor) -> None:
    """Raise unless `x` is a clean float tensor of the shape and device of `like`."""
    check_float(name, x)
    if x.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape of {like_name}, {tuple(like.shape)}, got {tuple(x.shape)}"
        )
    if x.device != like.device:
        raise ValueError(
            f"{name} must be on the device of {like_name}, {like.device}, got {x.device}"
        )


def check_t(t: int | Tensor, T: int, *, low: int = 1, batch: int, name: str = "t") -> Tensor:
    """Return `t` as an int64 tensor of shape (B,), all in low..T, or raise ValueError."""
    if isinstance(t, bool) or not isinstance(t, (int, Tensor)):
        raise ValueError(f"{name} must be an int or an int64 tensor, got {type(t).__name__}")
    if isinstance(t, int):
        t = torch.full((batch,), t, dtype=torch.int64)
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, got {t.dtype}; mend: {name}.long()")
    check_values(name, t)
    t = t.long()
    if t.ndim == 0:
        t = t.expand(batch)
    if t.shape != (batch,):
        raise ValueError(f"{name} must have shape (B,) = ({batch},), got {tuple(t.shape)}")
    if t.numel() and (int(t.min()) < low or int(t.max()) > T):
        raise ValueError(
            f"{name} must be in {low}..{T}, got values from {int(t.min())} to {int(t.max())}"
        )
    return t
