"""The exact denoiser: what a perfect network would answer, where the data are known exactly.

For a Gaussian mixture and for a finite data set the mean E[x_0 | x_t] has a closed form. So
tests know the right answer and pictures can show it. All arithmetic is float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dmlib._validate import check_float, check_int, check_points, check_schedule
from dmlib.mixture import GaussianMixture, LowRankMixture, given_measurement, log_joint
from dmlib.parameterization import Guess
from dmlib.schedules import wide


class _Oracle:
    """What both oracles share: a denoiser on any path, and the score, from E[x_0 | x_t]."""

    def __init__(self, size: int, path: Any, device: torch.device) -> None:
        check_schedule(path)
        self.path = path
        self._size = size
        # What has no float64 is computed on the CPU.
        self._device = torch.device("cpu") if device.type == "mps" else device

    def __call__(self, xt: Tensor, t: Any) -> Guess:
        """The exact guess: x0_hat = E[x_0 | x_t] and eps_hat = E[eps | x_t].

        eps_hat = (x_t - a_t x0_hat) / b_t, on the lecture's path a_t = sqrt(alpha_bar_t) and
        b_t = sqrt(1 - alpha_bar_t).

        Args:
            xt: (B, ...), images or vectors of the data's size.
            t: int or (B,) int64, in 1..T (on another path: as that path takes it).

        Returns:
            Both (B, ...), float32 at least, on the device of xt.
        """
        flat, a, b = self._checked(xt, t)
        x0_hat = self._mean(flat, a, b)
        return Guess(*(self._back(x, xt) for x in (x0_hat, (flat - a * x0_hat) / b)))

    def score(self, xt: Tensor, t: Any) -> Tensor:
        """grad log q(x_t) = (a_t x0_hat - x_t) / b_t^2, shaped as xt (eq-score)."""
        flat, a, b = self._checked(xt, t)
        return self._back((a * self._mean(flat, a, b) - flat) / b**2, xt)

    def _mean(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """E[x_0 | x_t] for flat (B, D) and a, b (B, 1), float64 -> (B, D)."""
        raise NotImplementedError

    def _back(self, flat: Tensor, xt: Tensor) -> Tensor:
        return flat.view(xt.shape).to(wide(xt).dtype).to(xt.device)  # cast before it moves

    def _checked(self, xt: Tensor, t: Any) -> tuple[Tensor, Tensor, Tensor]:
        check_points("xt", xt, self._size)
        flat = xt.to(self._device).double().reshape(len(xt), self._size)
        return flat, *self.path.mix(t, flat, low=1)


class MixtureOracle(_Oracle):
    """The exact denoiser for data from a Gaussian mixture.

    E[x_0 | x_t] = sum_k P(k | x_t) (m_k + a s_k^2 / V_k (x_t - a m_k)), where
    a = a_t = sqrt(alpha_bar_t) and V_k = a_t^2 s_k^2 + b_t^2 = alpha_bar_t s_k^2 + 1 - alpha_bar_t.
    Source: conjugacy of Gaussians (Bishop 2006, eqs. 2.113 to 2.117); the book's equation
    eq-oracle-mixture.

    Args:
        mixture: the distribution of x_0.
        schedule: the variance schedule, or another path.
    """

    def __init__(self, mixture: GaussianMixture, *, schedule: Any) -> None:
        if not isinstance(mixture, GaussianMixture):
            kind = type(mixture).__name__
            raise ValueError(f"mixture must be a GaussianMixture, got {kind}")
        super().__init__(mixture.D, schedule, torch.device("cpu"))
        self.mixture = mixture

    def _mean(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        m, s2 = self.mixture.means, self.mixture.stds**2
        V = a**2 * s2 + b**2  # (B, K)
        centres = a[..., None] * m  # (B, K, D)
        share = log_joint(flat, self.mixture.weights, centres, V.sqrt()).softmax(1)
        x0_hat = m + (a * s2 / V)[..., None] * (flat[:, None] - centres)  # (B, K, D)
        return (share[..., None] * x0_hat).sum(1)


class LowRankOracle(_Oracle):
    """The exact denoiser for data from a mixture of low-rank Gaussians, pictures among them.

    x0_hat = E[x_0 | x_t] as `LowRankMixture.guess` has it. With the mixture that `given_seen`
    gives, one row for each row of x_t, it is the exact denoiser of what is hidden.
    Source: conjugacy of Gaussians (Bishop 2006, eqs. 2.113 to 2.117); the book's equation
    eq-low-rank-guess.

    Args:
        mixture: the distribution of x_0: one row for all x_t, or one for each.
        schedule: the variance schedule, or another path.
    """

    def __init__(self, mixture: LowRankMixture, *, schedule: Any) -> None:
        super().__init__(mixture.means.shape[-1], schedule, torch.device("cpu"))
        self.mixture = mixture

    def _mean(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return self.mixture.guess(flat, a, b)


class ConditionalOracle(_Oracle):
    """The exact denoiser where y = A x_0 + noise is known: x0_hat = E[x_0 | x_t, y].

    Its `score` is grad log q(x_t | y). The posterior p(x_0 | y) is a mixture again, and so the sum
    of `MixtureOracle` serves, along the axes of A with a variance v for each:
    E[x_0 | x_t, y] = sum_k P(k | x_t, y) (m_k + a v_k / (a^2 v_k + b^2) (x_t - a m_k)).
    Source: conjugacy of Gaussians (Bishop 2006, eqs. 2.113 to 2.117); the book's equation
    eq-posterior-mixture.

    Args:
        mixture: the distribution of x_0 before y is known.
        A: (M, D).
        y: (M,), or (B, M) with one measurement for each row of x_t.
        std: of the noise in y, > 0.
        schedule: the variance schedule, or another path.

    Attributes:
        posterior: p(x_0 | y), an `AlignedMixture`.

    Raises:
        ValueError: an argument does not fit; at a call, x_t has not as many rows as y.
    """

    def __init__(
        self, mixture: GaussianMixture, A: Tensor, y: Tensor, std: float, *, schedule: Any
    ) -> None:
        super().__init__(mixture.D, schedule, torch.device("cpu"))
        self.posterior = given_measurement(mixture, A, y, std)

    def _mean(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        known, a, b = self.posterior, a[..., None], b[..., None]  # a, b (B, 1, 1)
        if len(known.weights) not in (1, len(flat)):
            raise ValueError(f"xt must have {len(known.weights)} rows as y, got {len(flat)}")
        there = known.mixed(a, b)  # q(x_t | y)
        off = (flat @ known.axes)[:, None] - there.means  # (B, K, D)
        x0_hat = known.means + a * known.variances / there.variances * off
        return (there.posterior(flat)[..., None] * x0_hat).sum(1) @ known.axes.mT


class FiniteOracle(_Oracle):
    """The exact denoiser for a finite data set, each of its N points equally likely.

    E[x_0 | x_t] = sum_i w_i x_i,
    w = softmax_i(-||x_t - sqrt(alpha_bar_t) x_i||^2 / (2 (1 - alpha_bar_t))):
    an average of the data, and near t = 0 the nearest point. Such a network has memorised its data.
    Source: Karras et al. 2022, appendix B.3; the book's equation eq-oracle-finite.

    The sum runs over chunks of the data with a running maximum, so its memory is the data plus
    a few (chunk, D) and (B, chunk) blocks in float64: 60,000 images of 784 pixels fit easily.

    Args:
        data: (N, ...), images in [-1, 1] or vectors; kept in its own dtype, on its own device.
        schedule: the variance schedule, or another path.
        chunk: how many points are looked at together, >= 1.

    Raises:
        ValueError: data is empty, without a batch axis or not finite floating point; chunk < 1.
    """

    def __init__(self, data: Tensor, *, schedule: Any, chunk: int = 4096) -> None:
        chunk = check_int("chunk", chunk, low=1)
        if isinstance(data, Tensor) and (data.ndim < 2 or data.numel() == 0):
            raise ValueError(f"data must be (N, ...) and not empty, got {tuple(data.shape)}")
        # In chunks here, too: torch.isfinite makes copies as large as its input.
        for part in data.split(chunk) if isinstance(data, Tensor) else (data,):
            check_float("data", part)
        super().__init__(data[0].numel(), schedule, data.device)
        self.data = data.detach().reshape(len(data), -1)
        self.chunk = chunk

    def posterior(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """P(x_0 = x_i | x_t), (B, N), float64: how much of each point is left; rows sum to 1."""
        flat, a, b = self._checked(xt, t)
        parts = [_log_kernel(flat, a, b, x) for x in self._chunks()]
        return torch.cat(parts, 1).softmax(1)

    def log_prob(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """log q(x_t) = log (1/N) sum_i N(x_t; sqrt(alpha_bar_t) x_i, (1 - alpha_bar_t) I), (B,)."""
        flat, a, b = self._checked(xt, t)
        log_sum = torch.full((len(flat),), -math.inf, dtype=torch.float64, device=self._device)
        for x in self._chunks():
            log_sum = log_sum.logaddexp(_log_kernel(flat, a, b, x).logsumexp(1))
        log_norm = self._size / 2 * (2 * math.pi * b[:, 0] ** 2).log()
        return log_sum - math.log(len(self.data)) - log_norm

    def _mean(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        top = flat.new_full((len(flat), 1), -math.inf)  # running maximum of the log weights
        total, mean = torch.zeros_like(top), torch.zeros_like(flat)
        for points in self._chunks():
            logits = _log_kernel(flat, a, b, points)  # (B, chunk)
            new_top = torch.maximum(top, logits.amax(1, keepdim=True))
            shrink, weights = (top - new_top).exp(), (logits - new_top).exp()
            total = shrink * total + weights.sum(1, keepdim=True)
            mean = shrink * mean + weights @ points
            top = new_top
        return mean / total

    def _chunks(self) -> Iterator[Tensor]:
        return (x.to(self._device).double() for x in self.data.split(self.chunk))


def _log_kernel(flat: Tensor, a: Tensor, b: Tensor, points: Tensor) -> Tensor:
    """-||x_t - a_t x_i||^2 / (2 b_t^2), (B, chunk), by one product."""
    cross = a * (flat @ points.mT)
    square = (flat**2).sum(1, keepdim=True) + a**2 * (points**2).sum(1)
    return (cross - square / 2) / b**2
