"""Gaussian mixtures: data whose every diffused and reversed distribution is known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dmlib._validate import (
    check_float,
    check_generator,
    check_int,
    check_mixture,
    check_points,
    check_real,
    check_schedule,
)
from dmlib.forward import noise_like
from dmlib.schedules import NoiseSchedule


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """p(x) = sum_k w_k N(x; m_k, s_k^2 I), a mixture of isotropic Gaussians.

    Args:
        weights: (K,), not negative, summing to 1.
        means: (K, D); a 1-D mixture has means (K, 1).
        stds: (K,), positive standard deviations (not variances).

    Raises:
        ValueError: a shape does not fit or a value is out of its range.
    """

    weights: Tensor
    means: Tensor
    stds: Tensor

    def __post_init__(self) -> None:
        for name in ("weights", "means", "stds"):
            value = torch.as_tensor(getattr(self, name)).detach().cpu().double().clone()
            object.__setattr__(self, name, value)
        check_mixture(self.weights, self.means, self.stds)
        object.__setattr__(self, "weights", self.weights / self.weights.sum())

    @property
    def D(self) -> int:
        """Number of dimensions."""
        return self.means.shape[1]

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n points, (n, D), float64, on the CPU; the generator may be on any device."""
        n = check_int("n", n, low=1)
        check_generator(generator)
        k = _drawn(self.weights, n, generator)
        eps = noise_like(self.means.new_empty(n, self.D), generator)
        return self.means[k] + self.stds[k, None] * eps

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats at x (N, D); returns (N,), float64."""
        return self._log_joint(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """P(component k | x) at x (N, D): each component's share, (N, K), rows sum to 1."""
        return self._log_joint(x).softmax(1)

    def score(self, x: Tensor) -> Tensor:
        """grad_x log p(x) = sum_k P(k | x) (m_k - x) / s_k^2 at x (N, D); returns (N, D)."""
        pull = (self.means - self._checked(x)[:, None]) / self.stds[:, None] ** 2  # (N, K, D)
        return (self.posterior(x)[..., None] * pull).sum(1)

    def mean(self) -> Tensor:
        """E[x], (D,)."""
        return self.weights @ self.means

    def cov(self) -> Tensor:
        """Cov[x] = sum_k w_k (s_k^2 I + (m_k - E x)(m_k - E x)^T), (D, D)."""
        off = self.means - self.mean()
        within = (self.weights @ self.stds**2) * torch.eye(self.D, dtype=torch.float64)
        return within + (self.weights[:, None] * off).mT @ off

    def diffused(self, alpha_bar_t: float | Tensor) -> GaussianMixture:
        """The distribution of x_t: the same weights, wider components that draw together.

        Means sqrt(alpha_bar_t) m_k, variances alpha_bar_t s_k^2 + 1 - alpha_bar_t.

        Args:
            alpha_bar_t: one number in [0, 1], for example schedule.alpha_bar[t].
        """
        a = check_real("alpha_bar_t", float(alpha_bar_t), low=0, high=1)
        return self.mixed(math.sqrt(a), math.sqrt(1 - a))

    def mixed(self, a: float, b: float) -> GaussianMixture:
        """The distribution of a x_0 + b eps: means a m_k, variances a^2 s_k^2 + b^2."""
        variances = a**2 * self.stds**2 + b**2
        return GaussianMixture(self.weights, a * self.means, variances.sqrt())

    def cdf(self, x: Tensor) -> Tensor:
        """P(X <= x) of a mixture in one dimension, at x (N, 1); returns (N,)."""
        z = (self._checked(x) - self.means[:, 0]) / self.stds
        return torch.special.ndtr(z) @ self.weights

    def quantile(self, u: Tensor) -> Tensor:
        """The x with cdf(x) = u, in one dimension, u (N,) in (0, 1); (N, 1), by bisection."""
        check_float("u", u)
        reach = float(self.means.abs().max() + 12 * self.stds.max())
        low, high = (
            torch.full((len(u), 1), -reach).double(),
            torch.full((len(u), 1), reach).double(),
        )
        for _ in range(80):
            middle = (low + high) / 2
            below = (self.cdf(middle) < u.double())[:, None]
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def _log_joint(self, x: Tensor) -> Tensor:
        """log (w_k N(x; m_k, s_k^2 I)), (N, K)."""
        return log_joint(self._checked(x), self.weights, self.means, self.stds)

    def _checked(self, x: Tensor) -> Tensor:
        check_points("x", x, self.D, flat=True)
        return x.cpu().double()


def _drawn(weights: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """n components by their weights, of each row if there are rows; the generator anywhere."""
    if generator is not None and generator.device.type != "cpu":
        weights = weights.float().to(generator.device)  # float: not every device has double
    return torch.multinomial(weights, n, replacement=True, generator=generator).cpu()


def log_joint(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """log (w_k N(x; m_k, s_k^2 I)), (N, K).

    x is (N, D); means (K, D) or, one set for each x, (N, K, D); stds (K,) or (N, K).
    """
    square = ((x[:, None] - means) ** 2).sum(-1) / stds**2  # (N, K)
    return weights.log() - x.shape[1] / 2 * (2 * math.pi * stds**2).log() - square / 2


@dataclass(frozen=True, eq=False)
class AlignedMixture:
    """p(x) = sum_k w_k N(x; V m_k, V diag(v_k) V^T): Gaussians that share their axes V.

    One mixture a row: what is left of a mixture of round Gaussians when y = A x + noise is known,
    each row with its own y. Made by `given_measurement`.

    Args:
        weights: (B, K), rows sum to 1.
        means: (B, K, D), along the axes.
        variances: (1, K, D) or (B, K, D), along the axes, positive.
        axes: (D, D), orthogonal; its columns are V.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one point from each row's mixture, (B, D), float64."""
        check_generator(generator)
        k = _drawn(self.weights, 1, generator)[:, 0]
        rows = torch.arange(len(k))
        std = self.variances.expand_as(self.means)[rows, k].sqrt()
        return (self.means[rows, k] + std * noise_like(std, generator)) @ self.axes.mT

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats at x (N, D), each in its row's mixture or all in the one; (N,)."""
        return self._log_joint(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """P(component k | x) at x (N, D), (N, K), rows sum to 1."""
        return self._log_joint(x).softmax(1)

    def mean(self) -> Tensor:
        """E[x] of each row, (B, D)."""
        return (self.weights[..., None] * self.means).sum(1) @ self.axes.mT

    def mixed(self, a: float | Tensor, b: float | Tensor) -> AlignedMixture:
        """The distribution of a x + b eps; a and b numbers, or one for each row, (B, 1, 1)."""
        variances = a**2 * self.variances + b**2
        return AlignedMixture(self.weights, a * self.means, variances, self.axes)

    def _log_joint(self, x: Tensor) -> Tensor:
        off = (x.cpu().double() @ self.axes)[:, None] - self.means  # (N, K, D)
        log_density = -(off**2 / self.variances + (2 * math.pi * self.variances).log()) / 2
        return self.weights.log() + log_density.sum(-1)


@dataclass(frozen=True, eq=False)
class LowRankMixture:
    """p(x) = sum_k w_k N(x; m_k, V_k diag(l_k) V_k^T + s_k^2 I): wide along a few axes each.

    One mixture a row, B = 1 for one mixture. With R axes for D values every Gaussian is handled
    in O(D R), so pictures have exact answers, too.
    Source: Tipping & Bishop 1999 (mixtures of probabilistic principal component analysers); the
    book's equation eq-low-rank.

    Args:
        weights: (B, K), rows sum to 1.
        means: (B, K, D).
        axes: (K, D, R), orthonormal columns V_k.
        variances: (1, K, R) or (B, K, R), l_k >= 0, along the axes and beyond s_k^2.
        stds: (1, K) or (B, K), s_k > 0, in all directions.
    """

    weights: Tensor
    means: Tensor
    axes: Tensor
    variances: Tensor
    stds: Tensor

    def repeated(self, n: int) -> LowRankMixture:
        """Each row n times, to draw from it n times."""
        rows = (self.weights, self.means, self.variances, self.stds)
        weights, means, variances, stds = (
            x.repeat_interleave(n, 0) if len(x) > 1 or len(self.weights) == 1 else x for x in rows
        )
        return LowRankMixture(weights, means, self.axes, variances, stds)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one point from each row's mixture, (B, D), float64."""
        check_generator(generator)
        k = _drawn(self.weights, 1, generator)[:, 0]
        B, rows = len(k), torch.arange(len(k))
        along = noise_like(self.variances.new_empty(B, self.variances.shape[-1]), generator)
        along = along * self.variances.expand(B, -1, -1)[rows, k].sqrt()
        x = self.means[rows, k] + (self.axes[k] @ along[..., None])[..., 0]
        return x + self.stds.expand(B, -1)[rows, k, None] * noise_like(x, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats at x (N, D), each in its row's mixture or all in the one; (N,)."""
        return self._log_joint(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """P(component k | x) at x (N, D), (N, K), rows sum to 1."""
        return self._log_joint(x).softmax(1)

    def mean(self) -> Tensor:
        """E[x] of each row, (B, D)."""
        return (self.weights[..., None] * self.means).sum(1)

    def std(self) -> Tensor:
        """The standard deviation of each value on its own, in each row, (B, D)."""
        within = torch.einsum("kdr,bkr->bkd", self.axes**2, self.variances) + (
            self.stds[..., None] ** 2
        )
        square = (self.weights[..., None] * (within + self.means**2)).sum(1)
        return (square - self.mean() ** 2).sqrt()

    def mixed(self, a: float | Tensor, b: float | Tensor) -> LowRankMixture:
        """The distribution of a x + b eps; a and b numbers, or one for each row, (B, 1)."""
        wide_a = a[..., None] if isinstance(a, Tensor) else a
        stds = (a**2 * self.stds**2 + b**2) ** 0.5
        return LowRankMixture(
            self.weights, wide_a * self.means, self.axes, wide_a**2 * self.variances, stds
        )

    def guess(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """E[x_0 | a x_0 + b eps = flat], flat (N, D), a and b (N, 1); (N, D).

        sum_k P(k | x_t) (m_k + a C_k (a^2 C_k + b^2 I)^-1 (x_t - a m_k)), C_k the covariance.
        Source: conjugacy of Gaussians (Bishop 2006, eqs. 2.113 to 2.117); the book's equation
        eq-low-rank-guess.
        """
        s2, wide_s2 = self.stds**2, self.variances + self.stds[..., None] ** 2
        var, wide_var = a**2 * s2 + b**2, a[..., None] ** 2 * wide_s2 + b[..., None] ** 2
        # x_t - a m_k is never written out for all k: its length and its part along the axes are
        # enough, and both are products of matrices.
        square = _square(flat, a, self.means)  # (N, K)
        along = _along(flat, a, self.means, self.axes)  # (N, K, R)
        fit = square / var - (along**2 * (1 / var[..., None] - 1 / wide_var)).sum(-1)
        log_det = wide_var.log().sum(-1) + (flat.shape[1] - along.shape[-1]) * var.log()
        share = (self.weights.log() - (fit + log_det) / 2).softmax(1)  # P(k | x_t)
        rest = share * a * s2 / var
        inner = share[..., None] * along * (a[..., None] * wide_s2 / wide_var)
        inner = inner - rest[..., None] * along
        x0_hat = rest.sum(1, keepdim=True) * flat + _weighted(share - a * rest, self.means)
        return x0_hat + inner.flatten(1) @ self.axes.mT.flatten(0, 1)

    def given_seen(self, seen: Tensor, y: Tensor, std: float = 0.0) -> LowRankMixture:
        """The hidden values, given those that are seen (with noise): low rank again.

        With W_k = V_k diag(l_k)^(1/2), split into seen and hidden rows, and v_k = s_k^2 + std^2:
        Z = (I + W_s^T W_s / v)^-1, mean m_h + W_h Z W_s^T (y - m_s) / v, covariance
        W_h Z W_h^T + s^2 I, and each share is multiplied by N(y; m_s, W_s W_s^T + v I).
        Source: Tipping & Bishop 1999, section 3; the book's equation eq-low-rank-seen.

        Args:
            seen: (D,), bool.
            y: (B, M), the M values that are seen, in order.
            std: of the noise in y, >= 0.

        Returns:
            The distribution of the D - M others, one row for each y.

        Raises:
            ValueError: shapes do not fit.
        """
        if seen.dtype != torch.bool or seen.shape != self.means.shape[-1:]:
            raise ValueError(f"seen must be bool ({self.means.shape[-1]},), got {seen!r:.80}")
        check_points("y", y, int(seen.sum()), flat=True)
        W = self.axes * self.variances[0, :, None].sqrt()  # (K, D, R)
        y = y.cpu().double()
        Ws, Wh, v = W[:, seen], W[:, ~seen], self.stds[0] ** 2 + std**2
        precision = torch.eye(W.shape[-1], dtype=W.dtype) + Ws.mT @ Ws / v[:, None, None]
        root = torch.linalg.cholesky(torch.linalg.inv(precision))  # Z = root root^T
        pulled = torch.einsum("bkm,kmr->bkr", y[:, None] - self.means[..., seen], Ws)
        z = torch.einsum("krq,bkq->bkr", root @ root.mT, pulled / v[:, None])
        means = self.means[..., ~seen] + torch.einsum("bkr,khr->bkh", z, Wh)
        axes, spread, _ = torch.linalg.svd(Wh @ root, full_matrices=False)
        there = _low_rank(self.weights, self.means[..., seen], Ws, v.sqrt()[None])
        return LowRankMixture(there.posterior(y), means, axes, spread[None] ** 2, self.stds[:1])

    def _log_joint(self, x: Tensor) -> Tensor:
        off = x.cpu().double()[:, None] - self.means  # (N, K, D)
        s2 = self.stds**2
        wide_s2 = self.variances + s2[..., None]  # (B, K, R)
        along = torch.einsum("nkd,kdr->nkr", off, self.axes) ** 2
        square = (off**2).sum(-1) / s2 - (along * (1 / s2[..., None] - 1 / wide_s2)).sum(-1)
        rest = (x.shape[1] - along.shape[-1]) * s2.log()
        log_det = wide_s2.log().sum(-1) + rest + x.shape[1] * math.log(2 * math.pi)
        return self.weights.log() - (square + log_det) / 2


def _square(x: Tensor, a: Tensor, means: Tensor) -> Tensor:
    """||x - a m_k||^2 for x (N, D), a (N, 1), means (1 or N, K, D); (N, K)."""
    if len(means) > 1:
        return (x[:, None] - a[..., None] * means).square().sum(-1)
    cross, m2 = x @ means[0].mT, means[0].square().sum(1)
    return x.square().sum(1, keepdim=True) - 2 * a * cross + a**2 * m2


def _along(x: Tensor, a: Tensor, means: Tensor, axes: Tensor) -> Tensor:
    """V_k^T (x - a m_k), (N, K, R)."""
    mine = torch.einsum("nkd,kdr->nkr", means, axes)
    flat = axes.movedim(1, 0).flatten(1)  # (D, K R)
    return (x @ flat).view(len(x), *axes.shape[::2]) - a[..., None] * mine


def _weighted(share: Tensor, means: Tensor) -> Tensor:
    """sum_k share_k m_k, (N, D)."""
    return share @ means[0] if len(means) == 1 else (share[..., None] * means).sum(1)


def _low_rank(weights: Tensor, means: Tensor, W: Tensor, stds: Tensor) -> LowRankMixture:
    """From factors W (K, D, R) that are not orthonormal: covariance W W^T + s^2 I."""
    axes, spread, _ = torch.linalg.svd(W, full_matrices=False)
    return LowRankMixture(weights, means, axes, spread[None] ** 2, stds)


def given_measurement(mixture: GaussianMixture, A: Tensor, y: Tensor, std: float) -> AlignedMixture:
    """The posterior p(x | y) for y = A x + std noise: a mixture again, of as many Gaussians.

    With A = U diag(c) V^T and everything turned to these axes, in each direction on its own:
    variance v = s^2 std^2 / (std^2 + c^2 s^2), mean m + c s^2 / (std^2 + c^2 s^2) (y - c m), and
    the share of each Gaussian is multiplied by N(y; c m, c^2 s^2 + std^2).
    Source: conjugacy of Gaussians (Bishop 2006, eqs. 2.113 to 2.117); the book's equation
    eq-posterior-mixture.

    Args:
        mixture: the distribution of x before y is known.
        A: (M, D).
        y: (B, M), one measurement a row, or (M,).
        std: of the noise in y, > 0.

    Raises:
        ValueError: a shape does not fit, or std is not positive.
    """
    for name, value in (("A", A), ("y", y)):
        check_float(name, value)
    std = check_real("std", std, low=0, open_low=True)
    if A.ndim != 2 or A.shape[1] != mixture.D:
        raise ValueError(f"A must have shape (M, D), D = {mixture.D}, got {tuple(A.shape)}")
    if y.ndim not in (1, 2) or y.shape[-1] != len(A):
        raise ValueError(f"y must have shape (B, M), M = {len(A)}, got {tuple(y.shape)}")
    U, found, Vh = torch.linalg.svd(A.detach().cpu().double())
    r, s2 = len(found), mixture.stds[:, None] ** 2  # s2 (K, 1)
    c, turned = torch.zeros(mixture.D).double(), torch.zeros(y[..., 0].numel(), mixture.D).double()
    c[:r] = found
    turned[:, :r] = (y.detach().cpu().double().reshape(-1, len(A)) @ U)[:, :r]
    m = mixture.means @ Vh.mT  # (K, D)
    total = std**2 + c**2 * s2  # variance of y, (K, D)
    off = turned[:, None] - c * m  # (B, K, D)
    fit = -(off**2 / total + total.log()) / 2
    weights = (mixture.weights.log() + fit[..., :r].sum(-1)).softmax(1)
    return AlignedMixture(weights, m + c * s2 / total * off, (s2 * std**2 / total)[None], Vh.mT)


def reverse_posterior(
    mixture: GaussianMixture, xt: Tensor, t: int, *, schedule: NoiseSchedule
) -> GaussianMixture:
    """The exact reverse step q(x_{t-1} | x_t): itself a Gaussian mixture, one for each x_t.

    q(x_{t-1} | x_t) is proportional to q(x_{t-1}) N(x_t; sqrt(1 - beta_t) x_{t-1}, beta_t I).
    Component k of q(x_{t-1}) has mean m and variance V; the product has the precision
    1/V + alpha_t/beta_t, and the weight of k is P(k | x_t). For small beta_t this is nearly one
    Gaussian, for large beta_t it is not.
    Source: Bayes' rule; Sohl-Dickstein et al. 2015, section 2.2; the book's equation
    eq-reverse-bayes.

    Args:
        mixture: the distribution of the data x_0.
        xt: (D,), one noisy point.
        t: the step, in 1..T.
        schedule: the variance schedule.

    Returns:
        q(x_{t-1} | x_t) as a mixture of as many components.

    Raises:
        ValueError: xt is not one finite point of D dimensions or t is out of 1..T.
    """
    check_schedule(schedule)
    check_float("xt", xt)
    if xt.shape != (mixture.D,):
        raise ValueError(f"xt must have shape (D,) = ({mixture.D},), got {tuple(xt.shape)}")
    t = check_int("t", t, low=1, high=schedule.T)
    point = xt.detach().cpu().double()
    before = mixture.diffused(schedule.alpha_bar[t - 1])
    share = mixture.diffused(schedule.alpha_bar[t]).posterior(point[None])[0]  # (K,)
    V, alpha_t, beta_t = before.stds**2, schedule.alpha[t], schedule.beta[t]
    variance = V * beta_t / (alpha_t * V + beta_t)
    on_xt = alpha_t.sqrt() * V / (alpha_t * V + beta_t)
    on_m = beta_t / (alpha_t * V + beta_t)
    means = on_m[:, None] * before.means + on_xt[:, None] * point
    return GaussianMixture(share, means, variance.sqrt())
