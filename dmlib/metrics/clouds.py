"""How good are generated clouds? The Chamfer distance, and what two sets of clouds tell by it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dmlib._validate import check_float


class CloudScores(NamedTuple):
    """How a generated set compares with a real one.

    one_nna is the share of clouds whose nearest neighbour is of their own set, 0.5 is perfect;
    coverage the share of real clouds that are the nearest one of some generated cloud; chamfer the
    mean over real clouds of the distance to the nearest generated one (also called the minimum
    matching distance).
    """

    one_nna: float
    coverage: float
    chamfer: float


def chamfer(x: Tensor, y: Tensor) -> Tensor:
    """How far each point is from the nearest of the other cloud: squared, both ways, mean.

    d(x, y) = 1/N sum_i min_j |x_i - y_j|^2 + 1/M sum_j min_i |x_i - y_j|^2.
    Source: Fan et al. 2017, section 4; with means as Yang et al. 2019 (PointFlow), section 5.1; the
    book's equation eq-chamfer.

    Args:
        x: (B, N, D).
        y: (B, M, D), or (1, M, D) for all alike (and the other way round).

    Returns:
        (B,), >= 0; 0 for the same points, in whatever order.

    Raises:
        ValueError: shapes do not fit.
    """
    _check_clouds(x, y)
    square = (x[:, :, None] - y[:, None]).square().sum(-1)  # (B, N, M)
    return square.amin(2).mean(1) + square.amin(1).mean(1)


def chamfer_matrix(x: Tensor, y: Tensor) -> Tensor:
    """The Chamfer distance (eq-chamfer) of each cloud of one set to each of the other.

    Squares come from |x|^2 - 2 x.y + |y|^2: faster, and right to rounding errors of its terms.

    Args:
        x: (n, N, D).
        y: (m, M, D).

    Returns:
        (n, m).

    Raises:
        ValueError: shapes do not fit.
    """
    _check_clouds(x, y)
    rows = []
    part = max(1, 2**20 // (x.shape[1] * y.shape[1]))  # clouds of y at a time, that fit the cache
    for one in x:
        row = []
        for some in y.split(part):
            # |y|^2 - 2 x.y of all pairs, (part, N, M); |x|^2 is the same for all of a row.
            square = torch.baddbmm(
                some.square().sum(-1)[:, None], one.expand(len(some), -1, -1), some.mT, alpha=-2
            ).add_(one.square().sum(-1)[:, None])
            row.append(square.amin(2).clamp(min=0).mean(1) + square.amin(1).clamp(min=0).mean(1))
        rows.append(torch.cat(row))
    return torch.stack(rows)


def one_nna(within_x: Tensor, within_y: Tensor, between: Tensor) -> float:
    """Accuracy of guessing each cloud's set by its nearest neighbour: 0.5 if the sets are alike.

    1 if each set is closer to itself; below 0.5 if samples are copies of the other set.
    Source: Lopez-Paz & Oquab 2017, section 3; for clouds Yang et al. 2019 (PointFlow), section 5.1;
    the book's equation eq-1nna.

    Args:
        within_x: (n, n), distances within the one set.
        within_y: (m, m), within the other.
        between: (n, m).

    Returns:
        In [0, 1].

    Raises:
        ValueError: shapes do not fit, or a set has less than two clouds.
    """
    n, m = between.shape
    if within_x.shape != (n, n) or within_y.shape != (m, m) or min(n, m) < 2:
        got = [tuple(d.shape) for d in (within_x, within_y, between)]
        raise ValueError(f"distances must be (n, n), (m, m), (n, m) with n, m >= 2, got {got}")
    own_x = _others(within_x).amin(1) < between.amin(1)
    own_y = _others(within_y).amin(1) < between.amin(0)
    return float(own_x.sum() + own_y.sum()) / (n + m)


def coverage(between: Tensor) -> float:
    """Share of the real clouds that some generated cloud has as its nearest.

    Source: Achlioptas et al. 2018, section 3; the book's equation eq-coverage.

    Args:
        between: (n, m), distances of n generated clouds to m real ones.

    Returns:
        In (0, 1]; two sets of one law and n = m reach about 0.6, not 1 (the book measures it).

    Raises:
        ValueError: between is no matrix.
    """
    if between.ndim != 2 or not between.numel():
        raise ValueError(f"between must be (n, m), got {tuple(between.shape)}")
    return len(between.argmin(1).unique()) / between.shape[1]


def cloud_scores(generated: Tensor, real: Tensor) -> CloudScores:
    """1-NNA, coverage and Chamfer distance of a generated set beside a real one.

    Args:
        generated: (n, N, D).
        real: (m, M, D); as many clouds as generated, for a fair 1-NNA.

    Raises:
        ValueError: shapes do not fit.
    """
    between = chamfer_matrix(generated, real)
    own = one_nna(chamfer_matrix(generated, generated), chamfer_matrix(real, real), between)
    return CloudScores(own, coverage(between), float(between.amin(0).mean()))


def _others(distances: Tensor) -> Tensor:
    """The distances, with infinity from each cloud to itself."""
    itself = torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    return distances.masked_fill(itself, torch.inf)


def _check_clouds(x: Tensor, y: Tensor) -> None:
    check_float("x", x)
    check_float("y", y)
    if x.ndim != 3 or y.ndim != 3 or x.shape[2] != y.shape[2] or not x.numel() or not y.numel():
        raise ValueError(
            f"clouds must be (B, N, D) and (B, M, D), got {tuple(x.shape)}, {tuple(y.shape)}"
        )
