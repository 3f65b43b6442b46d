"""The forward process q: it only adds noise, and nothing in it is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from dmlib._validate import check_call, check_generator
from dmlib.schedules import NoiseSchedule, at


def q_step(x_prev: Tensor, t: int | Tensor, eps: Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """Sample q(x_t | x_{t-1}) = N(x_t; sqrt(1 - beta_t) x_{t-1}, beta_t I), one noising step.

    x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps.
    Source: Ho et al. 2020, eq. 2; the book's equation eq-q-step.

    Args:
        x_prev: (B, ...), x_{t-1}; images in [-1, 1] when clean.
        t: int or (B,) int64, in 1..T: the step that is taken, to x_t.
        eps: (B, ...), standard normal noise of the shape of x_prev.
        schedule: the variance schedule.

    Returns:
        x_t, (B, ...).

    Raises:
        ValueError: a tensor is not floating point, shapes differ, t is out of 1..T.
    """
    check_call(schedule, x_prev=x_prev, eps=eps)
    beta_t = at(schedule.beta, t, x_prev, low=1)
    return (1 - beta_t).sqrt() * x_prev + beta_t.sqrt() * eps


def q_sample(x0: Tensor, t: int | Tensor, eps: Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """Sample q(x_t | x_0) = N(x_t; sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I), the kernel.

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps.
    Source: Ho et al. 2020, eq. 4; the book's equation eq-kernel.

    Args:
        x0: (B, ...), clean data; images in [-1, 1].
        t: int or (B,) int64, in 0..T; t = 0 returns x_0 itself.
        eps: (B, ...), standard normal noise of the shape of x0.
        schedule: the variance schedule.

    Returns:
        x_t, (B, ...).

    Raises:
        ValueError: a tensor is not floating point, shapes differ, t is out of 0..T.
    """
    check_call(schedule, x0=x0, eps=eps)
    signal, noise = schedule.mix(t, x0)  # sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t): (B, 1, ..., 1)
    return signal * x0 + noise * eps


def q_posterior(
    x0: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule
) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_{t-1} | x_t, x_0) = N(x_{t-1}; mu_tilde_t, beta_tilde_t I).

    mu_tilde_t = sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t) x_0
               + sqrt(alpha_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) x_t,
    beta_tilde_t = (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) beta_t.
    Source: Ho et al. 2020, eqs. 6 and 7; the book's equations eq-posterior-mean and
    eq-posterior-variance.

    Args:
        x0: (B, ...), clean data.
        xt: (B, ...), noisy data of the same shape.
        t: int or (B,) int64, in 1..T.
        schedule: the variance schedule.

    Returns:
        mu_tilde, (B, ...), and beta_tilde, (B, 1, ..., 1); beta_tilde is 0 at t = 1.

    Raises:
        ValueError: a tensor is not floating point, shapes differ, t is out of 1..T.
    """
    check_call(schedule, x0=x0, xt=xt)
    beta, alpha, alpha_bar = schedule.beta, schedule.alpha, schedule.alpha_bar
    # Whole tables in float64, looked up once: 1 - alpha_bar_t is a small difference at small t.
    bar_prev = torch.cat([alpha_bar[:1], alpha_bar[:-1]])
    left = 1 - alpha_bar
    left[0] = 1  # slot 0 is never looked up
    on_x0 = at(bar_prev.sqrt() * beta / left, t, x0, low=1)
    on_xt = at(alpha.sqrt() * (1 - bar_prev) / left, t, x0, low=1)
    beta_tilde = at((1 - bar_prev) / left * beta, t, x0, low=1)
    return on_x0 * x0 + on_xt * xt, beta_tilde


def noise_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise eps ~ N(0, I), in the shape, dtype and on the device of x.

    Args:
        x: (B, ...), floating point.
        generator: on any device, the noise is drawn there; torch's global one if None.

    Raises:
        ValueError: generator is no torch.Generator.
    """
    check_generator(generator)
    source = x.device if generator is None else generator.device
    dtype = torch.float32 if source.type == "mps" else x.dtype  # mps has no float64
    eps = torch.randn(x.shape, dtype=dtype, device=source, generator=generator)
    return eps.to(x.device).to(x.dtype)
