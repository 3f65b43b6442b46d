"""The exercises of chapter 2, the diffusion kernel: functions to build."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _bar(beta: Tensor) -> Tensor:
    return (1 - beta).cumprod(0)


ALPHA_BAR = Function(
    id="ex-kernel-2",
    level="build",
    title="From beta to alpha bar",
    minutes=5,
    call="my_alpha_bar(beta)",
    cases=lambda generator: [(draw.schedule(T, generator=generator).beta,) for T in (5, 12, 20)],
    reference=_bar,
    mistakes=(
        Mistake(
            "the product of the betas",
            lambda beta: beta.cumprod(0),
            "What is multiplied is what stays, 1 - beta_s.",
        ),
        Mistake(
            "one minus the sum of the betas",
            lambda beta: 1 - beta.cumsum(0),
            "A sum is right only for tiny betas, and soon falls below 0. Multiply.",
        ),
        Mistake(
            "exp of minus the sum: the limit of small steps",
            lambda beta: torch.exp(-beta.cumsum(0)),
            "That is what the product tends to for many small steps; here it must be exact.",
        ),
        Mistake(
            "only the last step's alpha_t",
            lambda beta: 1 - beta,
            "alpha bar is the running product of all alphas up to t.",
        ),
        Mistake(
            "only the last value of the table",
            lambda beta: (1 - beta).prod(),
            "All values are asked for: a running product, not one product.",
        ),
    ),
)


def _kernel(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar[t].reshape(-1, 1, 1, 1)
    return bar.sqrt() * x0 + (1 - bar).sqrt() * eps


def _kernel_cases(generator: Generator) -> Cases:
    # As many pictures as columns: the wrong broadcast then raises no error.
    return [
        (
            draw.normal(B, 2, 3, B, generator=generator),
            draw.steps(9, B, generator=generator),
            draw.normal(B, 2, 3, B, generator=generator),
            draw.schedule(9, generator=generator),
        )
        for B in (4, 5)
    ]


def _mixed(x0: Tensor, eps: Tensor, on_x0: Tensor, on_eps: Tensor) -> Tensor:
    return on_x0.reshape(-1, 1, 1, 1) * x0 + on_eps.reshape(-1, 1, 1, 1) * eps


def _unshaped(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar[t]
    return bar.sqrt() * x0 + (1 - bar).sqrt() * eps


def _one_step(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    return _mixed(x0, eps, schedule.alpha[t].sqrt(), schedule.beta[t].sqrt())


KERNEL = Function(
    id="ex-kernel-3",
    level="build",
    title="Jump from x_0 to any x_t",
    minutes=8,
    call="my_q_sample(x0, t, eps, schedule)",
    cases=_kernel_cases,
    reference=_kernel,
    forbidden=("q_sample",),
    mistakes=(
        Mistake(
            "variance for standard deviation",
            lambda x, t, e, s: _mixed(x, e, s.alpha_bar[t].sqrt(), 1 - s.alpha_bar[t]),
            "1 - alpha_bar_t is the variance of the noise. What is eps multiplied by?",
        ),
        Mistake(
            "missing square root on the picture's factor",
            lambda x, t, e, s: _mixed(x, e, s.alpha_bar[t], (1 - s.alpha_bar[t]).sqrt()),
            "The squares of the two factors must add up to 1.",
        ),
        Mistake(
            "alpha_t in place of alpha_bar_t: a single step",
            _one_step,
            "This is q(x_t | x_{t-1}). The kernel needs the product of all alphas up to t.",
        ),
        Mistake(
            "off by one in t",
            lambda x, t, e, s: _kernel(x, t - 1, e, s),
            "Slot 0 is the clean data, so alpha_bar[t] belongs to x_t.",
        ),
        Mistake(
            "wrong broadcast: alpha_bar_t runs along the columns, not along the batch",
            _unshaped,
            "alpha_bar[t] has shape (B,) and lines up with the last axis. Reshape it.",
        ),
        Mistake(
            "1 minus the root, instead of the root of 1 minus",
            lambda x, t, e, s: _mixed(x, e, s.alpha_bar[t].sqrt(), 1 - s.alpha_bar[t].sqrt()),
            "sqrt(1 - alpha_bar_t), not 1 - sqrt(alpha_bar_t): where does the bracket end?",
        ),
        Mistake(
            "the two factors are exchanged",
            lambda x, t, e, s: _mixed(x, e, (1 - s.alpha_bar[t]).sqrt(), s.alpha_bar[t].sqrt()),
            "For a small t, x_t must be nearly x_0.",
        ),
    ),
)


CLIP = 0.999


def _beta(alpha_bar: Tensor) -> Tensor:
    beta = torch.zeros_like(alpha_bar)
    beta[1:] = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    return beta


def _bar_cases(generator: Generator) -> list[tuple[Any, ...]]:
    cases = []
    for T in (6, 10, 14):
        alpha_bar = draw.schedule(T, generator=generator).alpha_bar.clone()
        alpha_bar[-1] = 1e-4 * alpha_bar[-2]  # so that the last step needs the clip
        cases.append((alpha_bar,))
    return cases


def _with_slot_0(steps: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, dtype=steps.dtype), steps])


BETA = Function(
    id="ex-kernel-7",
    level="build",
    title="From alpha bar back to beta",
    minutes=10,
    call="beta_from_alpha_bar(alpha_bar)",
    cases=_bar_cases,
    reference=_beta,
    mistakes=(
        Mistake(
            "the last step is not clipped",
            lambda bar: _with_slot_0(1 - bar[1:] / bar[:-1]),
            "No beta_t may be above 0.999: clip it.",
        ),
        Mistake(
            "a difference instead of a ratio",
            lambda bar: _with_slot_0((bar[:-1] - bar[1:]).clamp(max=CLIP)),
            "alpha_bar_t = alpha_bar_{t-1} (1 - beta_t): solve it for beta_t.",
        ),
        Mistake(
            "the alphas instead of the betas",
            lambda bar: _with_slot_0((bar[1:] / bar[:-1]).clamp(max=CLIP)),
            "The ratio is alpha_t = 1 - beta_t.",
        ),
        Mistake(
            "the ratio is upside down",
            lambda bar: _with_slot_0((1 - bar[:-1] / bar[1:]).clamp(max=CLIP)),
            "alpha_bar falls: later divided by earlier is below 1.",
        ),
        Mistake(
            "slot 0 is missing",
            lambda bar: (1 - bar[1:] / bar[:-1]).clamp(max=CLIP),
            "The table has length T+1, with beta[0] = 0 for the clean data.",
        ),
    ),
)
