"""Grey levels 0..255 to [-1, 1] and back."""

from __future__ import annotations

import torch
from torch import Tensor

from dmlib._validate import check_float


def to_unit(images: Tensor) -> Tensor:
    """Bring grey levels to [-1, 1]: centred, like the noise that will be added.

    x0 = images / 127.5 - 1, so 0 becomes exactly -1 and 255 exactly +1.
    Source: Ho et al. 2020, section 3.3.

    Args:
        images: uint8, (N, H, W) grey or (N, C, H, W).

    Returns:
        float32, (N, C, H, W) with C = 1 for grey images.

    Raises:
        ValueError: images is not uint8 or has another number of axes.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a uint8 tensor of grey levels 0..255, got {kind}")
    if images.ndim not in (3, 4):
        raise ValueError(
            f"images must have shape (N, H, W) or (N, C, H, W), got {tuple(images.shape)}"
        )
    if images.ndim == 3:
        images = images[:, None]
    return images.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Bring values to grey levels: the exact inverse of `to_unit`, for whatever can be shown.

    round(127.5 (x + 1)), cut to 0..255: a drawn sample may lie a little outside [-1, 1].

    Args:
        x: (N, C, H, W), floating point, finite.

    Returns:
        uint8, (N, H, W) if C = 1, else (N, C, H, W): to_uint8(to_unit(images)) is images for
        grey images (N, H, W) and for colour images (N, C, H, W).

    Raises:
        ValueError: x is not floating point, not finite or not of four axes.
    """
    check_float("x", x)
    if x.ndim != 4:
        raise ValueError(f"x must have shape (N, C, H, W), got {tuple(x.shape)}")
    levels = ((x.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels[:, 0] if levels.shape[1] == 1 else levels


def check_range(name: str, images: Tensor) -> None:
    """Look at all values of images once: NaN, 0..255 and 0..1 train in silence, and to nothing.

    Args:
        name: of the argument, for the message.
        images: (N, ...), uint8 grey levels or floats.

    Raises:
        ValueError: they are neither grey levels 0..255 nor floats in [-1, 1]; says how to fix it.
    """
    if not images.is_floating_point():
        if int(images.max()) <= 1:
            raise ValueError(
                f"{name} must be grey levels 0..255, got {images.dtype} with no value above 1: all "
                f"would be black; try: {name} * 255"
            )
        return
    check_float(name, images)
    check_signed(name, images)
    largest = float(images.abs().max())
    if largest > 1 + 1e-3:
        raise ValueError(
            f"{name} must lie in [-1, 1], got values up to {largest:g} away from 0; try: "
            f"{name} / {name}.abs().max()"
        )


def check_signed(name: str, images: Tensor) -> None:
    """Raise if floats look like 0..255 or 0..1: in [-1, 1] something is darker than grey."""
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high > 0:
        fix = f"{name} / 127.5 - 1" if high > 1 else f"{name} * 2 - 1"
        raise ValueError(
            f"{name} must lie in [-1, 1], got values from {low:g} to {high:g}; try: {fix}"
        )
