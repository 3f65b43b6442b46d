"""Four ways to say the same, and the guess of somebody who has seen x_t only.

The noise eps, the clean x0, the velocity v and the score: with x_t known, each one gives every
other. For exact values this is algebra on
x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (eq-kernel-sample); for a network's answer
it turns one prediction into another, because all four are means given x_t and x_t is fixed.

All functions are called alike, TARGET_from_SOURCE(value, xt, t, schedule=schedule):

    value and xt: (B, ...), floating point, of one shape on one device;
    t: int or (B,) int64, in 1..T;
    schedule: the variance schedule;
    returns (B, ...), in the dtype of xt (16-bit input is computed in float32);
    raises ValueError if an argument does not fit, and where the formula divides by
    sqrt(alpha_bar_t) = 0: at SNR 0 x_t is all noise, and neither eps nor the score knows x_0.
    v does, there v = -x_0.

A `Guess` holds two of them, x0_hat and eps_hat, and whatever answers one is a denoiser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from dmlib._validate import check_call, whole
from dmlib.schedules import NoiseSchedule, wide


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


class Guess(NamedTuple):
    """What somebody says of x_t: the clean data and the noise, x_t = a_t x0_hat + b_t eps_hat.

    Both are (B, ...) and float32 at least. Each tells the other, but not where a_t = 0 (there
    eps_hat does not know x0) and badly in few digits; so both are always there.
    """

    x0_hat: Tensor
    eps_hat: Tensor


def guess_from_eps(eps_hat: Tensor, xt: Tensor, t: int | Tensor, *, schedule: Any) -> Guess:
    """The guess of somebody who predicts the noise; arguments as above (eq-x0-from-eps)."""
    return Guess(x0_from_eps(eps_hat, xt, t, schedule=schedule), eps_hat)


def guess_from_x0(x0_hat: Tensor, xt: Tensor, t: int | Tensor, *, schedule: Any) -> Guess:
    """The guess of somebody who predicts the clean data; arguments as above (eq-x0-from-eps)."""
    return Guess(x0_hat, eps_from_x0(x0_hat, xt, t, schedule=schedule))


def guess_from_v(v_hat: Tensor, xt: Tensor, t: int | Tensor, *, schedule: Any) -> Guess:
    """The guess of somebody who predicts v; nothing is divided; arguments as above (eq-v)."""
    signal, noise = _roots("v", v_hat, xt, t, schedule, low=0)
    return Guess(signal * xt - noise * v_hat, noise * xt + signal * v_hat)


class Path(Protocol):
    """How data and noise are mixed: x_t = a_t x_0 + b_t eps, t from 0 (data) to its end (noise).

    `NoiseSchedule` is the path of the lecture; continuous.py has others.
    """

    def level(self, t: float) -> tuple[float, float]:
        """a_t and b_t as numbers, at one t."""

    def mix(
        self, t: Any, like: Tensor, *, low: int = 0, high: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """a_t and b_t for a batch, (B, 1, ..., 1), in the dtype and on the device of `like`."""


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A path, and what somebody says of x_t on it: denoiser(xt, t) -> Guess.

    Networks become denoisers by `predicts_eps` and its kin; the oracles are; so is
    what guidance and clipping make of one. Anything with a `path` that answers like this will do.

    Args:
        path: that x_t lies on.
        look: answers look(xt, t) -> Guess for xt (B, ...) and t, a number or (B,).
    """

    path: Path
    look: Callable[[Tensor, Any], Guess]

    def __call__(self, xt: Tensor, t: Any) -> Guess:
        """What is said of xt (B, ...) at t, a number or (B,)."""
        return self.look(xt, t)


def _roots(
    name: str,
    value: Tensor,
    xt: Tensor,
    t: int | Tensor,
    schedule: NoiseSchedule,
    *,
    low: int = 1,
    divides: bool = False,
) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), (B, 1, ..., 1), float32 at least."""
    check_call(schedule, xt=xt, **{name: value})
    high = schedule.last if divides else schedule.T
    try:
        return schedule.mix(t, wide(xt), low=low, high=high)
    except ValueError as error:
        if high == schedule.T or (whole(t) is not None and t != schedule.T):
            raise
        raise ValueError(
            f"t must be a step with alpha_bar_t > 0, t <= {high}: at t = {schedule.T} x_t is all "
            f"noise and {name} does not tell x0; try: a network that predicts v "
            f"(dmlib.models.predicts_v), or start at t = {high}"
        ) from error
