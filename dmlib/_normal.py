"""What the bound needs of normal laws: their divergence, and their mass in the bin of a level."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def normal_kl(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor) -> Tensor:
    """KL( N(mean_p, var_p) || N(mean_q, var_q) ) of each dimension, in nats.

    KL = (log(var_q / var_p) + (var_p + (mean_p - mean_q)^2) / var_q - 1) / 2.
    Source: Kullback 1959, chapter 9; the book's equation eq-normal-kl.

    Args:
        mean_p, var_p, mean_q, var_q: shapes that broadcast; variances positive.

    Returns:
        The broadcast shape.
    """
    return ((var_q / var_p).log() + (var_p + (mean_p - mean_q) ** 2) / var_q - 1) / 2


def log_bin_mass(level: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """log of the mass of N(mu, sigma^2) in the bin of a grey level (eq-bound-L0), in nats.

    Args:
        level: int64, 0..255.
        mu, sigma: float64, shapes that broadcast with level; sigma positive.

    Raises:
        ValueError: a level lies outside 0..255.
    """
    if bool(((level < 0) | (level > 255)).any()):
        raise ValueError(
            f"level must lie in 0..255, got values from {int(level.min())} to {int(level.max())}"
        )
    x = level.double() / 127.5 - 1
    low = ((x - 1 / 255 - mu) / sigma).masked_fill(level == 0, -math.inf)
    high = ((x + 1 / 255 - mu) / sigma).masked_fill(level == 255, math.inf)
    # By symmetry work in the left tail: there log Phi loses no digits, 1 - Phi would.
    swap = low + high > 0
    low, high = torch.where(swap, -high, low), torch.where(swap, -low, high)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return log_high + torch.log1p(-(log_low - log_high).exp())
