"""The sample of real images that comes with dmlib: no download."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dmlib.data.stored import shipped_arrays


def fashion_sample() -> tuple[Tensor, Tensor]:
    """2,000 images from the training split of Fashion-MNIST, 200 of each class.

    The classes take turns: image i is of class i % 10, so any ten in a row show one of each.
    Source: Xiao et al. 2017 (MIT licence, copyright Zalando SE); the card
    dmlib/assets/fashion_sample.json says how the images were drawn.

    Returns:
        images (2000, 28, 28) uint8 and labels (2000,) int64; names in `CLASS_NAMES`.

    Raises:
        DataError: the file in the installed package is missing or not the one that was shipped.
    """
    stored = shipped_arrays("fashion_sample")
    return torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"].astype(np.int64))


def fashion_sample_indices() -> Tensor:
    """Where the sample's images stand in the training split, (2000,) int64, 0..59999."""
    return torch.from_numpy(shipped_arrays("fashion_sample")["indices"].astype(np.int64))
