"""Endless shuffled batches that can be entered anywhere, so that a run can go on where it was."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dmlib._validate import check_int
from dmlib.data import cifar10, fashion_mnist, fashion_sample


def shuffled(
    images: Tensor,
    labels: Tensor | None,
    *,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
    flips: bool = False,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Go through the data again and again, in a new order each time; incomplete ends are dropped.

    Args:
        images: (N, C, H, W) uint8, or (N, ...) floats as they are; N >= 1.
        labels: (N,) int64 or None.
        batch_size: of all processes together.
        seed: decides the orders.
        start: number of batches that were used up before, >= 0.
        flips: turn every other image round, left and right, drawn anew in each epoch.
        share: (rank, processes): which part of each batch this process gets; 0 <= rank < processes.

    Yields:
        x0, (batch_size / processes, ...), uint8 images brought to [-1, 1]; and y or None.

    Raises:
        ValueError: batch_size exceeds the data or cannot be shared out evenly; images or labels
            are no such tensors; start or share is out of its range.
    """
    _check_data(images, labels)
    rank, processes = share
    if not 0 <= rank < processes:
        raise ValueError(f"share must be (rank, processes) with 0 <= rank < processes, got {share}")
    start, batch_size = check_int("start", start, low=0), check_int("batch_size", batch_size)
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"batch_size must be in 1..{len(images)} (the data), got {batch_size}")
    if batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of {processes} processes, got {batch_size}"
        )
    size = batch_size // processes
    return _endless(images, labels, size, seed, start, rank, processes, flips)


def _check_data(images: Tensor, labels: Tensor | None) -> None:
    """Raise unless these are images, or points, with their labels."""
    for name, x in (("images", images), ("labels", labels)):
        if not isinstance(x, Tensor) and not (name == "labels" and x is None):
            raise ValueError(
                f"{name} must be a torch.Tensor, got {type(x).__name__}; try: "
                f"torch.as_tensor({name})"
            )
    if not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(f"images must be uint8 or floating point, got {images.dtype}")
    if images.ndim < 2 or not images.numel():
        raise ValueError(f"images must have shape (N, ...) with N >= 1, got {tuple(images.shape)}")
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != images.shape[:1]):
        raise ValueError(
            f"labels must be int64 of shape ({len(images)},), got {labels.dtype} of shape "
            f"{tuple(labels.shape)}; try: labels.flatten().long(), if these are the classes"
        )


def _endless(
    images: Tensor,
    labels: Tensor | None,
    size: int,
    seed: int,
    start: int,
    rank: int,
    of: int,
    flips: bool,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    per_epoch = len(images) // (size * of)
    epoch, skip = divmod(start, per_epoch)
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=generator)
        turned = torch.rand(len(images), generator=generator) < 0.5
        for i in range(skip, per_epoch):
            mine = order[(i * of + rank) * size :][:size]
            x = images[mine]
            x0 = x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x
            if flips:
                turn = turned[mine].view(-1, *(1,) * (x0.ndim - 1)).to(x0.device)
                x0 = torch.where(turn, x0.flip(-1), x0)
            yield x0, None if labels is None else labels[mine]
        epoch, skip = epoch + 1, 0


# Data for recipes: folder -> images (N, C, H, W) uint8 and labels (N,) int64. `folder` is where
# the files lie, or shall be kept; None is the system's cache. They raise DataError.


def sample(folder: str | None = None) -> tuple[Tensor, Tensor]:
    """2,000 images of Fashion-MNIST that come with dmlib; `folder` is not needed."""
    images, labels = fashion_sample()
    return images[:, None], labels


def fashion(folder: str | None = None) -> tuple[Tensor, Tensor]:
    """The 60,000 training images of Fashion-MNIST, read from the folder or downloaded into it."""
    images, labels = fashion_mnist(cache=folder)
    return images[:, None], labels


def cifar(folder: str | None = None) -> tuple[Tensor, Tensor]:
    """The 50,000 training images of CIFAR-10, read from the folder or downloaded into it."""
    return cifar10(cache=folder)
