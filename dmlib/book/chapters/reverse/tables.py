"""The exercises of chapter 3, the reverse process: x_0, mean and variance of the step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.schedules import NoiseSchedule, at

Cases = list[tuple[Any, ...]]


def _cases(generator: Generator) -> Cases:
    # As many pictures as columns: the wrong broadcast then raises no error.
    return [
        (
            draw.normal(B, 3, B, generator=generator),
            draw.normal(B, 3, B, generator=generator),
            draw.steps(9, B, generator=generator),
            draw.schedule(9, generator=generator),
        )
        for B in (4, 5)
    ]


def _x0(xt: Tensor, eps_hat: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar[t].reshape(-1, 1, 1)
    return (xt - (1 - bar).sqrt() * eps_hat) / bar.sqrt()


def _x0_with(xt: Tensor, eps_hat: Tensor, bar: Tensor, on_eps: Tensor) -> Tensor:
    return (xt - on_eps.reshape(-1, 1, 1) * eps_hat) / bar.sqrt().reshape(-1, 1, 1)


X0_HAT = Function(
    id="ex-reverse-3",
    level="build",
    title="Guess the picture from the noise",
    minutes=6,
    call="my_x0_hat(xt, eps_hat, t, schedule)",
    cases=_cases,
    reference=_x0,
    mistakes=(
        Mistake(
            "the noise is removed, but the picture is not scaled back",
            lambda x, e, t, s: x - (1 - s.alpha_bar[t]).sqrt().reshape(-1, 1, 1) * e,
            "What is left is sqrt(alpha_bar_t) x_0. One more step to x_0 itself.",
        ),
        Mistake(
            "variance for standard deviation",
            lambda x, e, t, s: _x0_with(x, e, s.alpha_bar[t], 1 - s.alpha_bar[t]),
            "1 - alpha_bar_t is a variance. With which factor did eps go into x_t?",
        ),
        Mistake(
            "divided by alpha_bar_t, without the root",
            lambda x, e, t, s: _x0_with(x, e, s.alpha_bar[t] ** 2, (1 - s.alpha_bar[t]).sqrt()),
            "The kernel multiplies x_0 by sqrt(alpha_bar_t): divide by just that.",
        ),
        Mistake(
            "the noise is added once more",
            lambda x, e, t, s: _x0(x, -e, t, s),
            "Solve the kernel's equation for x_0: on which side does the noise end up?",
        ),
        Mistake(
            "alpha_t in place of alpha_bar_t: a single step",
            lambda x, e, t, s: _x0_with(x, e, s.alpha[t], s.beta[t].sqrt()),
            "eps_hat is all the noise since x_0, not the noise of the last step.",
        ),
        Mistake(
            "off by one in t",
            lambda x, e, t, s: _x0(x, e, t - 1, s),
            "Slot 0 is the clean data, so alpha_bar[t] belongs to x_t.",
        ),
        Mistake(
            "wrong broadcast: alpha_bar_t runs along the columns, not along the batch",
            lambda x, e, t, s: (x - (1 - s.alpha_bar[t]).sqrt() * e) / s.alpha_bar[t].sqrt(),
            "alpha_bar[t] has shape (B,) and lines up with the last axis. Give it (B, 1, 1).",
        ),
    ),
)


def _tilde(schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar
    tilde = torch.zeros_like(bar)
    tilde[1:] = (1 - bar[:-1]) / (1 - bar[1:]) * schedule.beta[1:]
    return tilde


def _slot_0(steps: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, dtype=steps.dtype), steps])


BETA_TILDE = Function(
    id="ex-reverse-6",
    level="build",
    title="The variance of the step that knows the picture",
    minutes=8,
    call="my_beta_tilde(schedule)",
    cases=lambda generator: [(draw.schedule(T, generator=generator),) for T in (6, 10, 15)],
    reference=_tilde,
    mistakes=(
        Mistake(
            "the variance of the forward step",
            lambda s: s.beta,
            "beta_t is the variance without any knowledge of x_0. Knowledge makes it smaller.",
        ),
        Mistake(
            "the ratio is upside down",
            lambda s: _slot_0((1 - s.alpha_bar[1:]) / (1 - s.alpha_bar[:-1]) * s.beta[1:]),
            "Knowing x_0 as well can only make the variance smaller, and at t = 1 it is 0.",
        ),
        Mistake(
            "alpha_bar in place of 1 - alpha_bar",
            lambda s: _slot_0(s.alpha_bar[:-1] / s.alpha_bar[1:] * s.beta[1:]),
            "The two numbers of the ratio are variances of noise: 1 - alpha_bar.",
        ),
        Mistake(
            "standard deviations",
            lambda s: _tilde(s).sqrt(),
            "Variances are asked for.",
        ),
        Mistake(
            "slot 0 is missing",
            lambda s: _tilde(s)[1:],
            "The table has length T+1, so that my_beta_tilde(schedule)[t] belongs to step t.",
        ),
        Mistake(
            "off by one in t",
            lambda s: _slot_0(_tilde(s)[:-1]),
            "Step t uses alpha_bar[t-1] above and alpha_bar[t] below, with beta[t].",
        ),
    ),
)


def _mu(x0: Tensor, xt: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    beta_t, alpha_t = at(schedule.beta, t, x0), at(schedule.alpha, t, x0)
    bar_t, bar_prev = at(schedule.alpha_bar, t, x0), at(schedule.alpha_bar, t - 1, x0)
    on_x0 = bar_prev.sqrt() * beta_t / (1 - bar_t)
    on_xt = alpha_t.sqrt() * (1 - bar_prev) / (1 - bar_t)
    return on_x0 * x0 + on_xt * xt


def _mixed(x0: Tensor, xt: Tensor, on_x0: Tensor, on_xt: Tensor, below: Tensor) -> Tensor:
    return (on_x0 / below).reshape(-1, 1, 1) * x0 + (on_xt / below).reshape(-1, 1, 1) * xt


def _mu_wrong(x0: Tensor, xt: Tensor, t: Tensor, s: NoiseSchedule, slip: str) -> Tensor:
    bar_t, before = s.alpha_bar[t], s.alpha_bar[t - 1]
    on_x0, on_xt = before.sqrt() * s.beta[t], s.alpha[t].sqrt() * (1 - before)
    if slip == "exchanged":
        on_x0, on_xt = on_xt, on_x0
    elif slip == "no root":
        on_x0, on_xt = before * s.beta[t], s.alpha[t] * (1 - before)
    elif slip == "bar_t":
        on_x0 = bar_t.sqrt() * s.beta[t]
    elif slip == "bar on xt":
        on_xt = bar_t.sqrt() * (1 - before)
    elif slip == "early":
        on_x0 = before.sqrt() * s.beta[t - 1]
        on_xt = s.alpha[t - 1].sqrt() * (1 - before)
    below = torch.ones_like(bar_t) if slip == "nothing below" else 1 - bar_t
    return _mixed(x0, xt, on_x0, on_xt, below)


MU_TILDE = Function(
    id="ex-reverse-7",
    level="build",
    title="The mean of the step that knows the picture",
    minutes=12,
    call="my_mu_tilde(x0, xt, t, schedule)",
    cases=_cases,
    reference=_mu,
    forbidden=("q_posterior",),
    mistakes=(
        Mistake(
            "the two factors are exchanged",
            lambda x, xt, t, s: _mu_wrong(x, xt, t, s, "exchanged"),
            "At t = 1 only x_0 counts. Which of the two factors is 0 there?",
        ),
        Mistake(
            "no square roots",
            lambda x, xt, t, s: _mu_wrong(x, xt, t, s, "no root"),
            "Both factors begin with a root: of alpha_bar_{t-1} and of alpha_t.",
        ),
        Mistake(
            "sqrt(alpha_bar_t) in front of x_0, where t-1 belongs",
            lambda x, xt, t, s: _mu_wrong(x, xt, t, s, "bar_t"),
            "The step leads to x_{t-1}: from x_0 it is sqrt(alpha_bar_{t-1}) away.",
        ),
        Mistake(
            "sqrt(alpha_bar_t) in front of x_t, where alpha_t belongs",
            lambda x, xt, t, s: _mu_wrong(x, xt, t, s, "bar on xt"),
            "x_t is one step away from x_{t-1}: no bar on that alpha.",
        ),
        Mistake(
            "not divided by 1 - alpha_bar_t",
            lambda x, xt, t, s: _mu_wrong(x, xt, t, s, "nothing below"),
            "Both factors have the same number below.",
        ),
        Mistake(
            "off by one in beta and alpha",
            lambda x, xt, t, s: _mu_wrong(x, xt, t, s, "early"),
            "The step between x_{t-1} and x_t is step t: beta[t] and alpha[t].",
        ),
    ),
)
