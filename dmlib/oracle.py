"""The exact denoiser: what a perfect network would answer, where the data's law is known.

For a Gaussian mixture and for a finite data set the mean E[x_0 | x_t] has a closed form. So
tests know the right answer and pictures can show it. All arithmetic is float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dmlib._validate import check_float, check_int, check_t
from dmlib.mixture import GaussianMixture, log_joint, reverse_posterior
from dmlib.schedules import NoiseSchedule, at, check_schedule

__all__ = ["FiniteOracle", "GaussianMixture", "MixtureOracle", "reverse_posterior"]


class _Oracle:
    """What both oracles share: checks, shapes, and eps and score from E[x_0 | x_t]."""

    def __init__(self, size: int, schedule: NoiseSchedule, device: torch.device) -> None:
        check_schedule(schedule)
        self.schedule = schedule
        self._size = size
        self._device = device

    def __call__(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """The exact eps_hat = E[eps | x_t].

        eps_hat = (x_t - sqrt(alpha_bar_t) x0_hat) / sqrt(1 - alpha_bar_t).

        Args:
            xt: (B, ...), images or vectors of the data's size.
            t: int or (B,) int64, in 1..T.

        Returns:
            eps_hat, (B, ...), in the dtype and on the device of xt.
        """
        flat, alpha_bar = self._checked(xt, t)
        eps_hat = (flat - alpha_bar.sqrt() * self._mean(flat, alpha_bar)) / (1 - alpha_bar).sqrt()
        return eps_hat.view(xt.shape).to(xt)

    def x0_hat(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """E[x_0 | x_t], shaped as xt (B, ...); t int or (B,) int64, in 1..T."""
        return self._mean(*self._checked(xt, t)).view(xt.shape).to(xt)

    def score(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """grad log q(x_t) = (sqrt(alpha_bar_t) x0_hat - x_t) / (1 - alpha_bar_t), shaped as xt."""
        flat, alpha_bar = self._checked(xt, t)
        score = (alpha_bar.sqrt() * self._mean(flat, alpha_bar) - flat) / (1 - alpha_bar)
        return score.view(xt.shape).to(xt)

    def _mean(self, flat: Tensor, alpha_bar: Tensor) -> Tensor:
        """E[x_0 | x_t] for flat (B, D) and alpha_bar (B, 1), float64 -> (B, D)."""
        raise NotImplementedError

    def _checked(self, xt: Tensor, t: int | Tensor) -> tuple[Tensor, Tensor]:
        check_float("xt", xt)
        if xt.ndim < 2 or math.prod(xt.shape[1:]) != self._size:
            raise ValueError(
                f"xt must be (B, ...) with {self._size} values a sample, got {tuple(xt.shape)}"
            )
        t = check_t(t, self.schedule.T, batch=len(xt))
        flat = xt.to(self._device, torch.float64).reshape(len(xt), self._size)
        return flat, at(self.schedule.alpha_bar, t, flat)


class MixtureOracle(_Oracle):
    """The exact denoiser for data from a Gaussian mixture.

    E[x_0 | x_t] = sum_k P(k | x_t) (m_k + a s_k^2 / V_k (x_t - a m_k)), where
    a = sqrt(alpha_bar_t) and V_k = alpha_bar_t s_k^2 + 1 - alpha_bar_t.
    Source: conjugacy of Gaussians (Bishop 2006, eqs. 2.113 to 2.117); the book's equation
    eq-oracle-mixture.

    Args:
        mixture: the law of x_0.
        schedule: the variance schedule.
    """

    def __init__(self, mixture: GaussianMixture, *, schedule: NoiseSchedule) -> None:
        if not isinstance(mixture, GaussianMixture):
            kind = type(mixture).__name__
            raise ValueError(f"mixture must be a GaussianMixture, got {kind}")
        super().__init__(mixture.D, schedule, torch.device("cpu"))
        self.mixture = mixture

    def _mean(self, flat: Tensor, alpha_bar: Tensor) -> Tensor:
        m, s2 = self.mixture.means, self.mixture.stds**2
        root = alpha_bar.sqrt()
        V = alpha_bar * s2 + 1 - alpha_bar  # (B, K)
        centres = root[..., None] * m  # (B, K, D)
        share = log_joint(flat, self.mixture.weights, centres, V.sqrt()).softmax(1)
        x0_hat = m + (root * s2 / V)[..., None] * (flat[:, None] - centres)  # (B, K, D)
        return (share[..., None] * x0_hat).sum(1)


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
        schedule: the variance schedule.
        chunk: how many points are looked at together, >= 1.

    Raises:
        ValueError: data is empty, without a batch axis or not finite floating point; chunk < 1.
    """

    def __init__(self, data: Tensor, *, schedule: NoiseSchedule, chunk: int = 4096) -> None:
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
        flat, alpha_bar = self._checked(xt, t)
        parts = [_log_kernel(flat, alpha_bar, x.double()) for x in self.data.split(self.chunk)]
        return torch.cat(parts, 1).softmax(1)

    def log_prob(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """log q(x_t) = log (1/N) sum_i N(x_t; sqrt(alpha_bar_t) x_i, (1 - alpha_bar_t) I), (B,)."""
        flat, alpha_bar = self._checked(xt, t)
        log_sum = torch.full((len(flat),), -math.inf, dtype=torch.float64, device=self._device)
        for x in self.data.split(self.chunk):
            log_sum = log_sum.logaddexp(_log_kernel(flat, alpha_bar, x.double()).logsumexp(1))
        log_norm = self._size / 2 * (2 * math.pi * (1 - alpha_bar[:, 0])).log()
        return log_sum - math.log(len(self.data)) - log_norm

    def _mean(self, flat: Tensor, alpha_bar: Tensor) -> Tensor:
        top = flat.new_full((len(flat), 1), -math.inf)  # running maximum of the log weights
        total, mean = torch.zeros_like(top), torch.zeros_like(flat)
        for x in self.data.split(self.chunk):
            points = x.double()
            logits = _log_kernel(flat, alpha_bar, points)  # (B, chunk)
            new_top = torch.maximum(top, logits.amax(1, keepdim=True))
            shrink, weights = (top - new_top).exp(), (logits - new_top).exp()
            total = shrink * total + weights.sum(1, keepdim=True)
            mean = shrink * mean + weights @ points
            top = new_top
        return mean / total


def _log_kernel(flat: Tensor, alpha_bar: Tensor, points: Tensor) -> Tensor:
    """-||x_t - sqrt(alpha_bar_t) x_i||^2 / (2 (1 - alpha_bar_t)), (B, chunk), by one product."""
    cross = alpha_bar.sqrt() * (flat @ points.mT)
    square = (flat**2).sum(1, keepdim=True) + alpha_bar * (points**2).sum(1)
    return (cross - square / 2) / (1 - alpha_bar)
