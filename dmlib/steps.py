"""The steps of the samplers: pure functions of x_t, the network's eps_hat and fresh noise."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from dmlib._validate import check_float, check_int, check_like, check_real
from dmlib.schedules import NoiseSchedule, check_schedule

Variance = Literal["beta_tilde", "beta"]


class Step(Protocol):
    """A step rule: `ddim_step`, `ddpm_step`, what `ddim()`, `ddpm()`, `dpm_solver()` give."""

    def __call__(
        self,
        xt: Tensor,
        eps_hat: Tensor,
        noise: Tensor,
        *,
        t: int,
        t_prev: int,
        schedule: NoiseSchedule,
    ) -> Tensor: ...


def ddpm_step(
    xt: Tensor,
    eps_hat: Tensor,
    noise: Tensor | None,
    *,
    t: int,
    schedule: NoiseSchedule,
    t_prev: int | None = None,
    variance: Variance = "beta_tilde",
) -> Tensor:
    """Sample p(x_{t-1} | x_t) = N(x_{t-1}; mu(x_t, t), sigma_t^2 I), the step of DDPM.

    x_{t-1} = (x_t - beta_t / sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_t) + sigma_t noise,
    and no noise in the step to x_0. A step over several t has alpha = alpha_bar_t /
    alpha_bar_{t_prev} and beta = 1 - alpha.
    Source: Ho et al. 2020, eq. 11 and algorithm 2 (strides: Nichol & Dhariwal 2021, section 4);
    the book's equation eq-ddpm-step.

    Args:
        xt, eps_hat: (B, ...), where we are and the network's answer there.
        noise: (B, ...), standard normal; may be None where t_prev = 0.
        t: where we are, in 1..T.
        schedule: the variance schedule.
        t_prev: where to, in 0..t-1; t - 1 if None.
        variance: sigma_t^2 is beta_tilde_t (right for one-point data) or beta_t (for normal data).

    Returns:
        x_{t_prev}, (B, ...), in the dtype of xt.

    Raises:
        ValueError: a tensor or a number does not fit, or alpha_bar_t = 0.
    """
    t_prev = check_int("t", t) - 1 if t_prev is None else t_prev
    bar_t, bar_prev = _bars(xt, eps_hat, t, t_prev, schedule)
    _check_variance(variance)
    alpha = bar_t / bar_prev
    beta = 1 - alpha
    x, e = _wide(xt), _wide(eps_hat)
    x_prev = (x - beta / math.sqrt(1 - bar_t) * e) / math.sqrt(alpha)
    if t_prev > 0:
        beta_tilde = (1 - bar_prev) / (1 - bar_t) * beta
        sigma = math.sqrt(beta_tilde if variance == "beta_tilde" else beta)
        x_prev = x_prev + sigma * _checked_noise(noise, xt)
    return x_prev.to(xt.dtype)


def ddim_step(
    xt: Tensor,
    eps_hat: Tensor,
    noise: Tensor | None,
    *,
    t: int,
    t_prev: int,
    schedule: NoiseSchedule,
    eta: float = 0.0,
) -> Tensor:
    """The step of DDIM: the network's x_0, noised again to the level of t_prev.

    x_prev = sqrt(bar_prev) x0_hat + sqrt(1 - bar_prev - sigma^2) eps_hat + sigma noise,
    sigma = eta sqrt((1 - bar_prev) / (1 - bar_t)) sqrt(1 - bar_t / bar_prev), bar = alpha_bar.
    eta = 0 adds no noise; eta = 1 is DDPM with variance beta_tilde.
    Source: Song et al. 2021 (DDIM), eqs. 12 and 16; the book's equation eq-ddim-step.

    Args:
        xt, eps_hat: (B, ...), where we are and the network's answer there.
        noise: (B, ...), standard normal; may be None where eta = 0 or t_prev = 0.
        t: where we are, in 1..T.
        t_prev: where to, in 0..t-1.
        schedule: the variance schedule.
        eta: how much of the noise is new, in [0, 1].

    Returns:
        x_{t_prev}, (B, ...), in the dtype of xt.

    Raises:
        ValueError: a tensor or a number does not fit, or alpha_bar_t = 0.
    """
    bar_t, bar_prev = _bars(xt, eps_hat, t, t_prev, schedule)
    eta = check_real("eta", eta, "[0, 1]")
    x, e = _wide(xt), _wide(eps_hat)
    x0_hat = (x - math.sqrt(1 - bar_t) * e) / math.sqrt(bar_t)
    sigma = eta * math.sqrt((1 - bar_prev) / (1 - bar_t)) * math.sqrt(1 - bar_t / bar_prev)
    x_prev = math.sqrt(bar_prev) * x0_hat + math.sqrt(1 - bar_prev - sigma**2) * e
    if sigma > 0:
        x_prev = x_prev + sigma * _checked_noise(noise, xt)
    return x_prev.to(xt.dtype)


class DPMSolver:
    """DPM-Solver++(2M), the second-order step: DDIM that remembers its last x0_hat.

    With lambda = log(SNR)/2, h = lambda_prev - lambda_t and r = h_before / h:
    D = x0_hat + (x0_hat - x0_hat_before) / (2 r),
    x_prev = sigma_prev / sigma_t x_t - sqrt(bar_prev) (exp(-h) - 1) D, sigma = sqrt(1 - alpha_bar).
    The first step and the step to t = 0, where h is infinite, take D = x0_hat: that is DDIM.
    Source: Lu et al. 2022 (DPM-Solver++), algorithm 2; the book's equation eq-dpm-solver.
    """

    def __init__(self) -> None:
        self._before: tuple[int, int, Tensor] | None = None  # t, t_prev and x0_hat of last step

    def __call__(
        self,
        xt: Tensor,
        eps_hat: Tensor,
        noise: Tensor | None = None,
        *,
        t: int,
        t_prev: int,
        schedule: NoiseSchedule,
    ) -> Tensor:
        """Arguments and errors as for ddim_step; noise is not used."""
        bar_t, bar_prev = _bars(xt, eps_hat, t, t_prev, schedule)
        x0_hat = (_wide(xt) - math.sqrt(1 - bar_t) * _wide(eps_hat)) / math.sqrt(bar_t)
        h = _half_log_snr(schedule, t_prev) - _half_log_snr(schedule, t)
        D = x0_hat
        if self._before is not None and self._before[1] == t and t_prev > 0:
            t_before, _, x0_before = self._before
            r = (_half_log_snr(schedule, t) - _half_log_snr(schedule, t_before)) / h
            D = x0_hat + (x0_hat - x0_before) / (2 * r)
        self._before = (t, t_prev, x0_hat)
        x_prev = math.sqrt((1 - bar_prev) / (1 - bar_t)) * _wide(xt)
        return (x_prev - math.sqrt(bar_prev) * math.expm1(-h) * D).to(xt.dtype)


def ddpm(variance: Variance = "beta_tilde") -> Step:
    """The step rule of DDPM, with one of its two variances (see `ddpm_step`).

    Raises:
        ValueError: variance is none of the two.
    """
    _check_variance(variance)
    return partial(ddpm_step, variance=variance)


def ddim(eta: float = 0.0) -> Step:
    """The step rule of DDIM; eta = 0 adds no noise (see `ddim_step`).

    Raises:
        ValueError: eta lies outside [0, 1].
    """
    check_real("eta", eta, "[0, 1]")
    return partial(ddim_step, eta=eta)


def dpm_solver() -> Step:
    """The step rule of DPM-Solver++(2M), which adds no noise (see `DPMSolver`)."""
    return DPMSolver()


def _bars(
    xt: Tensor, eps_hat: Tensor, t: int, t_prev: int, schedule: NoiseSchedule
) -> tuple[float, float]:
    """alpha_bar at t and at t_prev, float64, after the checks that all steps share."""
    check_schedule(schedule)
    check_float("xt", xt)
    if xt.ndim == 0:
        raise ValueError("xt must have a batch axis (B, ...), got a 0-d tensor")
    check_like("eps_hat", eps_hat, "xt", xt)
    t = check_int("t", t, low=1, high=schedule.T)  # one step for the whole batch
    t_prev = check_int("t_prev", t_prev, low=0, high=t - 1)
    bar_t, bar_prev = (float(schedule.alpha_bar[s]) for s in (t, t_prev))
    if bar_t == 0:
        raise ValueError(
            f"t must be a step with alpha_bar_t > 0, got t = {t}, where x_t is all noise and "
            f"eps_hat does not tell x0; mend: `sample` with a denoiser that has x0_hat "
            f"(EpsFromV does), or start at t = {t - 1}"
        )
    return bar_t, bar_prev


def _check_variance(variance: Variance) -> None:
    if variance not in ("beta_tilde", "beta"):
        raise ValueError(f"variance must be 'beta_tilde' or 'beta', got {variance!r}")


def _checked_noise(noise: Tensor | None, xt: Tensor) -> Tensor:
    check_like("noise", noise, "xt", xt)
    return _wide(noise)


def _wide(x: Tensor) -> Tensor:
    """In float32 at least: in 16 bits x0_hat of a late step would be lost."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _half_log_snr(schedule: NoiseSchedule, t: int) -> float:
    """lambda_t = log(sqrt(alpha_bar_t) / sqrt(1 - alpha_bar_t)); inf at t = 0."""
    return float(schedule.log_snr[t]) / 2
