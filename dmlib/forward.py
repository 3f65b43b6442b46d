"""The forward process q: it only adds noise, and nothing in it is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from dmlib._validate import check_float, check_generator, check_like, check_t
from dmlib.schedules import NoiseSchedule, at, check_schedule


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
        ValueError: a tensor is not finite floating point, shapes differ, t is out of 1..T.
    """
    check_schedule(schedule)
    check_float("x_prev", x_prev)
    check_like("eps", eps, "x_prev", x_prev)
    t = check_t(t, schedule.T, batch=_batch("x_prev", x_prev))
    beta_t = at(schedule.beta, t, x_prev)
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
        ValueError: a tensor is not finite floating point, shapes differ, t is out of 0..T.
    """
    check_schedule(schedule)
    check_float("x0", x0)
    check_like("eps", eps, "x0", x0)
    t = check_t(t, schedule.T, low=0, batch=_batch("x0", x0))
    alpha_bar = schedule.alpha_bar
    return at(alpha_bar.sqrt(), t, x0) * x0 + at((1 - alpha_bar).sqrt(), t, x0) * eps


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
        ValueError: a tensor is not finite floating point, shapes differ, t is out of 1..T.
    """
    check_schedule(schedule)
    check_float("x0", x0)
    check_like("xt", xt, "x0", x0)
    t = check_t(t, schedule.T, batch=_batch("x0", x0))
    beta, alpha, alpha_bar = schedule.beta, schedule.alpha, schedule.alpha_bar
    before = t - 1
    # Gathered in float64 first: 1 - alpha_bar_t is a small difference at small t.
    beta_t, alpha_t = beta[t.cpu()], alpha[t.cpu()]
    bar_t, bar_prev = alpha_bar[t.cpu()], alpha_bar[before.cpu()]
    on_x0 = _shaped(bar_prev.sqrt() * beta_t / (1 - bar_t), x0)
    on_xt = _shaped(alpha_t.sqrt() * (1 - bar_prev) / (1 - bar_t), x0)
    beta_tilde = _shaped((1 - bar_prev) / (1 - bar_t) * beta_t, x0)
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
    eps = torch.randn(x.shape, dtype=x.dtype, device=source, generator=generator)
    return eps.to(x.device)


def _shaped(values: Tensor, like: Tensor) -> Tensor:
    """(B,) float64 -> (B, 1, ..., 1) in the dtype and on the device of `like`."""
    return values.to(like.device, like.dtype).view(-1, *(1,) * (like.ndim - 1))


def _batch(name: str, x: Tensor) -> int:
    if x.ndim == 0:
        raise ValueError(f"{name} must have a batch axis (B, ...), got a 0-d tensor")
    return x.shape[0]
