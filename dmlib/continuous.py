"""Continuous time: the same process as a path, an SDE and a flow.

A path mixes data and noise at every time s: x_s = a_s x_0 + b_s eps, from s = 0 (data) to its end
(noise). `DiffusionPath` is the limit of the lecture's chain; `StraightPath` is that of flow
matching; `GrowingNoise` is that of EDM. Denoisers, oracles, guidance and the rules of steps.py work
on all of them; only `along`, the velocity and the rules below are new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dmlib._validate import check_call, check_denoiser, check_int, check_move, check_real
from dmlib.parameterization import Denoiser, Guess
from dmlib.schedules import NoiseSchedule, wide
from dmlib.steps import Move, Step


@dataclass(frozen=True)
class ContinuousPath:
    """What all paths share; a path gives `_ab(s)` and `rates(s)` for numbers and for tensors.

    Attributes:
        end: where the noise is.
    """

    end: float = 1.0

    def _ab(self, s: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _rates(self, s: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def level(self, t: float) -> tuple[float, float]:
        """a_s and b_s as numbers, s in [0, end]."""
        s = check_real("t", t, low=0, high=self.end)
        a, b = self._ab(torch.tensor(s, dtype=torch.float64))
        return float(a), float(b)

    def rates(self, t: float) -> tuple[float, float]:
        """da/ds and db/ds as numbers, s in (0, end]."""
        s = check_real("t", t, low=0, high=self.end, open_low=True)
        return tuple(map(float, self._rates(torch.tensor(s, dtype=torch.float64))))

    def mix(
        self, t: Any, like: Tensor, *, low: int = 0, high: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """a_s and b_s for a batch, (B, 1, ..., 1), in the dtype and on the device of `like`."""
        s = torch.as_tensor(t, dtype=like.dtype, device=like.device).expand(len(like))
        shape = (-1, *(1,) * (like.ndim - 1))
        return tuple(x.view(shape) for x in self._ab(s))

    def times(self, steps: int) -> list[float]:
        """steps + 1 times from the end to 0, evenly spaced."""
        return [self.end * i / steps for i in range(steps, -1, -1)]


@dataclass(frozen=True)
class DiffusionPath(ContinuousPath):
    """The lecture's chain with ever smaller steps: dx = -beta(s)/2 x ds + sqrt(beta(s)) dw.

    beta(s) = beta_0 + s (beta_1 - beta_0), a_s = exp(-(integral of beta from 0 to s) / 2),
    b_s = sqrt(1 - a_s^2). `linear_schedule(1000)` is nearly it: beta_t = beta(t/1000) / 1000.
    Source: Song et al. 2021 (score SDE), eqs. 11 and 33; the book's equation eq-sde.

    Args:
        beta_0, beta_1: noise per time at both ends.
    """

    beta_0: float = 0.1
    beta_1: float = 20.0

    def beta(self, s: Any) -> Any:
        """beta(s), numbers or tensors."""
        return self.beta_0 + s * (self.beta_1 - self.beta_0)

    def _ab(self, s: Tensor) -> tuple[Tensor, Tensor]:
        integral = self.beta_0 * s + (self.beta_1 - self.beta_0) * s**2 / 2
        return torch.exp(-integral / 2), torch.sqrt(-torch.expm1(-integral))

    def _rates(self, s: Tensor) -> tuple[Tensor, Tensor]:
        (a, b), beta = self._ab(s), self.beta(s)
        return -beta / 2 * a, beta / 2 * a**2 / b

    def schedule(self, T: int) -> NoiseSchedule:
        """The chain of T steps that visits this path at s = t/T: the same q(x_t | x_0)."""
        T = check_int("T", T, low=1)
        a, _ = self._ab(torch.arange(T + 1, dtype=torch.float64) / T)
        beta = torch.zeros(T + 1, dtype=torch.float64)
        beta[1:] = 1 - (a[1:] / a[:-1]) ** 2
        return NoiseSchedule(beta, "continuous")


@dataclass(frozen=True)
class StraightPath(ContinuousPath):
    """x_s = (1 - s) x_0 + s eps: data and noise change places at constant speed.

    Source: Lipman et al. 2023; Liu et al. 2023 (their time runs from noise to data); the book's
    equation eq-straight-path.
    """

    def _ab(self, s: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - s, s

    def _rates(self, s: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(s), torch.ones_like(s)


@dataclass(frozen=True)
class GrowingNoise(ContinuousPath):
    """x_sigma = x_0 + sigma eps: the data stay and the noise grows; the time is sigma itself.

    Source: Karras et al. 2022, section 2 and eq. 5 (the times); the book's equation eq-edm-times.

    Args:
        end: the largest sigma.
        sigma_min: the last sigma before 0.
        rho: how much closer the times lie at small sigma.
    """

    end: float = 80.0
    sigma_min: float = 0.002
    rho: float = 7.0

    def _ab(self, s: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(s), s

    def _rates(self, s: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(s), torch.ones_like(s)

    def times(self, steps: int) -> list[float]:
        """sigma_i = (end^(1/rho) + i/(n-1) (sigma_min^(1/rho) - end^(1/rho)))^rho, and then 0."""
        high, low = self.end ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        n = max(steps - 1, 1)
        inner = [(high + i / n * (low - high)) ** self.rho for i in range(1, steps)]
        return [self.end, *inner, 0.0]


def velocity_from_guess(guess: Guess, t: float, *, path: ContinuousPath) -> Tensor:
    """u = dx_s/ds with both ends held: u = a'_s x0_hat + b'_s eps_hat (straight path: eps - x0).

    Its mean given x_s is the velocity of the flow that carries q(x_s) along.
    Source: Lipman et al. 2023, eqs. 8 and 9; the book's equation eq-velocity.

    Args:
        guess: both (B, ...).
        t: the time s, one number in (0, end].
        path: the path.
    """
    a_rate, b_rate = path.rates(t)
    return a_rate * guess.x0_hat + b_rate * guess.eps_hat


def guess_from_velocity(u: Tensor, xs: Tensor, t: Any, *, path: ContinuousPath) -> Guess:
    """Both ends from x_s and its velocity: x_s = a x0 + b eps and u = a' x0 + b' eps, solved.

    On the straight path x0_hat = x_s - s u and eps_hat = x_s + (1 - s) u; nothing is divided.
    Source: the same two equations; the book's equation eq-velocity.

    Args:
        u, xs: (B, ...).
        t: the time s, a number or (B,).
        path: the path.
    """
    check_call(path, xs=xs, u=u)
    x, u = wide(xs), wide(u)
    a, b = path.mix(t, x)
    s = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
    a_rate, b_rate = (r.view(a.shape) for r in path._rates(s))
    turn = a * b_rate - b * a_rate
    return Guess((b_rate * x - b * u) / turn, (a * u - a_rate * x) / turn)


def edm_weights(sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in and c_noise: x0_hat = c_skip x + c_out net(c_in x, c_noise).

    c_in makes the network's input, c_out its target of variance 1; c_skip makes c_out smallest.
    For sigma_data = 1 this is a network that predicts v, with its sign turned.
    Source: Karras et al. 2022, table 1 and appendix B.6; the book's equation eq-edm-weights.

    Args:
        sigma: noise levels b/a, any shape, > 0.
        sigma_data: standard deviation of the data, > 0.
    """
    total = (sigma**2 + sigma_data**2).sqrt()
    return sigma_data**2 / total**2, sigma * sigma_data / total, 1 / total, sigma.log() / 4


def along(denoiser: Denoiser, path: ContinuousPath) -> Denoiser:
    """The same denoiser on another path: all Gaussian paths are one, up to a clock and a scale.

    x_s / a_s = x_0 + sigma eps, sigma = b_s / a_s, on every path: go to that sigma on the
    denoiser's own path, scale x_s, and ask. The guess of x_0 and eps needs no scaling.
    Source: Karras et al. 2022, appendix B; the book's equation eq-same-path.

    Args:
        denoiser: with its path, a NoiseSchedule (the t of the nearest log sigma is asked).
        path: where to go.
    """
    check_denoiser(denoiser)
    schedule = denoiser.path
    log_sigma = -schedule.log_snr[1:] / 2

    def look(xs: Tensor, s: Any) -> Guess:
        a, b = path.mix(s, wide(xs))
        wanted = (b / a).log().flatten().cpu().double()
        t = (torch.searchsorted((log_sigma[1:] + log_sigma[:-1]) / 2, wanted) + 1).to(xs.device)
        _, b_t = schedule.mix(t, wide(xs))
        return denoiser(b_t / b * xs, t)  # = a_t / a_s xs, and a_s may be 0

    return Denoiser(path, look)


def euler(churn: float = 0.0) -> Step:
    """One step of Euler on the ODE (churn = 0), of Euler-Maruyama on the reverse SDE (churn = 1).

    dx = [u + churn^2 g^2 / (2 b) eps_hat] ds + churn g dw, backwards in s, u = velocity and
    g^2 = 2 b (b' - a'/a b): for every churn the marginals are q(x_s).
    Source: Anderson 1982; Song et al. 2021 (score SDE), eqs. 6 and 13; the book's equation
    eq-reverse-family.

    Args:
        churn: >= 0, how much noise is added, and taken away again.
    """
    churn = check_real("churn", churn, low=0)

    def step(xs: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        path, h = move.path, move.t - move.t_prev
        drift = velocity_from_guess(guess, move.t, path=path)
        if not churn:
            return wide(xs) - h * drift
        g2, (_, b) = _noise_rate(path, move.t), path.level(move.t)
        x = wide(xs) - h * (drift + churn**2 * g2 / (2 * b) * guess.eps_hat)
        return x + churn * math.sqrt(g2 * h) * noise if move.t_prev > 0 else x

    return step


def rk4() -> Step:
    """One step of Runge and Kutta on the ODE, fourth order; it looks four times.

    Source: Kutta 1901; the book's equation eq-pf-ode, which it solves.
    """

    def step(xs: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        path, s, h = move.path, move.t, move.t_prev - move.t
        if move.t_prev == 0:  # u at s = 0 is not asked for: the guess of x_0 is the end
            return guess.x0_hat
        x, half = wide(xs), s + h / 2

        def slope(x: Tensor, s: float) -> Tensor:
            return velocity_from_guess(move.look(x, s), s, path=path)

        k1 = velocity_from_guess(guess, s, path=path)
        k2 = slope(x + h / 2 * k1, half)
        k3 = slope(x + h / 2 * k2, half)
        k4 = slope(x + h * k3, s + h)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


def log_likelihood(
    denoiser: Denoiser,
    x0: Tensor,
    *,
    times: list[float],
    probes: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log p(x_0) in nats by the change of variables along the ODE, (B,), float64.

    d log p(x_s)/ds = -div u(x_s, s): walk up from the data (the last of `times` but 0) to the
    noise, whose density is known. Steps are those of Heun.
    Source: Chen et al. 2018, eq. 2; Song et al. 2021 (score SDE), section 4.3; the book's equation
    eq-change-of-variables.

    Args:
        denoiser: on a continuous path, differentiable.
        x0: (B, D), data.
        times: as for `sample`, falling to 0; x_0 is taken for x at the last one above 0.
        probes: of Hutchinson's estimate of the divergence; 0 computes it exactly, D gradients.
        generator: for the probes, on any device.
    """
    check_denoiser(denoiser)
    dtype = torch.float32 if x0.device.type == "mps" else torch.float64  # mps has no float64
    path, x = denoiser.path, x0.to(dtype, copy=True)
    up = sorted(t for t in times if t > 0)
    source = "cpu" if generator is None else generator.device
    coins = torch.randint(0, 2, (probes, *x.shape), generator=generator, device=source)
    signs = coins.to(x) * 2 - 1
    total = torch.zeros(len(x), dtype=dtype, device=x.device)
    for s, s_next in pairwise(up):
        h = s_next - s
        u, div = _velocity_and_divergence(denoiser, x, s, signs)
        ahead, div_next = _velocity_and_divergence(denoiser, x + h * u, s_next, signs)
        x, total = x + h / 2 * (u + ahead), total + h / 2 * (div + div_next)
    a, b = path.level(up[-1])
    variance = a**2 + b**2 if isinstance(path, DiffusionPath) else b**2
    prior = -(x**2 / variance + math.log(2 * math.pi * variance)).flatten(1).sum(1) / 2
    return prior + total


def _velocity_and_divergence(
    denoiser: Denoiser, x: Tensor, s: float, signs: Tensor
) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_(True)
    t = torch.full((len(x),), s, dtype=x.dtype, device=x.device)
    u = velocity_from_guess(denoiser(x, t), s, path=denoiser.path)
    probes = signs if len(signs) else torch.eye(x[0].numel()).to(x).view(-1, 1, *x.shape[1:])
    rows = (torch.autograd.grad((u * v).sum(), x, retain_graph=True)[0] for v in probes)
    each = [(row * v).flatten(1).sum(1) for row, v in zip(rows, probes, strict=True)]
    return u.detach(), torch.stack(each).sum(0) / (len(signs) or 1)


def _noise_rate(path: ContinuousPath, t: float) -> float:
    """g^2 = 2 b (b' - a'/a b), the variance that the forward SDE adds per time."""
    check_move(path, t, 0)
    (a, b), (a_rate, b_rate) = path.level(t), path.rates(t)
    return 2 * b * (b_rate - a_rate / a * b)
