"""How good are samples? A Fréchet distance in a stated feature space, and a test for copying.

The features are the 64 numbers before the last layer of a small classifier that the repository
trains on Fashion-MNIST (tools/train_features.py) and ships. A distance in this space compares
with others in this space only: it is not the FID of the literature (that is in fid.py).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlib._validate import check_float
from dmlib.checkpoint import ASSETS, read

FEATURES = ASSETS / "fashion_features.safetensors"


class Features(nn.Module):
    """A small classifier of 28x28 images; its 64 penultimate features are the feature space.

    Call it for the features, `classify` for the ten classes' logits. `Features.trained()` gives
    the shipped weights, whose card says how they were made and how well they classify.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 24, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 48, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(48)
        self.conv3 = nn.Conv2d(48, 96, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(96)
        self.narrow = nn.Linear(96 * 3 * 3, 64)
        self.head = nn.Linear(64, 10)

    @classmethod
    def trained(cls) -> Features:
        """The shipped network, in evaluation mode, without gradients.

        Raises:
            CheckpointError: the shipped file is missing or damaged.
        """
        net = cls()
        net.load_state_dict(read(FEATURES).tensors)
        return net.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) in [-1, 1] -> features (N, 64)."""
        if x.ndim != 4 or x.shape[1:] != (1, 28, 28):
            raise ValueError(f"x must have shape (N, 1, 28, 28), got {tuple(x.shape)}")
        h = F.pixel_unshuffle(x, 2)  # (N, 4, 14, 14): 2x2 pixels become channels
        h = F.relu(self.norm1(self.conv1(h)))  # (N, 24, 14, 14)
        h = F.max_pool2d(F.relu(self.norm2(self.conv2(h))), 2)  # (N, 48, 7, 7)
        h = F.max_pool2d(F.relu(self.norm3(self.conv3(h))), 2)  # (N, 96, 3, 3)
        return self.narrow(h.flatten(1))

    def classify(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) in [-1, 1] -> logits of the ten classes, (N, 10)."""
        return self.head(F.relu(self(x)))


@torch.no_grad()
def features_of(x: Tensor, net: nn.Module, *, batch_size: int = 500) -> Tensor:
    """Features of many images, a batch at a time.

    Args:
        x: (N, 1, 28, 28), images in [-1, 1], N >= 1.
        net: Features.trained(), or any module from images to (B, D).
        batch_size: images at a time, >= 1.

    Returns:
        (N, D), float64.
    """
    check_float("x", x)
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"x must be (N, ...) with N >= 1, got {tuple(x.shape)}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}")
    return torch.cat([net(part).double() for part in x.split(batch_size)])


@dataclass(frozen=True, eq=False)
class FeatureStats:
    """Mean, covariance and number of a set of features; all that the Fréchet distance looks at.

    Args:
        mean: (D,), float64.
        cov: (D, D), float64, symmetric and without negative eigenvalues.
        n: how many features they come from.
    """

    mean: Tensor
    cov: Tensor
    n: int

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
        x = features.double()
        centred = x - x.mean(0)
        return cls(x.mean(0), centred.mT @ centred / (n - 1), n)

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of cov, (D, D)."""
        values, vectors = torch.linalg.eigh(self.cov)
        # Rounding leaves a singular covariance with eigenvalues of about -1e-16.
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
        generator: for the draws.

    Returns:
        (resamples,) distances; their mean is the floor, and no n samples are expected below it.
    """
    if not 2 <= n <= len(a):
        raise ValueError(f"n must be in 2..{len(a)}, got {n}")
    _check_resamples(resamples)
    whole = FeatureStats.of(b)
    draws = (torch.randperm(len(a), generator=generator)[:n] for _ in range(resamples))
    return torch.tensor([frechet_distance(a[rows], whole) for rows in draws], dtype=torch.float64)


def frechet_spread(
    samples: Tensor, data: Tensor, *, resamples: int = 20, generator: torch.Generator | None = None
) -> Tensor:
    """How far the distance would move with other samples: the bootstrap over the samples' rows.

    Args:
        samples: features (N, D) of what is judged; rows are drawn with replacement.
        data: features (M, D) of the reference, which stays.
        resamples: how many times, >= 1.
        generator: for the draws.

    Returns:
        (resamples,) distances. Report their standard deviation; their mean lies above the
        distance itself, because a resample holds fewer different rows.
    """
    _check_resamples(resamples)
    whole, n = FeatureStats.of(data), len(samples)
    draws = (torch.randint(n, (n,), generator=generator) for _ in range(resamples))
    return torch.tensor(
        [frechet_distance(samples[rows], whole) for rows in draws], dtype=torch.float64
    )


def _check_resamples(resamples: int) -> None:
    if resamples < 1:
        raise ValueError(f"resamples must be >= 1, got {resamples}")


@torch.no_grad()
def nearest_neighbours(
    samples: Tensor, data: Tensor, *, chunk: int = 4096
) -> tuple[Tensor, Tensor]:
    """The nearest point of the data to each sample: has the model learned, or copied?

    Compare the distances with those of images it has never seen, nearest_neighbours(test, data):
    samples that lie much nearer than test images are copies.

    Args:
        samples: (B, ...), what is judged.
        data: (N, ...), the training data, N >= 1, of the same shape per point.
        chunk: points of the data at a time, >= 1.

    Returns:
        distance (B,), float64, the root of the mean squared difference per pixel, and
        index (B,), int64, the nearest point's place in data.

    Raises:
        ValueError: a tensor is not finite floating point or shapes do not fit.
    """
    check_float("samples", samples)
    check_float("data", data)
    if samples.ndim < 2 or samples.shape[1:] != data.shape[1:] or data.numel() == 0:
        raise ValueError(
            f"samples must be (B, ...) of data's shape per point {tuple(data.shape[1:])}, "
            f"got {tuple(samples.shape)}"
        )
    if chunk < 1:
        raise ValueError(f"chunk must be >= 1, got {chunk}")
    x = samples.double().flatten(1)
    best = torch.full((len(x),), math.inf, dtype=torch.float64, device=x.device)
    index = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for start in range(0, len(data), chunk):
        points = data[start : start + chunk].double().flatten(1)
        # The direct difference, not ||x||^2 - 2xy + ||y||^2: a copy must have distance 0.
        distance, row = torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        nearer = distance < best
        best[nearer], index[nearer] = distance[nearer], row[nearer] + start
    return best / math.sqrt(x.shape[1]), index
