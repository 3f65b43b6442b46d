"""Four ways to say the same: the noise eps, the clean x0, the velocity v and the score.

With x_t known, each one gives every other. For exact values this is algebra on
x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (eq-kernel-sample); for a network's answer
it turns one prediction into another, because all four are means given x_t and x_t is fixed.

All functions are called alike, TARGET_from_SOURCE(value, xt, t, schedule=schedule):

    value and xt: (B, ...), floating point, finite, of one shape on one device;
    t: int or (B,) int64, in 1..T;
    schedule: the variance schedule;
    returns (B, ...), in the dtype of xt (16-bit input is computed in float32);
    raises ValueError if an argument does not fit, and where the formula divides by
    sqrt(alpha_bar_t) = 0: at SNR 0 x_t is all noise, and neither eps nor the score knows x_0.
    v does, there v = -x_0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dmlib._validate import check_float, check_like, check_t
from dmlib.schedules import NoiseSchedule, at, check_schedule


def x0_from_eps(eps: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t).

    Source: Ho et al. 2020, eq. 15; the book's equation eq-x0-from-eps.
    """
    signal, noise = _roots("eps", eps, xt, t, schedule, divides=True)
    return ((xt - noise * eps) / signal).to(xt.dtype)


def eps_from_x0(x0: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t).

    Source: Ho et al. 2020, eq. 4 solved for the noise; the book's equation eq-x0-from-eps.
    """
    signal, noise = _roots("x0", x0, xt, t, schedule)
    return ((xt - signal * x0) / noise).to(xt.dtype)


def v_from_eps(eps: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0, without x_0:

    v = (eps - sqrt(1 - alpha_bar_t) x_t) / sqrt(alpha_bar_t).
    Source: Salimans & Ho 2022, section 4; the book's equation eq-v.
    """
    signal, noise = _roots("eps", eps, xt, t, schedule, divides=True)
    return ((eps - noise * xt) / signal).to(xt.dtype)


def eps_from_v(v: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """eps = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v.

    Source: Salimans & Ho 2022, appendix D; the book's equation eq-v.
    """
    signal, noise = _roots("v", v, xt, t, schedule)
    return (noise * xt + signal * v).to(xt.dtype)


def x0_from_v(v: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """x_0 = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v; it divides by nothing.

    Source: Salimans & Ho 2022, section 4; the book's equation eq-v.
    """
    signal, noise = _roots("v", v, xt, t, schedule)
    return (signal * xt - noise * v).to(xt.dtype)


def v_from_x0(x0: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """v = (sqrt(alpha_bar_t) x_t - x_0) / sqrt(1 - alpha_bar_t).

    Source: Salimans & Ho 2022, section 4; the book's equation eq-v.
    """
    signal, noise = _roots("x0", x0, xt, t, schedule)
    return ((signal * xt - x0) / noise).to(xt.dtype)


def score_from_eps(eps: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """grad log q(x_t) = -eps / sqrt(1 - alpha_bar_t), for eps = E[eps | x_t].

    Source: Song et al. 2021 (score SDE), appendix G; the book's equation eq-score.
    """
    _, noise = _roots("eps", eps, xt, t, schedule)
    return (-eps / noise).to(xt.dtype)


def eps_from_score(
    score: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule
) -> Tensor:
    """eps = -sqrt(1 - alpha_bar_t) grad log q(x_t).

    Source: Song et al. 2021 (score SDE), appendix G; the book's equation eq-score.
    """
    _, noise = _roots("score", score, xt, t, schedule)
    return (-noise * score).to(xt.dtype)


def score_from_x0(x0: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """grad log q(x_t) = (sqrt(alpha_bar_t) x_0 - x_t) / (1 - alpha_bar_t), x_0 = E[x_0 | x_t].

    Source: Tweedie's formula (Efron 2011, eq. 1.4); the book's equation eq-score.
    """
    signal, noise = _roots("x0", x0, xt, t, schedule)
    return ((signal * x0 - xt) / noise**2).to(xt.dtype)


def x0_from_score(score: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """E[x_0 | x_t] = (x_t + (1 - alpha_bar_t) grad log q(x_t)) / sqrt(alpha_bar_t).

    Source: Tweedie's formula (Efron 2011, eq. 1.4); the book's equation eq-score.
    """
    signal, noise = _roots("score", score, xt, t, schedule, divides=True)
    return ((xt + noise**2 * score) / signal).to(xt.dtype)


def score_from_v(v: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """grad log q(x_t) = -x_t - sqrt(alpha_bar_t) / sqrt(1 - alpha_bar_t) v.

    Source: eq-v put into eq-score.
    """
    signal, noise = _roots("v", v, xt, t, schedule)
    return (-xt - signal / noise * v).to(xt.dtype)


def v_from_score(score: Tensor, xt: Tensor, t: int | Tensor, *, schedule: NoiseSchedule) -> Tensor:
    """v = -sqrt(1 - alpha_bar_t) / sqrt(alpha_bar_t) (x_t + grad log q(x_t)).

    Source: eq-score put into eq-v.
    """
    signal, noise = _roots("score", score, xt, t, schedule, divides=True)
    return (-noise / signal * (xt + score)).to(xt.dtype)


def _roots(
    name: str,
    value: Tensor,
    xt: Tensor,
    t: int | Tensor,
    schedule: NoiseSchedule,
    *,
    divides: bool = False,
) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), (B, 1, ..., 1), after all checks.

    Roots are taken in float64 and cast once; never to 16 bits, where 1 / sqrt(alpha_bar_t) of a
    late step would be lost.
    """
    check_schedule(schedule)
    check_float("xt", xt)
    if xt.ndim == 0:
        raise ValueError("xt must have a batch axis (B, ...), got a 0-d tensor")
    check_like(name, value, "xt", xt)
    t = check_t(t, schedule.T, batch=len(xt))
    alpha_bar = schedule.alpha_bar
    if divides and bool((alpha_bar[t.cpu()] == 0).any()):
        at_zero = int(t[(alpha_bar[t.cpu()] == 0).to(t.device)][0])
        raise ValueError(
            f"t must be a step with alpha_bar_t > 0, got t = {at_zero}, where x_t is all noise and "
            f"{name} does not tell x0; mend: predict v (dmlib.models.EpsFromV, whose "
            f"x0_hat does), or start at t = {at_zero - 1}"
        )
    wide = xt.new_empty(xt.shape[:1] + (1,) * (xt.ndim - 1), dtype=_wide(xt.dtype))
    return at(alpha_bar.sqrt(), t, wide), at((1 - alpha_bar).sqrt(), t, wide)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, float32 for all narrower."""
    return torch.promote_types(dtype, torch.float32)
