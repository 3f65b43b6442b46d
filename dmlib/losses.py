"""What training minimises: the simple loss and its weights (the bound itself is bound.py)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from dmlib._validate import check_float, check_like, check_real, check_t
from dmlib.schedules import NoiseSchedule, check_schedule

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
        ValueError: a tensor is not finite floating point or shapes differ.
    """
    check_float("eps", eps)
    check_like("eps_hat", eps_hat, "eps", eps)
    if eps.ndim < 1 or eps.numel() == 0:
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
        (B,), float64; multiply with simple_loss(..., per_sample=True).

    Raises:
        ValueError: t is out of 1..T, gamma is not positive, prediction is none of the three.
    """
    check_schedule(schedule)
    gamma = check_real("gamma", gamma, "(0, inf]")
    batch = len(t) if isinstance(t, Tensor) and t.ndim == 1 else 1
    snr = schedule.snr.to(t.device if isinstance(t, Tensor) else "cpu")[
        check_t(t, schedule.T, batch=batch)
    ]
    if prediction == "x0":
        return snr.clamp(max=gamma)
    if prediction == "eps":
        return (gamma / snr).clamp(max=1)  # 1, not 0/0, where the SNR is 0
    if prediction == "v":
        return snr.clamp(max=gamma) / (snr + 1)
    raise ValueError(f"prediction must be 'eps', 'x0' or 'v', got {prediction!r}")
