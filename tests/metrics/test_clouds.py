"""Chamfer distance, 1-NNA and coverage against brute force and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch.testing import assert_close

from dmlib.metrics.clouds import chamfer, chamfer_matrix, cloud_scores, coverage, one_nna


def clouds(n, N, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, N, 3, dtype=torch.float64, generator=g)


def by_tree(x, y):
    there, back = cKDTree(y).query(x)[0], cKDTree(x).query(y)[0]
    return (there**2).mean() + (back**2).mean()


def test_chamfer_is_that_of_kd_trees():
    x, y = clouds(4, 30, 0), clouds(4, 21, 1)
    want = [by_tree(a.numpy(), b.numpy()) for a, b in zip(x, y, strict=True)]
    assert_close(chamfer(x, y), torch.tensor(want, dtype=torch.float64))
    table = chamfer_matrix(x, y)
    for i in range(4):
        for j in range(4):
            assert abs(float(table[i, j]) - by_tree(x[i].numpy(), y[j].numpy())) < 1e-12


def test_chamfer_knows_no_order_and_is_symmetric():
    x, y = clouds(2, 30, 0), clouds(2, 30, 1)
    assert_close(chamfer(x, y), chamfer(y.flip(1), x))
    assert_close(chamfer(x, x.flip(1)), torch.zeros(2, dtype=torch.float64))


def test_matrix_in_float32_is_right_to_rounding():
    x, y = 3 * clouds(3, 200, 2).float(), 3 * clouds(5, 180, 3).float()
    assert_close(
        chamfer_matrix(x, y).double(), chamfer_matrix(x.double(), y.double()), atol=1e-5, rtol=0
    )
    assert chamfer_matrix(x, x).diagonal().max() < 1e-5


def test_one_nna_is_the_leave_one_out_accuracy_of_brute_force():
    g = np.random.default_rng(0)
    points = np.concatenate([g.normal(size=(15, 2)), 0.7 + g.normal(size=(12, 2))])
    owner = np.array([0] * 15 + [1] * 12)
    right = 0
    for i in range(27):
        distance = np.abs(points - points[i]).sum(1)
        distance[i] = np.inf
        right += owner[distance.argmin()] == owner[i]
    table = torch.cdist(torch.tensor(points), torch.tensor(points), p=1)
    assert one_nna(table[:15, :15], table[15:, 15:], table[:15, 15:]) == pytest.approx(right / 27)


def test_one_nna_tells_copies_from_others_and_from_the_same_law():
    far = clouds(20, 5, 1) + 10
    near = clouds(20, 5, 2)
    assert cloud_scores(far, near).one_nna == 1
    assert cloud_scores(near + 1e-6, near).one_nna == 0  # copies
    same = [cloud_scores(clouds(40, 5, s), clouds(40, 5, 100 + s)).one_nna for s in range(10)]
    assert abs(np.mean(same) - 0.5) < 0.06


def test_coverage_counts_what_is_found():
    between = torch.tensor([[1.0, 2.0, 3.0], [0.5, 2.0, 3.0], [4.0, 4.0, 1.0]])
    assert coverage(between) == pytest.approx(2 / 3)
    scores = cloud_scores(clouds(6, 5, 3), clouds(6, 5, 4))
    between = chamfer_matrix(clouds(6, 5, 3), clouds(6, 5, 4))
    assert scores.coverage == coverage(between)
    assert scores.chamfer == pytest.approx(float(between.amin(0).mean()))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: chamfer(torch.zeros(2, 3), torch.zeros(2, 3)), "clouds"),
        (lambda: chamfer_matrix(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2)), "clouds"),
        (lambda: chamfer(torch.zeros(1, 2, 3).long(), torch.zeros(1, 2, 3)), "x"),
        (lambda: one_nna(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(3, 2)), "distances"),
        (lambda: coverage(torch.zeros(3)), "between"),
    ],
)
def test_bad_arguments_are_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()
