"""Variance schedules: how much noise each step of the forward process adds.

Every table has length T+1 and slot 0 is the clean data, so that the index in the formula is
the index in the code. Tables are float64 and are cast when they meet an image (`at`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dmlib._validate import (
    as_index,
    check_alike,
    check_beta,
    check_int,
    check_real,
    check_schedule,
    whole,
)


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The variance schedule beta_1..beta_T and every table that follows from it.

    Source: Ho et al. 2020, section 2; the book's equations eq-alpha-bar and eq-snr.

    Args:
        beta: (T+1,), float64; beta[0] = 0 (no noise yet) and beta[1..T] in (0, 1], beta[1] so
            large that alpha_bar[1] < 1.
        name: what plots call it.

    Raises:
        ValueError: beta has another shape, a wrong slot 0 or a value outside (0, 1].
    """

    beta: Tensor
    name: str = "custom"

    def __post_init__(self) -> None:
        check_beta(self.beta)
        # A copy, so that nobody's later in-place change reaches this frozen table.
        object.__setattr__(self, "beta", self.beta.detach().cpu().double().clone())

    @property
    def T(self) -> int:
        """Number of noising steps."""
        return len(self.beta) - 1

    @cached_property
    def alpha(self) -> Tensor:
        """alpha_t = 1 - beta_t, (T+1,); alpha[0] = 1."""
        return 1 - self.beta

    @cached_property
    def alpha_bar(self) -> Tensor:
        """alpha_bar_t = prod_{s=1}^t alpha_s, (T+1,); alpha_bar[0] = 1 (eq-alpha-bar)."""
        return self.alpha.cumprod(0)

    @cached_property
    def signal(self) -> Tensor:
        """a_t = sqrt(alpha_bar_t), what is left of x_0 in x_t, (T+1,); signal[0] = 1."""
        return self.alpha_bar.sqrt()

    @cached_property
    def noise(self) -> Tensor:
        """b_t = sqrt(1 - alpha_bar_t), how much noise is in x_t, (T+1,); noise[0] = 0."""
        return (1 - self.alpha_bar).sqrt()

    @cached_property
    def snr(self) -> Tensor:
        """SNR(t) = alpha_bar_t / (1 - alpha_bar_t), (T+1,); snr[0] = inf (eq-snr)."""
        return self.alpha_bar / (1 - self.alpha_bar)

    @cached_property
    def log_snr(self) -> Tensor:
        """log SNR(t), natural logarithm, (T+1,); +inf at t = 0, -inf where alpha_bar_t = 0."""
        return self.snr.log()

    # What makes a path of it: the two numbers that mix x_t = a_t x_0 + b_t eps, at any t.

    @property
    def end(self) -> int:
        """Where the noise is, which is T."""
        return self.T

    @cached_property
    def last(self) -> int:
        """The last t at which x_t still tells of x_0, which is T, or T - 1 at zero SNR."""
        return self.T - int(self.alpha_bar[-1] == 0)

    def level(self, t: int) -> tuple[float, float]:
        """a_t and b_t as numbers, t one whole number in 0..T."""
        t = check_int("t", t, low=0, high=self.T)
        return float(self.signal[t]), float(self.noise[t])

    def mix(
        self, t: int | Tensor, like: Tensor, *, low: int = 0, high: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """a_t and b_t for a batch, each (B, 1, ..., 1) as `at` gives them; t in low..high."""
        where = {"low": low, "high": high}
        return at(self.signal, t, like, **where), at(self.noise, t, like, **where)


def _from_alpha_bar(alpha_bar: Tensor, *, beta_max: float, name: str) -> NoiseSchedule:
    """beta_t = min(1 - alpha_bar_t / alpha_bar_{t-1}, beta_max): Nichol & Dhariwal 2021, eq. 17."""
    beta = torch.zeros_like(alpha_bar)
    beta[1:] = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=beta_max)
    return NoiseSchedule(beta, name)


def linear_schedule(T: int = 1000, *, beta_1: float = 1e-4, beta_T: float = 0.02) -> NoiseSchedule:
    """beta_t rises in equal steps from beta_1 to beta_T.

    Source: Ho et al. 2020, section 4; the book's equation eq-linear-schedule.

    Args:
        T: number of steps, >= 1.
        beta_1, beta_T: first and last variance, 0 < beta_1 <= beta_T < 1. The defaults are made
            for T = 1000. With fewer steps scale both by 1000 / T; as they are, x_T would not be
            N(0, I) (alpha_bar_T = 0.60 for T = 50), and samples from N(0, I) would be wrong.

    Raises:
        ValueError: T < 1 or the variances are out of order or range.
    """
    T = check_int("T", T, low=1)
    beta_1, beta_T = check_real("beta_1", beta_1), check_real("beta_T", beta_T)
    if not 0 < beta_1 <= beta_T < 1:
        raise ValueError(
            f"linear_schedule needs 0 < beta_1 <= beta_T < 1, got beta_1={beta_1}, beta_T={beta_T}"
        )
    beta = torch.zeros(T + 1, dtype=torch.float64)
    beta[1:] = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return NoiseSchedule(beta, "linear")


def cosine_schedule(T: int = 1000, *, s: float = 0.008, beta_max: float = 0.999) -> NoiseSchedule:
    """alpha_bar_t = f(t)/f(0), f(t) = cos^2(pi/2 (t/T + s)/(1 + s)).

    Source: Nichol & Dhariwal 2021, eq. 17; the book's equation eq-cosine-schedule.

    Args:
        T: number of steps, >= 1.
        s: offset that keeps beta_1 away from 0, >= 0.
        beta_max: each beta_t is clipped to it, in (0, 1].

    Raises:
        ValueError: an argument is out of its range.
    """
    T, s = check_int("T", T, low=1), check_real("s", s, low=0)
    beta_max = check_real("beta_max", beta_max, low=0, high=1, open_low=True)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos(math.pi / 2 * (u + s) / (1 + s)) ** 2
    return _from_alpha_bar(f / f[0], beta_max=beta_max, name="cosine")


def sigmoid_schedule(
    T: int = 1000, *, start: float = -3.0, end: float = 3.0, beta_max: float = 0.999
) -> NoiseSchedule:
    """alpha_bar_t falls from 1 to 0 along a logistic curve cut to [start, end].

    alpha_bar_t = (sigma(end) - sigma(start + (end - start) t/T)) / (sigma(end) - sigma(start)).
    Source: Chen 2023, algorithm 1 (tau = 1), after Jabri et al. 2023; the book's equation
    eq-sigmoid-schedule.

    Args:
        T: number of steps, >= 1.
        start, end: the cut of the logistic curve, start < end.
        beta_max: each beta_t is clipped to it, in (0, 1].

    Raises:
        ValueError: an argument is out of its range.
    """
    T = check_int("T", T, low=1)
    beta_max = check_real("beta_max", beta_max, low=0, high=1, open_low=True)
    start, end = check_real("start", start), check_real("end", end)
    if not start < end:
        raise ValueError(f"start must be below end, got start={start}, end={end}")
    u = torch.arange(T + 1, dtype=torch.float64) / T
    lo, hi = torch.sigmoid(torch.tensor([start, end], dtype=torch.float64))
    alpha_bar = (hi - torch.sigmoid(start + (end - start) * u)) / (hi - lo)
    return _from_alpha_bar(alpha_bar, beta_max=beta_max, name="sigmoid")


def zero_terminal_snr(schedule: NoiseSchedule) -> NoiseSchedule:
    """Shift and stretch sqrt(alpha_bar) so that alpha_bar_T = 0 and alpha_bar_1 stays.

    Source: Lin et al. 2024, algorithm 1; the book's equation eq-zero-snr.

    Args:
        schedule: any schedule with T >= 2.

    Raises:
        ValueError: schedule is no NoiseSchedule, or T < 2, where first and last step are the same.
    """
    check_schedule(schedule)
    if schedule.T < 2:
        raise ValueError(f"zero_terminal_snr needs T >= 2, got T = {schedule.T}")
    root = schedule.alpha_bar.sqrt()
    root[1:] = (root[1:] - root[-1]) * root[1] / (root[1] - root[-1])
    alpha_bar = root**2
    beta = torch.zeros_like(alpha_bar)
    beta[1:] = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return NoiseSchedule(beta, f"{schedule.name}, zero terminal SNR")


def at(
    table: Tensor, t: int | Tensor, like: Tensor, *, low: int = 0, high: int | None = None
) -> Tensor:
    """Look up table[t] and shape it (B, 1, ..., 1), in the dtype and on the device of `like`.

    No value of t or `like` is read where all is well, so that no device is waited for.

    Args:
        table: (T+1,), any of a schedule's tables.
        t: int or (B,) int64, in low..high.
        like: (B, ...), floating point; what the result will be multiplied with.
        low, high: the range of t, 0..T if not given.

    Returns:
        (B, 1, ..., 1), as many axes as `like`.

    Raises:
        ValueError: table is no table, t is out of range or does not fit the batch of `like`.
    """
    if not isinstance(table, Tensor) or table.ndim != 1:
        got = tuple(table.shape) if isinstance(table, Tensor) else type(table).__name__
        raise ValueError(f"table must be a tensor (T+1,) such as schedule.alpha_bar, got {got}")
    check_alike(like=like)
    high = len(table) - 1 if high is None else high
    if whole(t) is not None:
        check_int("t", t, low=low, high=high)
    index = as_index("t", t, batch=len(like), device=like.device)
    try:
        values = _copy(table, like)[low : high + 1].index_select(0, index - low)
    except (IndexError, RuntimeError) as error:
        least, most = int(index.min()), int(index.max())
        raise ValueError(f"t must be in {low}..{high}, got {least} to {most}") from error
    return values.view(-1, *(1,) * (like.ndim - 1))


def _copy(table: Tensor, like: Tensor) -> Tensor:
    """The table in the dtype and on the device of `like`, made once and kept with the table.

    Cast before it moves: not every device has float64.
    """
    if table.is_inference():  # does not count its changes
        return table.to(like.dtype).to(like.device)
    copies = table.__dict__.setdefault("_copies", {})
    key = (table._version, like.dtype, like.device)
    if key not in copies:
        copies[key] = table.to(like.dtype).to(like.device)
    return copies[key]


def wide(x: Tensor) -> Tensor:
    """In float32 at least: in 16 bits 1 / sqrt(alpha_bar_t) of a late step would be lost."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
