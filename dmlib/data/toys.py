"""Toys in one, two and three dimensions whose mean and covariance are known exactly.

Every toy but the mixtures is standardised with its exact moments: each coordinate has mean 0
and variance 1, as the noise has. All are float64; a network wants `.float()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from dmlib.forward import noise_like
from dmlib.oracle import GaussianMixture

ROLL = (1.5 * math.pi, 4.5 * math.pi)  # the spiral's angle, uniform between them
WIDTH = 21.0  # of the roll in three dimensions, before it is standardised
F64 = torch.float64

Moments = tuple[Tensor, Tensor]


def ground_truth_mixture() -> GaussianMixture:
    """The book's ground truth: p(x0) = 0.3 N(-1.5, 0.25^2) + 0.7 N(1, 0.35^2), in 1-D."""
    return GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=F64),
        torch.tensor([[-1.5], [1.0]], dtype=F64),
        torch.tensor([0.25, 0.35], dtype=F64),
    )


def ground_truth_mixture_2d() -> GaussianMixture:
    """Its relative in the plane: three round heaps of unequal weight and width."""
    return GaussianMixture(
        torch.tensor([0.2, 0.3, 0.5], dtype=F64),
        torch.tensor([[-1.5, -0.5], [0.0, 1.5], [1.0, -0.75]], dtype=F64),
        torch.tensor([0.2, 0.3, 0.35], dtype=F64),
    )


def ring_of_heaps() -> GaussianMixture:
    """Eight equal, narrow heaps on a ring in the plane; each coordinate has about variance 1.

    The first lies at the angle 0.2, a little above the right end, so that no two heaps have the
    same x or the same y.
    """
    angle = 0.2 + torch.arange(8, dtype=F64) * math.pi / 4
    return GaussianMixture(
        torch.full((8,), 1 / 8, dtype=F64),
        math.sqrt(2) * torch.stack((angle.cos(), angle.sin()), 1),
        torch.full((8,), 0.05, dtype=F64),
    )


def swiss_roll(n: int, *, generator: Generator, noise: float = 0.5) -> Tensor:
    """A spiral in the plane: (theta cos theta, theta sin theta) + noise, standardised.

    theta is uniform on [1.5 pi, 4.5 pi], noise normal.

    Args:
        n: number of points, >= 1.
        generator: where the randomness comes from, on any device.
        noise: standard deviation of the noise before standardising, >= 0.

    Returns:
        (n, 2), float64, each coordinate of mean 0 and variance 1; see `swiss_roll_moments`.

    Raises:
        ValueError: n or noise is out of its range.
    """
    _check(n, noise)
    theta = _uniform(n, generator) * (ROLL[1] - ROLL[0]) + ROLL[0]
    x = torch.stack((theta * theta.cos(), theta * theta.sin()), 1)
    x = x + noise * noise_like(torch.empty(n, 2, dtype=F64), generator)
    return _standardise(x, _roll_moments(noise))


def swiss_roll_moments(*, noise: float = 0.5) -> Moments:
    """Exact mean (2,) and covariance (2, 2) of the law of `swiss_roll`."""
    _check(1, noise)
    return _standardised(_roll_moments(noise))


def two_moons(n: int, *, generator: Generator, noise: float = 0.1) -> Tensor:
    """Two interleaved half circles + noise, standardised; each point picks a moon by coin.

    Moons: (cos phi, sin phi) and (1 - cos phi, 1/2 - sin phi), phi uniform on [0, pi].

    Args:
        n: number of points, >= 1.
        generator: where the randomness comes from, on any device.
        noise: standard deviation of the noise before standardising, >= 0.

    Returns:
        (n, 2), float64, each coordinate of mean 0 and variance 1; see `two_moons_moments`.

    Raises:
        ValueError: n or noise is out of its range.
    """
    _check(n, noise)
    phi = math.pi * _uniform(n, generator)
    upper = torch.stack((phi.cos(), phi.sin()), 1)
    lower = torch.tensor([1.0, 0.5], dtype=F64) - upper
    x = torch.where(_uniform(n, generator)[:, None] < 0.5, upper, lower)
    x = x + noise * noise_like(torch.empty(n, 2, dtype=F64), generator)
    return _standardise(x, _moons_moments(noise))


def two_moons_moments(*, noise: float = 0.1) -> Moments:
    """Exact mean (2,) and covariance (2, 2) of the law of `two_moons`."""
    _check(1, noise)
    return _standardised(_moons_moments(noise))


def swiss_roll_3d(n: int, *, generator: Generator, noise: float = 0.5) -> Tensor:
    """The rolled-up sheet: (theta cos theta, h, theta sin theta) + noise, standardised.

    theta is uniform on [1.5 pi, 4.5 pi], h uniform on [0, 21], noise normal.

    Args:
        n: number of points, >= 1.
        generator: where the randomness comes from, on any device.
        noise: standard deviation of the noise before standardising, >= 0.

    Returns:
        (n, 3), float64, each coordinate of mean 0 and variance 1; see `swiss_roll_3d_moments`.

    Raises:
        ValueError: n or noise is out of its range.
    """
    _check(n, noise)
    theta = _uniform(n, generator) * (ROLL[1] - ROLL[0]) + ROLL[0]
    h = WIDTH * _uniform(n, generator)
    x = torch.stack((theta * theta.cos(), h, theta * theta.sin()), 1)
    x = x + noise * noise_like(torch.empty(n, 3, dtype=F64), generator)
    return _standardise(x, _sheet_moments(noise))


def swiss_roll_3d_moments(*, noise: float = 0.5) -> Moments:
    """Exact mean (3,) and covariance (3, 3) of the law of `swiss_roll_3d`."""
    _check(1, noise)
    return _standardised(_sheet_moments(noise))


def _roll_moments(noise: float) -> Moments:
    """Moments before standardising: integrals of theta^k cos, theta^k sin, by parts."""
    a, b = ROLL

    def average(primitive: Callable[[float], float]) -> float:
        return (primitive(b) - primitive(a)) / (b - a)

    # E[theta cos], E[theta sin]
    x = average(lambda s: s * math.sin(s) + math.cos(s))
    y = average(lambda s: math.sin(s) - s * math.cos(s))
    # E[theta^2], E[theta^2 cos 2theta], E[theta^2 sin 2theta]
    square = average(lambda s: s**3 / 3)
    even = average(
        lambda s: s**2 / 2 * math.sin(2 * s) + s / 2 * math.cos(2 * s) - math.sin(2 * s) / 4
    )
    odd = average(
        lambda s: -(s**2) / 2 * math.cos(2 * s) + s / 2 * math.sin(2 * s) + math.cos(2 * s) / 4
    )
    mean = torch.tensor([x, y], dtype=F64)
    second = torch.tensor([[square + even, odd], [odd, square - even]], dtype=F64) / 2
    return mean, second - torch.outer(mean, mean) + noise**2 * torch.eye(2, dtype=F64)


def _sheet_moments(noise: float) -> Moments:
    """h lies between the two coordinates of the spiral and is independent of them."""
    flat_mean, flat_cov = _roll_moments(noise)
    mean = torch.tensor([float(flat_mean[0]), WIDTH / 2, float(flat_mean[1])], dtype=F64)
    cov = torch.zeros(3, 3, dtype=F64)
    cov[::2, ::2] = flat_cov
    cov[1, 1] = WIDTH**2 / 12 + noise**2
    return mean, cov


def _moons_moments(noise: float) -> Moments:
    """Within a moon Var cos = 1/2, Var sin = 1/2 - 4/pi^2, Cov = 0; and the moons lie apart."""
    upper = torch.tensor([0.0, 2 / math.pi], dtype=F64)
    lower = torch.tensor([1.0, 0.5], dtype=F64) - upper
    within = torch.diag(torch.tensor([0.5, 0.5 - 4 / math.pi**2], dtype=F64))
    between = torch.outer(upper - lower, upper - lower) / 4
    return (upper + lower) / 2, within + between + noise**2 * torch.eye(2, dtype=F64)


def _standardise(x: Tensor, moments: Moments) -> Tensor:
    mean, cov = moments
    return (x - mean) / cov.diagonal().sqrt()


def _standardised(moments: Moments) -> Moments:
    mean, cov = moments
    std = cov.diagonal().sqrt()
    return torch.zeros_like(mean), cov / torch.outer(std, std)


def _uniform(n: int, generator: Generator) -> Tensor:
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise ValueError(f"generator must be a torch.Generator, got {kind}")
    device = generator.device
    dtype = torch.float32 if device.type == "mps" else F64  # mps has no float64
    return torch.rand(n, dtype=dtype, device=device, generator=generator).cpu().double()


def _check(n: int, noise: float) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be an integer >= 1, got {n!r}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be finite and >= 0, got {noise}")
