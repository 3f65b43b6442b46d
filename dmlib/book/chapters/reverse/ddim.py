"""The exercises of chapter 3, the reverse process: the step that may skip times."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _ddim(xt: Tensor, eps_hat: Tensor, t: int, t_prev: int, schedule: NoiseSchedule) -> Tensor:
    bar_t, bar_prev = schedule.alpha_bar[t], schedule.alpha_bar[t_prev]
    x0_hat = (xt - (1 - bar_t).sqrt() * eps_hat) / bar_t.sqrt()
    return bar_prev.sqrt() * x0_hat + (1 - bar_prev).sqrt() * eps_hat


def _cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(3, 4, generator=generator),
            draw.normal(3, 4, generator=generator),
            t,
            t_prev,
            draw.schedule(9, generator=generator),
        )
        for t, t_prev in ((9, 6), (7, 2), (3, 1), (4, 0))
    ]


def _ddim_with(xt: Tensor, eps_hat: Tensor, bar: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return a * (xt - (1 - bar).sqrt() * eps_hat) / bar.sqrt() + b * eps_hat


DDIM = Function(
    id="ex-reverse-11",
    level="build",
    title="A step that skips times",
    minutes=10,
    call="my_ddim_step(xt, eps_hat, t, t_prev, schedule)",
    cases=_cases,
    reference=_ddim,
    mistakes=(
        Mistake(
            "one step to t - 1, whatever t_prev is",
            lambda x, e, t, p, s: _ddim(x, e, t, t - 1, s),
            "The point of DDIM is that it may skip times: go to t_prev.",
        ),
        Mistake(
            "straight to x_0",
            lambda x, e, t, p, s: _ddim(x, e, t, 0, s),
            "x0_hat is only a guess. Put noise back, as much as x at t_prev should hold.",
        ),
        Mistake(
            "nothing is noised again",
            lambda x, e, t, p, s: _ddim_with(x, e, s.alpha_bar[t], s.alpha_bar[p].sqrt(), 0 * x),
            "x0_hat is shrunk to the level of t_prev, but the noise of that level is missing.",
        ),
        Mistake(
            "the noise that is put back is that of t, not of t_prev",
            lambda x, e, t, p, s: _ddim_with(
                x, e, s.alpha_bar[t], s.alpha_bar[p].sqrt(), (1 - s.alpha_bar[t]).sqrt()
            ),
            "At t_prev = 0 no noise may be left. Look at the second term.",
        ),
        Mistake(
            "x0_hat is not shrunk to the time t_prev",
            lambda x, e, t, p, s: _ddim_with(
                x, e, s.alpha_bar[t], s.alpha_bar[0], (1 - s.alpha_bar[p]).sqrt()
            ),
            "At t_prev the picture has the factor sqrt(alpha_bar[t_prev]).",
        ),
        Mistake(
            "no square roots where noise and picture are put together",
            lambda x, e, t, p, s: _ddim_with(
                x, e, s.alpha_bar[t], s.alpha_bar[p], 1 - s.alpha_bar[p]
            ),
            "It is the kernel's formula again, with x0_hat and eps_hat: two roots.",
        ),
        Mistake(
            "t and t_prev are exchanged",
            lambda x, e, t, p, s: _ddim(x, e, p, t, s),
            "xt is the picture at t: with t one solves for x0_hat, with t_prev one goes on.",
        ),
    ),
)
