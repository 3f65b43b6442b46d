"""Endless shuffled batches that can be entered anywhere, so that a run can go on where it was."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def shuffled(
    images: Tensor,
    labels: Tensor | None,
    *,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Go through the data again and again, in a new order each time; incomplete ends are dropped.

    Args:
        images: (N, C, H, W) uint8, or (N, ...) floats as they are.
        labels: (N,) int64 or None.
        batch_size: of all processes together.
        seed: decides the orders.
        start: number of batches that were used up before.
        share: (rank, processes): which part of each batch this process gets.

    Yields:
        x0, (batch_size / processes, ...), uint8 images brought to [-1, 1]; and y or None.

    Raises:
        ValueError: batch_size exceeds the data or cannot be shared out evenly; labels do not fit.
    """
    rank, processes = share
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"batch_size must be in 1..{len(images)} (the data), got {batch_size}")
    if batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of {processes} processes, got {batch_size}"
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"labels must have length {len(images)}, got {len(labels)}")
    return _endless(images, labels, batch_size // processes, seed, start, rank, processes)


def _endless(
    images: Tensor, labels: Tensor | None, size: int, seed: int, start: int, rank: int, of: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    per_epoch = len(images) // (size * of)
    epoch, skip = divmod(start, per_epoch)
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=generator)
        for i in range(skip, per_epoch):
            mine = order[(i * of + rank) * size :][:size]
            x = images[mine]
            x0 = x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x
            yield x0, None if labels is None else labels[mine]
        epoch, skip = epoch + 1, 0


def load_data(name: str, *, folder: str | None = None) -> tuple[Tensor, Tensor]:
    """TEMPORARY: swapped for dmlib.data."""
    root = Path(folder or "/usr/share/datasets/fashion-mnist")
    raw = gzip.decompress((root / "train-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    raw = gzip.decompress((root / "train-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, offset=8)
    n = 512 if name == "sample" else len(images)
    return torch.tensor(images[:n]), torch.tensor(labels[:n]).long()
