"""What one hands to a training, looked at without waiting for the device."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor


def check_accelerator(accelerator: Any) -> None:
    """Raise unless `accelerator` leaves accumulation and precision to the `TrainConfig`."""
    if not hasattr(accelerator, "prepare"):
        raise ValueError(
            "accelerator must be an accelerate.Accelerator or a OneDevice, got "
            f"{accelerator!r}; try: OneDevice({accelerator!r})"
        )
    parts = getattr(accelerator, "gradient_accumulation_steps", 1)
    if parts != 1:
        raise ValueError(
            f"accelerator must have gradient_accumulation_steps = 1, got {parts}: it would divide "
            f"the loss once more; try: TrainConfig(accumulation={parts})"
        )
    precision = getattr(accelerator, "mixed_precision", "no")
    if precision not in ("no", "bf16"):
        raise ValueError(
            f'accelerator must have mixed_precision "no" or "bf16", got {precision!r}: nobody here '
            'rescales its gradients; try: mixed_precision="no", TrainConfig(precision="float16")'
        )


def check_batch(batch: Any, *, num_classes: int | None, null: int | Tensor | None = None) -> None:
    """Raise unless `batch` is (x0, y): (B, ...) floats, and (B,) int64 in 0..num_classes-1 or None.

    Where the network's `null` is a tensor (the tokens of a caption, a picture), y is (B, its
    shape) of its dtype.
    Values are looked at only where that is free: on the CPU.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(
            f"batches must yield pairs (x0, y), got {_described(batch)}; try: yield (x0, None) "
            "where there are no labels"
        )
    x0, y = batch
    if not isinstance(x0, Tensor):
        raise ValueError(f"x0 must be a torch.Tensor, got {_described(x0)}; try: torch.as_tensor")
    if not x0.is_floating_point():
        fix = "; try: x0.float() / 127.5 - 1" if x0.dtype == torch.uint8 else ""
        raise ValueError(f"x0 must be floating point (images in [-1, 1]), got {x0.dtype}{fix}")
    if x0.ndim < 2 or not x0.numel():
        raise ValueError(f"x0 must have shape (B, ...) with B >= 1, got {tuple(x0.shape)}")
    if y is not None and isinstance(null, Tensor):
        shape, kind = (len(x0), *null.shape), str(null.dtype).removeprefix("torch.")
        if getattr(y, "dtype", None) != null.dtype or y.shape != shape:
            raise ValueError(f"y must be of {kind}, {shape}, or None, got {_described(y)}")
    elif y is not None:
        if num_classes is None:
            raise ValueError(
                "batches hold labels, but net has no classes (num_classes is None); try: yield "
                "(x0, None), or give net its num_classes"
            )
        check_labels("y", y, size=len(x0), num_classes=num_classes)


def check_labels(name: str, y: Any, *, size: int, num_classes: int) -> None:
    """Raise unless `y` is (size,) int64 in 0..num_classes-1: the null class is no label.

    Values are looked at only where that is free: on the CPU.
    """
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (size,):
        raise ValueError(f"{name} must be an int64 tensor ({size},) or None, got {_described(y)}")
    if y.device.type == "cpu" and (int(y.min()) < 0 or int(y.max()) >= num_classes):
        raise ValueError(
            f"{name} must be in 0..{num_classes - 1}, got values from {int(y.min())} to "
            f"{int(y.max())} ({num_classes} is the null class); try: {name} - 1 where labels "
            "begin with 1"
        )


def fingerprint(images: Tensor, labels: Tensor | None) -> str:
    """SHA-256 of the values, shapes and dtypes of a run's data."""
    digest = hashlib.sha256()
    for x in (images, labels):
        digest.update(b"none" if x is None else f"{x.dtype} {tuple(x.shape)}".encode())
        for part in () if x is None else x.split(4096):
            digest.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _described(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor {tuple(x.shape)} of {x.dtype}"
    many = f" of {len(x)}" if isinstance(x, (tuple, list)) else ""
    return f"{type(x).__name__}{many}"
