"""Garments whose law is known, and garments that nothing here was trained on: no download."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dmlib.data.stored import shipped_arrays
from dmlib.mixture import LowRankMixture


def garment_mixture() -> LowRankMixture:
    """A mixture of low-rank Gaussians fitted to Fashion-MNIST, images in [-1, 1] as rows of 784.

    Its samples look like garments, and every posterior of it has a closed form.
    Source: Tipping & Bishop 1999; the card dmlib/assets/garment_mixture.json says how it was
    fitted.

    Raises:
        DataError: the file in the installed package is missing or not the one that was shipped.
    """
    return unpacked(shipped_arrays("garment_mixture"))


def unseen_garments() -> Tensor:
    """100 images of the test split of Fashion-MNIST, (100, 28, 28) uint8: image i of class i % 10.

    Neither a network nor the mixture of this package was trained on them.
    Source: Xiao et al. 2017 (MIT licence, copyright Zalando SE).

    Raises:
        DataError: the file in the installed package is missing or not the one that was shipped.
    """
    return torch.from_numpy(shipped_arrays("garment_mixture")["unseen"])


def unpacked(arrays: dict[str, np.ndarray]) -> LowRankMixture:
    """The mixture of 8-bit codes (K, 1 + R, D): a mean and R factors each, rows times `scale`."""
    code, scale = (torch.from_numpy(arrays[name]).double() for name in ("codes", "scale"))
    rows = code * scale[..., None]
    axes, spread, _ = torch.linalg.svd(rows[:, 1:].mT, full_matrices=False)
    weights, stds = (torch.from_numpy(arrays[name]).double()[None] for name in ("weights", "stds"))
    return LowRankMixture(weights / weights.sum(), rows[None, :, 0], axes, spread[None] ** 2, stds)
