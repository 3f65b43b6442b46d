"""The Fréchet distance of two sets of features, its floor and its spread (see metrics.py)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dmlib._validate import check_float, check_generator, check_int
from dmlib.metrics.features import exact


@dataclass(frozen=True, eq=False)
class FeatureStats:
    """Mean, covariance and number of a set of features; all that the Fréchet distance looks at.

    Args:
        mean: (D,), float64.
        cov: (D, D), float64, symmetric and without negative eigenvalues.
        n: how many features they come from, >= 1.

    Raises:
        ValueError: a tensor is not float64, not finite or of another shape, or cov is not
            symmetric or has a negative eigenvalue.
    """

    mean: Tensor
    cov: Tensor
    n: int

    def __post_init__(self) -> None:
        for name, x in (("mean", self.mean), ("cov", self.cov)):
            check_float(name, x)
            if x.dtype != torch.float64:
                raise ValueError(f"{name} must be float64, got {x.dtype}; try: {name}.double()")
        D = len(self.mean) if self.mean.ndim == 1 else 0
        if D == 0:
            raise ValueError(f"mean must have shape (D,), got {tuple(self.mean.shape)}")
        if self.cov.shape != (D, D):
            raise ValueError(f"cov must have shape ({D}, {D}), got {tuple(self.cov.shape)}")
        skew = float((self.cov - self.cov.mT).abs().max())
        if skew > 1e-8 * float(self.cov.abs().max()):
            raise ValueError(f"cov must be symmetric, got entries that differ by {skew:g}")
        object.__setattr__(self, "n", check_int("n", self.n, low=1))

    @classmethod
    def of(cls, features: Tensor) -> FeatureStats:
        """Statistics of features (N, D), N >= 2; the covariance divides by N - 1.

        Warns:
            RuntimeWarning: N <= D, so that the covariance is singular and distances are too large.

        Raises:
            ValueError: features are not finite floating point of shape (N, D), N >= 2.
        """
        check_float("features", features)
        if features.ndim != 2 or len(features) < 2 or features.shape[1] == 0:
            raise ValueError(f"features must be (N, D), N >= 2, got {tuple(features.shape)}")
        n, D = features.shape
        if n <= D:
            warnings.warn(
                f"{n} features in {D} dimensions have a singular covariance: take N > D",
                RuntimeWarning,
                stacklevel=2,
            )
        x = exact(features)
        centred = x - x.mean(0)
        return cls(x.mean(0), centred.mT @ centred / (n - 1), n)

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of cov, (D, D)."""
        values, vectors = torch.linalg.eigh(self.cov)
        # Rounding leaves a singular covariance with eigenvalues of about -1e-16.
        if values[0] < -1e-8 * max(1e-300, float(values[-1])):
            raise ValueError(
                f"cov must have no negative eigenvalue, got {float(values[0]):g}: it is of no data"
            )
        return vectors * values.clamp(min=0).sqrt() @ vectors.mT


def frechet_distance(a: Tensor | FeatureStats, b: Tensor | FeatureStats) -> float:
    """Squared Fréchet distance of the Gaussians with the means and covariances of a and b.

    d^2 = ||m_a - m_b||^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2), and the last trace is the
    sum of the singular values of C_a^1/2 C_b^1/2: no root of a matrix that is not symmetric, no
    complex numbers.
    Source: Dowson & Landau 1982; Heusel et al. 2017, eq. 6; the book's equation eq-frechet.

    Args:
        a, b: features (N, D), or their FeatureStats.

    Returns:
        d^2 >= 0. With finitely many samples it is too large on average: see frechet_floor.

    Raises:
        ValueError: a or b is not a set of features, or their D differ.
    """
    a, b = (s if isinstance(s, FeatureStats) else FeatureStats.of(s) for s in (a, b))
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"a and b must have the same D, got {len(a.mean)} and {len(b.mean)}")
    if b.mean.device != a.mean.device:
        b = FeatureStats(b.mean.to(a.mean.device), b.cov.to(a.mean.device), b.n)
    overlap = torch.linalg.svdvals(a.root @ b.root).sum()
    squared = ((a.mean - b.mean) ** 2).sum() + a.cov.trace() + b.cov.trace() - 2 * overlap
    return max(float(squared), 0.0)


def frechet_floor(
    a: Tensor, b: Tensor, *, n: int, resamples: int = 20, generator: torch.Generator | None = None
) -> Tensor:
    """The distance that a perfect generator would get: n real images of a against all of b.

    Args:
        a, b: features (N, D) of two sets of real images, for example training and test.
        n: how many samples one means to judge, 2..N.
        resamples: how many times n rows of a are drawn without replacement, >= 1.
        generator: for the draws, on any device.

    Returns:
        (resamples,) distances; their mean is the floor, and no n samples are expected below it.

    Raises:
        ValueError: an argument does not fit.
    """
    check_float("a", a)
    n, resamples = check_int("n", n, low=2, high=len(a)), check_int("resamples", resamples, low=1)
    check_generator(generator)
    whole = FeatureStats.of(b)
    draws = (_shuffled(a, generator)[:n] for _ in range(resamples))
    return torch.tensor([frechet_distance(drawn, whole) for drawn in draws], dtype=torch.float64)


def frechet_spread(
    samples: Tensor, data: Tensor, *, resamples: int = 20, generator: torch.Generator | None = None
) -> Tensor:
    """How far the distance would move with other samples: the bootstrap over the samples' rows.

    Args:
        samples: features (N, D) of what is judged; rows are drawn with replacement.
        data: features (M, D) of the reference, which stays.
        resamples: how many times, >= 1.
        generator: for the draws, on any device.

    Returns:
        (resamples,) distances. Report their standard deviation; their mean lies above the
        distance itself, because a resample holds fewer different rows.

    Raises:
        ValueError: an argument does not fit.
    """
    check_float("samples", samples)
    resamples = check_int("resamples", resamples, low=1)
    check_generator(generator)
    whole, n = FeatureStats.of(data), len(samples)
    device = "cpu" if generator is None else generator.device
    draws = (
        torch.randint(n, (n,), generator=generator, device=device).to(samples.device)
        for _ in range(resamples)
    )
    return torch.tensor(
        [frechet_distance(samples[rows], whole) for rows in draws], dtype=torch.float64
    )


def frechet_extrapolated(
    a: Tensor, b: Tensor, *, resamples: int = 5, generator: torch.Generator | None = None
) -> float:
    """The distance that infinitely many samples would have: a straight line in 1/n, at 1/n = 0.

    The bias of `frechet_distance` is nearly proportional to 1/n, with a factor that depends on
    what is judged: so equal n does not cure a comparison, and a ratio to the floor measures n.
    Source: Chong & Forsyth 2020.

    Args:
        a: features (N, D) of the samples, N > 4 D.
        b: features (M, D) of the reference, M large.
        resamples: draws of each size N/4, N/3, N/2 and N without replacement, >= 1.
        generator: for the draws, on any device.

    Returns:
        The estimate; where the true distance is 0, chance makes it a little negative, too.

    Raises:
        ValueError: an argument does not fit.
    """
    check_float("a", a)
    check_generator(generator)
    resamples = check_int("resamples", resamples, low=1)
    if len(a) <= 4 * a.shape[1]:
        raise ValueError(f"a must be (N, D) with N > 4 D, got {tuple(a.shape)}")
    whole = FeatureStats.of(b)
    rows, found = [], []
    for n in (len(a) // 4, len(a) // 3, len(a) // 2, len(a)):
        for _ in range(resamples):
            rows.append([1.0, 1 / n])
            found.append(frechet_distance(_shuffled(a, generator)[:n], whole))
    line = torch.linalg.lstsq(
        torch.tensor(rows, dtype=torch.float64), torch.tensor(found, dtype=torch.float64)[:, None]
    ).solution
    return float(line[0])


def _shuffled(a: Tensor, generator: torch.Generator | None) -> Tensor:
    """The rows of `a` in a drawn order; the generator may be on another device."""
    device = "cpu" if generator is None else generator.device
    return a[torch.randperm(len(a), generator=generator, device=device).to(a.device)]
