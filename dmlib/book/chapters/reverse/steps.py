"""The exercises of chapter 3, the reverse process: steps of the samplers, and v."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _ddpm(xt: Tensor, eps_hat: Tensor, noise: Tensor, t: int, schedule: NoiseSchedule) -> Tensor:
    beta_t, alpha_t, bar_t = schedule.beta[t], schedule.alpha[t], schedule.alpha_bar[t]
    mean = (xt - beta_t / (1 - bar_t).sqrt() * eps_hat) / alpha_t.sqrt()
    return mean if t == 1 else mean + beta_t.sqrt() * noise


def _ddpm_cases(generator: Generator) -> Cases:
    x = [draw.normal(3, 4, generator=generator) for _ in range(12)]
    schedule = draw.schedule(6, generator=generator)
    return [(*x[3 * i : 3 * i + 3], t, schedule) for i, t in enumerate((1, 2, 4, 6))]


def _ddpm_with(
    xt: Tensor, eps_hat: Tensor, noise: Tensor, t: int, on_eps: Any, above: Any, std: Any
) -> Tensor:
    mean = (xt - on_eps * eps_hat) / above
    return mean if t == 1 else mean + std * noise


DDPM = Function(
    id="ex-reverse-8",
    level="build",
    title="One step of Algorithm 2",
    minutes=12,
    call="my_ddpm_step(xt, eps_hat, noise, t, schedule)",
    cases=_ddpm_cases,
    reference=_ddpm,
    mistakes=(
        Mistake(
            "noise is added at the last step, too",
            lambda x, e, n, t, s: _ddpm(x, e, n, t, s) + (t == 1) * s.beta[t].sqrt() * n,
            "The step to x_0 gives the mean: noise there would stay in the picture for good.",
        ),
        Mistake(
            "variance for standard deviation",
            lambda x, e, n, t, s: _ddpm_with(
                x, e, n, t, s.beta[t] / (1 - s.alpha_bar[t]).sqrt(), s.alpha[t].sqrt(), s.beta[t]
            ),
            "sigma_t^2 = beta_t is the variance. What is the noise multiplied by?",
        ),
        Mistake(
            "no noise at all",
            lambda x, e, n, t, s: _ddpm_with(
                x, e, n, t, s.beta[t] / (1 - s.alpha_bar[t]).sqrt(), s.alpha[t].sqrt(), 0.0
            ),
            "Only the step to x_0 is without noise; all others draw from p(x_{t-1} | x_t).",
        ),
        Mistake(
            "all of the noise is removed, not one step's share",
            lambda x, e, n, t, s: _ddpm_with(
                x, e, n, t, (1 - s.alpha_bar[t]).sqrt(), s.alpha[t].sqrt(), s.beta[t].sqrt()
            ),
            "One step removes beta_t / sqrt(1 - alpha_bar_t) times eps_hat.",
        ),
        Mistake(
            "the root under beta_t is missing",
            lambda x, e, n, t, s: _ddpm_with(
                x, e, n, t, s.beta[t] / (1 - s.alpha_bar[t]), s.alpha[t].sqrt(), s.beta[t].sqrt()
            ),
            "beta_t is divided by sqrt(1 - alpha_bar_t), a standard deviation.",
        ),
        Mistake(
            "sqrt(beta_t) before eps_hat",
            lambda x, e, n, t, s: _ddpm_with(
                x,
                e,
                n,
                t,
                (s.beta[t] / (1 - s.alpha_bar[t])).sqrt(),
                s.alpha[t].sqrt(),
                s.beta[t].sqrt(),
            ),
            "beta_t itself stands before eps_hat; its root before z.",
        ),
        Mistake(
            "1/sqrt(alpha_bar_t) in front",
            lambda x, e, n, t, s: _ddpm_with(
                x,
                e,
                n,
                t,
                s.beta[t] / (1 - s.alpha_bar[t]).sqrt(),
                s.alpha_bar[t].sqrt(),
                s.beta[t].sqrt(),
            ),
            "One step is undone: sqrt(alpha_t), without the bar.",
        ),
        Mistake(
            "the mean is not stretched by 1/sqrt(alpha_t)",
            lambda x, e, n, t, s: _ddpm_with(
                x, e, n, t, s.beta[t] / (1 - s.alpha_bar[t]).sqrt(), 1.0, s.beta[t].sqrt()
            ),
            "The forward step shrinks by sqrt(alpha_t): the reverse step must undo that.",
        ),
        Mistake(
            "sigma_t^2 = beta_tilde_t, where beta_t is asked for",
            lambda x, e, n, t, s: _ddpm_with(
                x,
                e,
                n,
                t,
                s.beta[t] / (1 - s.alpha_bar[t]).sqrt(),
                s.alpha[t].sqrt(),
                ((1 - s.alpha_bar[t - 1]) / (1 - s.alpha_bar[t]) * s.beta[t]).sqrt(),
            ),
            "A good choice, but this exercise wants the other one: sigma_t^2 = beta_t.",
        ),
    ),
)


def _v(v: Tensor, xt: Tensor, t: int, schedule: NoiseSchedule) -> dict[str, Tensor]:
    a, b = schedule.alpha_bar[t].sqrt(), (1 - schedule.alpha_bar[t]).sqrt()
    return {"x0": a * xt - b * v, "score": -(xt + a / b * v)}


def _v_with(v: Tensor, xt: Tensor, t: int, s: NoiseSchedule, below: Any) -> tuple[Tensor, Tensor]:
    """The right x_0, and minus eps over something."""
    a, b = s.alpha_bar[t].sqrt(), (1 - s.alpha_bar[t]).sqrt()
    return a * xt - b * v, -(b * xt + a * v) / below


def _v_exchanged(v: Tensor, xt: Tensor, t: int, s: NoiseSchedule) -> tuple[Tensor, Tensor]:
    a, b = (1 - s.alpha_bar[t]).sqrt(), s.alpha_bar[t].sqrt()
    return a * xt - b * v, -(xt + a / b * v)


V = Function(
    id="ex-reverse-10",
    level="derive",
    title="Picture and score from v",
    minutes=10,
    call="from_v(v, xt, t, schedule)",
    terms=("x0", "score"),
    cases=lambda generator: [
        (
            draw.normal(2, 3, generator=generator),
            draw.normal(2, 3, generator=generator),
            t,
            draw.schedule(7, generator=generator),
        )
        for t in (1, 3, 7)
    ],
    reference=_v,
    mistakes=(
        Mistake(
            "the sign of v",
            lambda v, x, t, s: tuple(_v(-v, x, t, s).values()),
            "Put x_t = a x_0 + b eps and v = a eps - b x_0 into your formula: what comes out?",
        ),
        Mistake(
            "the two factors are exchanged",
            _v_exchanged,
            "With little noise, at small t, x_0 must be nearly x_t.",
        ),
        Mistake(
            "the noise, not the score",
            lambda v, x, t, s: _v_with(v, x, t, s, -1.0),
            "The score points the other way than the noise, and has another length.",
        ),
        Mistake(
            "the noise with its sign changed, but not divided",
            lambda v, x, t, s: _v_with(v, x, t, s, 1.0),
            "The score is -eps_hat / sqrt(1 - alpha_bar_t): divide.",
        ),
        Mistake(
            "the score without its minus sign",
            lambda v, x, t, s: _v_with(v, x, t, s, -(1 - s.alpha_bar[t]).sqrt()),
            "The score points to where data are likely, against the noise.",
        ),
        Mistake(
            "the score is divided by the variance",
            lambda v, x, t, s: _v_with(v, x, t, s, 1 - s.alpha_bar[t]),
            "eps already is a deviation divided by sqrt(1 - alpha_bar_t): divide by it once "
            "more, and no further.",
        ),
        Mistake(
            "v is taken for eps",
            lambda v, x, t, s: (
                (x - (1 - s.alpha_bar[t]).sqrt() * v) / s.alpha_bar[t].sqrt(),
                -v / (1 - s.alpha_bar[t]).sqrt(),
            ),
            "v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0 is neither eps nor x_0.",
        ),
    ),
)
