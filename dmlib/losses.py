"""What training minimises: the simple loss and its weights (the bound itself is bound.py)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from dmlib._validate import as_index, check_alike, check_choice, check_real, check_schedule
from dmlib.schedules import NoiseSchedule, at

Prediction = Literal["eps", "x0", "v"]


def simple_loss(eps_hat: Tensor, eps: Tensor, *, per_sample: bool = False) -> Tensor:
    """L_simple, the mean squared error of the predicted noise.

    L_simple = E[ ||eps - eps_hat||^2 ] / D, D the number of dimensions.
    Source: Ho et al. 2020, eq. 14 (there a sum over dimensions); the book's equation
    eq-simple-loss.

    Args:
        eps_hat: (B, ...), the network's answer at x_t and t.
        eps: (B, ...), the noise that made x_t.
        per_sample: give one value for each sample, to sort them by t or to weight them.

    Returns:
        One number, or (B,).

    Raises:
        ValueError: a tensor is not floating point or shapes differ.
    """
    check_alike(eps=eps, eps_hat=eps_hat)
    if not eps.numel():
        raise ValueError(f"eps must be (B, ...) and not empty, got {tuple(eps.shape)}")
    square = ((eps - eps_hat) ** 2).reshape(len(eps), -1).mean(1)  # (B,)
    return square if per_sample else square.mean()


def min_snr_weight(
    t: Tensor, *, schedule: NoiseSchedule, gamma: float = 5.0, prediction: Prediction = "eps"
) -> Tensor:
    """Weight of each sample's loss: steps with little noise count no more than gamma.

    In terms of x0 the weight is min(SNR(t), gamma). The same loss written with eps or v:
    w_eps = min(SNR, gamma) / SNR, w_v = min(SNR, gamma) / (SNR + 1).
    Source: Hang et al. 2023, eq. 8 and section 3.4; the book's equation eq-min-snr.

    Args:
        t: (B,) int64, in 1..T.
        schedule: the variance schedule.
        gamma: the cap, > 0; inf caps nothing.
        prediction: what the squared error is taken of.

    Returns:
        (B,), float64 (float32 on mps); multiply with simple_loss(..., per_sample=True).

    Raises:
        ValueError: t is out of 1..T, gamma is not positive, prediction is none of the three.
    """
    check_schedule(schedule)
    check_choice("prediction", prediction, ("eps", "x0", "v"))
    gamma = gamma if gamma == math.inf else check_real("gamma", gamma, low=0, open_low=True)
    t = as_index("t", t, batch=t.numel() if isinstance(t, Tensor) and t.ndim == 1 else 1)
    dtype = torch.float32 if t.device.type == "mps" else torch.float64
    snr = at(schedule.snr, t, torch.empty(t.numel(), dtype=dtype, device=t.device), low=1)
    if prediction == "x0":
        return snr.clamp(max=gamma)
    if prediction == "eps":
        return (gamma / snr).clamp(max=1)  # 1, not 0/0, where the SNR is 0
    return snr.clamp(max=gamma) / (snr + 1)
