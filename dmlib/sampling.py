"""Sampling: from noise to data, one step of the reverse process after another.

`sample` is the one loop around every step rule (steps.py). It asks a denoiser, denoiser(xt, t) ->
Guess, which knows its path: a network (models/predictions.py), an exact one (oracle.py), or either
of them wrapped (guidance.py, `clipped`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dmlib._validate import (
    check_alike,
    check_denoiser,
    check_float,
    check_generator,
    check_guess,
    check_int,
    check_real,
    check_rule,
    check_times,
    whole,
)
from dmlib.forward import noise_like
from dmlib.parameterization import Denoiser, Guess, guess_from_x0
from dmlib.schedules import wide
from dmlib.steps import Move, Step, ddim, ddpm, dpm_solver, heun


class Snapshot(NamedTuple):
    """A trajectory at one moment: x_t, and what the denoiser says of it (eps_hat None at the end).

    All are (B, ...), float32 at least.
    """

    t: float
    xt: Tensor
    x0_hat: Tensor
    eps_hat: Tensor | None


def spaced_times(T: int, steps: int) -> list[int]:
    """steps + 1 times from T down to 0, as evenly spaced as whole numbers can be.

    Args:
        T: number of noising steps, >= 1.
        steps: of the sampler, in 1..T.

    Raises:
        ValueError: steps is not in 1..T.
    """
    T = check_int("T", T, low=1)
    steps = check_int("steps", steps, low=1, high=T)
    return [(2 * T * i + steps) // (2 * steps) for i in range(steps, -1, -1)]


def sample(
    denoiser: Denoiser,
    xT: Tensor,
    *,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int | Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Snapshot]:
    """Walk from x_T to x_0, and show every x_t on the way with what is said of it there.

    Args:
        denoiser: denoiser(xt, t) -> Guess, with its path; called with t as (B,); no gradients.
        xT: (B, ...), where to start: standard normal noise for the first time, or an image that
            was noised to it.
        step: the rule: ddpm(), ddim(eta), dpm_solver(), heun(), or a function called like them.
        times: how many steps, evenly spaced over the path; or every t to be at, falling, the last
            one 0; if None, 50 steps, or T where T is less.
        generator: for the noise of the steps, on any device; torch's global one if None.

    Yields:
        A Snapshot before each step, and the last one (0, x_0, x_0, None): steps + 1 in all.

    Raises:
        ValueError: an argument does not fit (at once), or an answer of the denoiser or of the rule
            does not (when it comes).
    """
    check_float("xT", xT)
    check_alike(xT=xT)
    check_denoiser(denoiser)
    check_generator(generator)
    check_rule(step, (ddim, ddpm, dpm_solver, heun))
    return _walk(denoiser, wide(xT), step, walk_times(times, denoiser.path), generator)


@torch.no_grad()
def _walk(
    denoiser: Denoiser,
    xt: Tensor,
    step: Step,
    times: list[float],
    generator: torch.Generator | None,
) -> Iterator[Snapshot]:
    def look(x: Tensor, t: float) -> Guess:
        dtype = x.dtype if isinstance(t, float) else torch.int64
        guess = denoiser(x, torch.full((len(x),), t, dtype=dtype, device=x.device))
        check_guess("the denoiser's answer", guess, xt=x)
        return Guess(*map(wide, guess))

    before = None
    for t, t_prev in pairwise(times):
        guess = look(xt, t)
        yield Snapshot(t, xt, *guess)
        move = Move(denoiser.path, t, t_prev, look, before)
        x_prev = step(xt, guess, noise_like(xt, generator), move)
        check_alike(xt=xt, x_prev=x_prev)
        xt, before = x_prev, (t, guess)
    yield Snapshot(times[-1], xt, xt, None)


def generate(
    denoiser: Denoiser,
    xT: Tensor,
    *,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int | Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The end of the walk alone, x_0 (B, ...), float32 at least; arguments as for `sample`.

    A network with dropout answers anew each time while it trains: call net.eval() first.

    Raises:
        ValueError: as `sample`; or x_0 holds NaN, looked at once at the end.
    """
    for snapshot in sample(denoiser, xT, step=step, times=times, generator=generator):  # noqa: B007
        pass
    if torch.isnan(snapshot.xt).any():
        raise ValueError("x_0 must hold numbers, got NaN: the denoiser's or the step rule's")
    return snapshot.xt


def clipped(denoiser: Denoiser, *, low: float = -1.0, high: float = 1.0) -> Denoiser:
    """A denoiser whose x0_hat stays in the range of the data; eps_hat follows.

    Steps never clip by themselves; wrap the denoiser where x0_hat leaves the range.
    Source: the code of Ho et al. 2020 (clip_denoised); the book's equation eq-x0-from-eps.

    Args:
        denoiser: whose x0_hat is clipped.
        low, high: the range, low < high.

    Raises:
        ValueError: not low < high.
    """
    check_denoiser(denoiser)
    low, high = check_real("low", low), check_real("high", high)
    if not low < high:
        raise ValueError(f"low must be below high, got low={low}, high={high}")
    path = denoiser.path

    def look(xt: Tensor, t: Any) -> Guess:
        x0_hat = denoiser(xt, t).x0_hat.clamp(low, high)
        return guess_from_x0(x0_hat, wide(xt), t, schedule=path)

    return Denoiser(path, look)


def walk_times(times: int | Sequence[float] | None, path: Any) -> list[float]:
    """Every t that `sample` is at for these `times`, falling to 0.

    Args:
        times: as for `sample`.
        path: of the denoiser.

    Raises:
        ValueError: times do not fit the path.
    """
    if times is not None and whole(times) is None:
        return check_times(times, path)
    T = getattr(path, "T", None)
    steps = min(50, T or 50) if times is None else check_int("times", times, low=1, high=T)
    return spaced_times(T, steps) if T else path.times(steps)
