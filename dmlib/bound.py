"""The variational bound on -log p(x_0), term by term.

Terms are in bits per dimension, float64, one value for each sample.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from dmlib._validate import check_call, check_choice, check_float, check_grey_levels
from dmlib.forward import noise_like, q_posterior, q_sample
from dmlib.parameterization import Denoiser
from dmlib.schedules import NoiseSchedule, at

Variance = Literal["beta_tilde", "beta"]


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


def bound_LT(x0: Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """L_T, what x_T still knows of x_0; no network, nothing to learn.

    L_T = KL( q(x_T | x_0) || N(0, I) ).
    Source: Ho et al. 2020, eq. 5; the book's equation eq-bound-end.

    Args:
        x0: (B, ...), clean data.
        schedule: the variance schedule.

    Returns:
        (B,), bits per dimension.

    Raises:
        ValueError: an argument does not fit.
    """
    check_call(schedule, x0=x0)
    x0 = _exact(x0)
    alpha_bar_T = at(schedule.alpha_bar, schedule.T, x0)
    mean, variance = alpha_bar_T.sqrt() * x0, 1 - alpha_bar_T
    zero, one = torch.zeros_like(variance), torch.ones_like(variance)
    return _bits_per_dim(normal_kl(mean, variance, zero, one))


def bound_Lt(
    x0: Tensor,
    xt: Tensor,
    t: int | Tensor,
    x0_hat: Tensor,
    *,
    schedule: NoiseSchedule,
    variance: Variance = "beta_tilde",
) -> Tensor:
    """L_{t-1}, how far the learned step from x_t is from the step that knows x_0.

    L_{t-1} = KL( q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t) ), where p is N(mu, sigma_t^2 I) with
    mu = mu_tilde_t(x_t, x0_hat).
    Source: Ho et al. 2020, eqs. 5 and 8; the book's equation eq-bound-Lt.

    Args:
        x0, xt, x0_hat: (B, ...), clean data, noisy data, what is guessed of x_0 at x_t.
        t: int or (B,) int64, in 2..T; t = 1 is L_0.
        schedule: the variance schedule.
        variance: sigma_t^2 is beta_tilde_t or beta_t.

    Returns:
        (B,), bits per dimension.

    Raises:
        ValueError: an argument does not fit.
    """
    check_call(schedule, xt=xt, x0=x0, x0_hat=x0_hat)
    at(schedule.beta, t, xt, low=2)  # t = 1 is L_0
    mu, sigma2 = _reverse_step(xt, t, x0_hat, schedule, variance)
    mu_tilde, beta_tilde = q_posterior(_exact(x0), _exact(xt), t, schedule=schedule)
    return _bits_per_dim(normal_kl(mu_tilde, beta_tilde, mu, sigma2))


def bound_L0(
    x0: Tensor,
    x1: Tensor,
    x0_hat: Tensor,
    *,
    schedule: NoiseSchedule,
    variance: Variance = "beta_tilde",
) -> Tensor:
    """L_0 = -log p(x_0 | x_1) of images with 256 grey levels: the last step, with its bins.

    p(x_0 | x_1) is the mass of N(mu(x_1), sigma_1^2) in the bin of width 2/255 around the grey
    level x_0; the first and the last bin reach to infinity, so that all 256 sum to 1.
    Source: Ho et al. 2020, eq. 13; the book's equation eq-bound-L0.

    Args:
        x0: (B, ...), grey levels 0..255 scaled to [-1, 1].
        x1: (B, ...), x_t at t = 1.
        x0_hat: (B, ...), what is guessed of x_0 at x_1.
        schedule: the variance schedule.
        variance: which sigma_1^2, see variational_bound.

    Returns:
        (B,), bits per dimension.

    Raises:
        ValueError: an argument does not fit, or x0 holds a value that is no grey level.
    """
    check_call(schedule, x1=x1, x0=x0, x0_hat=x0_hat)
    check_grey_levels("x0", _exact(x0))
    level = (_exact(x0) + 1) * 127.5
    mu, sigma2 = _reverse_step(x1, 1, x0_hat, schedule, variance)
    return _bits_per_dim(-log_bin_mass(level.round().long(), mu, sigma2.sqrt()))


def bound_L0_density(
    x0: Tensor,
    x1: Tensor,
    x0_hat: Tensor,
    *,
    schedule: NoiseSchedule,
    variance: Variance = "beta_tilde",
) -> Tensor:
    """L_0 = -log N(x_0; mu(x_1), sigma_1^2 I) for continuous data; may be negative.

    Source: Ho et al. 2020, eq. 5, without bins; the book's equation eq-bound-L0.
    Args, Returns and Raises as in bound_L0, but x0 may hold any value.
    """
    check_call(schedule, x1=x1, x0=x0, x0_hat=x0_hat)
    mu, sigma2 = _reverse_step(x1, 1, x0_hat, schedule, variance)
    square = (_exact(x0) - mu) ** 2 / sigma2
    return _bits_per_dim((square + (2 * math.pi * sigma2).log()) / 2)


def variational_bound(
    denoiser: Denoiser,
    x0: Tensor,
    *,
    variance: Variance = "beta_tilde",
    discrete: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Every term of the variational bound on -log p(x_0), each with one draw of x_t.

    L = L_0 + L_1 + ... + L_{T-1} + L_T >= -log p(x_0) on average; T calls of the network.
    sigma_t^2 is `variance`; at t = 1, where beta_tilde is 0 and would be no density, it is
    beta_tilde_2 (as in the code of Ho et al.), or beta_1 if T = 1.
    Source: Ho et al. 2020, eq. 5; the book's equation eq-bound.

    Args:
        denoiser: denoiser(xt, t) -> Guess, on the path of a NoiseSchedule.
        x0: (B, ...), clean data.
        variance: "beta_tilde" or "beta".
        discrete: images with 256 grey levels (bound_L0) or continuous data (bound_L0_density).
        generator: for the noise, on any device; torch's global one if None.

    Returns:
        (B, T+1), bits per dimension; column s is L_s, and the sum of a row is the bound.

    Raises:
        ValueError: an argument does not fit, or x0 holds no grey levels though `discrete` says so.
    """
    check_float("x0", x0)
    schedule = getattr(denoiser, "path", None)
    check_call(schedule, x0=x0)
    last = bound_L0 if discrete else bound_L0_density
    terms = []
    for step in range(1, schedule.T + 1):
        eps = noise_like(x0, generator)
        t = torch.full((len(x0),), step, device=x0.device)
        xt = q_sample(x0, t, eps, schedule=schedule)
        with torch.no_grad():
            x0_hat = denoiser(xt, t).x0_hat
        if step == 1:
            terms.append(last(x0, xt, x0_hat, schedule=schedule, variance=variance))
        else:
            terms.append(bound_Lt(x0, xt, t, x0_hat, schedule=schedule, variance=variance))
    terms.append(bound_LT(x0, schedule=schedule))
    return torch.stack(terms, 1)


def _reverse_step(
    xt: Tensor, t: int | Tensor, x0_hat: Tensor, schedule: NoiseSchedule, variance: Variance
) -> tuple[Tensor, Tensor]:
    """mu(x_t) = mu_tilde(x_t, x0_hat) and sigma_t^2, float64: p(x_{t-1} | x_t)."""
    check_choice("variance", variance, ("beta_tilde", "beta"))
    xt, x0_hat = _exact(xt), _exact(x0_hat)
    mu, beta_tilde = q_posterior(x0_hat, xt, t, schedule=schedule)
    if variance == "beta":
        return mu, at(schedule.beta, t, xt)
    if schedule.T == 1:
        return mu, at(schedule.beta, 1, xt)
    _, smallest = q_posterior(x0_hat, xt, 2, schedule=schedule)
    return mu, torch.where(beta_tilde > 0, beta_tilde, smallest)


def _exact(x: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _bits_per_dim(nats: Tensor) -> Tensor:
    """(B, ...) nats of each dimension -> (B,) bits per dimension."""
    return nats[:, None].flatten(1).mean(1) / math.log(2)
