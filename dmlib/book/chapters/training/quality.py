"""The exercises of chapter 5, training: how good are the samples?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _root(cov: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.sqrt() @ vectors.mT


def _frechet(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    half = _root(cov_a)
    both = _root(half @ cov_b @ half)
    distance = ((mean_a - mean_b) ** 2).sum()
    return distance + cov_a.trace() + cov_b.trace() - 2 * both.trace()


def _cases(generator: Generator) -> Cases:
    cases = []
    for D in (2, 3, 4):
        means = draw.normal(2, D, generator=generator)
        covs = _covariances(D, generator)
        while not _has_roots(covs[0] @ covs[1]):
            covs = _covariances(D, generator)
        cases.append((means[0], covs[0], means[1], covs[1]))
    return cases


def _covariances(D: int, generator: Generator) -> Tensor:
    roots = draw.normal(2, D, D, generator=generator)
    return roots @ roots.mT + 0.3 * torch.eye(D, dtype=torch.float64)


def _has_roots(product: Tensor) -> bool:
    """Whether two known mistakes have a value: roots of its diagonal, and of what eigh reads."""
    least = min(product.diagonal().min(), torch.linalg.eigvalsh(product).min())
    return bool(least > 0.05)


def _spread(cov_a: Tensor, cov_b: Tensor) -> Tensor:
    zero = torch.zeros(len(cov_a), dtype=cov_a.dtype)
    return _frechet(zero, cov_a, zero, cov_b)


def _overlap(cov_a: Tensor, cov_b: Tensor) -> Tensor:
    half = _root(cov_a)
    return _root(half @ cov_b @ half).trace()


def _with(m: Tensor, A: Tensor, n: Tensor, B: Tensor, root: Tensor) -> Tensor:
    """The distance, with another matrix for the root."""
    return ((m - n) ** 2).sum() + A.trace() + B.trace() - 2 * root.trace()


FRECHET = Function(
    id="ex-training-13",
    level="build",
    title="The Fréchet distance",
    minutes=15,
    call="my_frechet(mean_a, cov_a, mean_b, cov_b)",
    cases=_cases,
    reference=_frechet,
    mistakes=(
        Mistake(
            "the root is taken of each number, not of the matrix",
            lambda m, A, n, B: _with(m, A, n, B, (A @ B).diagonal().sqrt().diag()),
            "R is the root of a matrix M if R @ R = M. The numbers' own roots do not give that.",
        ),
        Mistake(
            "eigh of C_a C_b",
            lambda m, A, n, B: _with(m, A, n, B, _root(A @ B)),
            "C_a C_b is not symmetric, and eigh does not notice. Use C_a^{1/2} C_b C_a^{1/2}.",
        ),
        Mistake(
            "the product of the two roots",
            lambda m, A, n, B: _with(m, A, n, B, _root(A) @ _root(B)),
            "The root of a product is not the product of the roots.",
        ),
        Mistake(
            "number by number, so that only the variances count",
            lambda m, A, n, B: _with(m, A, n, B, (A * B).sqrt()),
            "A B is the product of matrices, @ and not *: two features may move together in one "
            "cloud and against each other in the other.",
        ),
        Mistake(
            "the distance of the means is not squared",
            lambda m, A, n, B: (m - n).norm() + _spread(A, B),
            "It is the squared length of the difference of the means.",
        ),
        Mistake(
            "the factor 2 is missing",
            lambda m, A, n, B: _frechet(m, A, n, B) + _overlap(A, B),
            "Test it with a = b: the distance must be 0.",
        ),
        Mistake(
            "the means are forgotten",
            lambda m, A, n, B: _spread(A, B),
            "Two clouds of one shape in different places are not the same.",
        ),
        Mistake(
            "the root of the whole",
            lambda m, A, n, B: _frechet(m, A, n, B).sqrt(),
            "The formula gives the squared distance, and that is what is reported.",
        ),
    ),
)
