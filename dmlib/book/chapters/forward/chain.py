"""The exercises of chapter 1, the forward process: whole chains and batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.forward import q_step
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _chain(x0: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    chain = [x0]
    for t in range(1, schedule.T + 1):
        beta_t = schedule.beta[t]
        chain.append((1 - beta_t).sqrt() * chain[-1] + beta_t.sqrt() * eps[t])
    return torch.stack(chain)


def _chain_cases(generator: Generator) -> Cases:
    return [
        (
            draw.normal(2, 3, generator=generator),
            draw.normal(T + 1, 2, 3, generator=generator),
            draw.schedule(T, generator=generator),
        )
        for T in (3, 5, 8)
    ]


def _from_x0(x0: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    steps = [q_step(x0, t, eps[t], schedule=schedule) for t in range(1, schedule.T + 1)]
    return torch.stack([x0, *steps])


def _early_beta(x0: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    beta = schedule.beta
    chain = [x0]
    for t in range(1, schedule.T + 1):
        chain.append((1 - beta[t - 1]).sqrt() * chain[-1] + beta[t - 1].sqrt() * eps[t])
    return torch.stack(chain)


def _from_slot_0(x0: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    chain = [x0]
    for t in range(schedule.T):
        beta_t = schedule.beta[t]
        chain.append((1 - beta_t).sqrt() * chain[-1] + beta_t.sqrt() * eps[t])
    return torch.stack(chain)


CHAIN = Function(
    id="ex-forward-6",
    level="build",
    title="The whole chain",
    minutes=10,
    call="noisy_chain(x0, eps, schedule)",
    cases=_chain_cases,
    reference=_chain,
    mistakes=(
        Mistake(
            "every step starts at x_0 again",
            _from_x0,
            "A step goes from x_{t-1} to x_t: use the last picture, not the first one.",
        ),
        Mistake(
            "off by one in beta",
            _early_beta,
            "The step to x_t uses beta[t]; beta[0] is 0 and adds nothing.",
        ),
        Mistake(
            "the same noise in every step",
            lambda x0, eps, s: _chain(x0, eps[1].expand_as(eps), s),
            "Each step has its own noise: eps[t] for the step to x_t.",
        ),
        Mistake(
            "off by one in eps",
            lambda x0, eps, s: _chain(x0, eps.roll(1, 0), s),
            "eps[t] belongs to the step to x_t; eps[0] is not used.",
        ),
        Mistake(
            "the steps are counted from 0",
            _from_slot_0,
            "The steps are 1..T; slot 0 does nothing.",
        ),
        Mistake(
            "the clean picture is missing at the front",
            lambda x0, eps, s: _chain(x0, eps, s)[1:],
            "Slot 0 is x_0, so the chain has T + 1 pictures.",
        ),
    ),
)


def _batch(x_prev: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    beta_t = schedule.beta[t].reshape(-1, 1, 1, 1)
    return (1 - beta_t).sqrt() * x_prev + beta_t.sqrt() * eps


def _batch_cases(generator: Generator) -> Cases:
    # As many pictures as columns: the wrong broadcast then raises no error.
    return [
        (
            draw.normal(B, 2, 3, B, generator=generator),
            draw.steps(12, B, generator=generator),
            draw.normal(B, 2, 3, B, generator=generator),
            draw.schedule(12, generator=generator),
        )
        for B in (4, 5)
    ]


def _broadcast(x_prev: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    beta_t = schedule.beta[t]
    return (1 - beta_t).sqrt() * x_prev + beta_t.sqrt() * eps


BATCH = Function(
    id="ex-forward-7",
    level="build",
    title="A batch, each picture at its own t",
    minutes=10,
    call="q_step_batch(x_prev, t, eps, schedule)",
    cases=_batch_cases,
    reference=_batch,
    forbidden=("q_step", "q_sample"),
    mistakes=(
        Mistake(
            "wrong broadcast: beta_t runs along the columns, not along the batch",
            _broadcast,
            "beta[t] has shape (B,) and lines up with the last axis. Give it shape (B, 1, 1, 1).",
        ),
        Mistake(
            "one t for the whole batch",
            lambda x, t, eps, s: _batch(x, t[:1], eps, s),
            "Every picture has its own t: use all of t.",
        ),
        Mistake(
            "off by one in t",
            lambda x, t, eps, s: _batch(x, t - 1, eps, s),
            "Slot 0 is the clean data, so beta[t] is the variance of step t.",
        ),
        Mistake(
            "variance for standard deviation",
            lambda x, t, eps, s: (
                (1 - s.beta[t]).sqrt().reshape(-1, 1, 1, 1) * x
                + s.beta[t].reshape(-1, 1, 1, 1) * eps
            ),
            "beta_t is a variance; eps is multiplied by its root.",
        ),
    ),
)
