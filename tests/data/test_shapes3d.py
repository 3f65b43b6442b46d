"""Furniture in space: on its surface, uniform by area, with the parameters' stated law."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest
from torch.testing import assert_close

from dmlib.data import shapes3d
from dmlib.data.shapes3d import (
    HIGH,
    LAW,
    LOW,
    SHAPES,
    draw_parameters,
    leg_length,
    parameter_moments,
    shapes,
    surface,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", SHAPES)
def test_parameters_have_the_stated_moments(kind):
    """Means and covariances of 40,000 draws, within five standard errors."""
    n = 40_000
    label = torch.full((n,), SHAPES.index(kind))
    x = draw_parameters(label, generator=seeded(1)).double()
    mean, cov = parameter_moments(kind)
    std = cov.diagonal().sqrt()
    assert ((x.mean(0) - mean).abs() < 5 * std / math.sqrt(n)).all()
    assert ((torch.cov(x.T) - cov).abs() < 5 * torch.outer(std, std) / math.sqrt(n / 2)).all()
    ends = torch.tensor(list(LAW[kind].values()))
    assert (x >= ends[:, 0]).all()
    assert (x <= ends[:, 1]).all()


def test_legs_of_chairs_are_low_or_high_by_the_width():
    label = torch.zeros(40_000, dtype=torch.int64)
    width, leg = draw_parameters(label, generator=seeded(2))[:, [0, 4]].T
    high = leg >= HIGH[0]
    assert ((leg <= LOW[1]) | high).all()
    for low in (1.6, 2.1, 2.5):
        within = (width - low - 0.05).abs() < 0.05
        share = float(shapes3d.share_of_high(torch.tensor(low + 0.05)))
        n = int(within.sum())
        assert abs(float(high[within].double().mean()) - share) < 5 * 0.5 / math.sqrt(n)


def test_the_same_seed_gives_the_same_clouds_and_another_others():
    a, b, c = (shapes(5, generator=seeded(s)) for s in (3, 3, 4))
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(a.points, c.points)


def boxes_of_a_chair(width, depth, back, thick, leg):
    """Centre and size of each box, written anew."""
    found = [
        ((0, 0, 0.1), (width, depth, 0.2)),
        ((0, depth / 2 - 0.08, 0.2 + back / 2), (width, 0.16, back)),
    ]
    for x in (-1, 1):
        for y in (-1, 1):
            at = (x * (width / 2 - thick / 2), y * (depth / 2 - thick / 2), -leg / 2)
            found.append((at, (thick, thick, leg)))
    return found


def test_points_of_a_chair_lie_on_its_boxes_in_proportion_to_their_area():
    one = torch.tensor([[2.0, 1.8, 1.6, 0.2, 1.2]])
    cloud, part = surface(torch.tensor([0]), one, points=40_000, generator=seeded(5))
    off, area = [], []
    for centre, size in boxes_of_a_chair(*one[0].tolist()):
        from_face = ((cloud[0] - torch.tensor(centre)).abs() - torch.tensor(size) / 2).clamp(-9, 9)
        off.append(from_face.amax(1).abs())  # 0 on the surface
        a, b, c = size
        area.append(2 * (a * b + b * c + c * a))
    assert torch.stack(off).amin(0).max() < 1e-5
    share = torch.bincount(part[0], minlength=3).double() / 40_000
    want = torch.tensor([area[0], area[1], sum(area[2:])], dtype=torch.float64)
    assert ((share - want / want.sum()).abs() < 5 * 0.5 / 200).all()
    # Within the seat: the upper face, the lower face and the sides by their areas.
    seat = cloud[0][part[0] == 0]
    top = (seat[:, 2] - 0.2).abs() < 1e-5
    want_top = 2.0 * 1.8 / (2 * (2.0 * 1.8 + 1.8 * 0.2 + 0.2 * 2.0))
    assert abs(float(top.double().mean()) - want_top) < 0.02
    assert kstest(seat[top][:, 0].numpy(), "uniform", args=(-1.0, 2.0)).pvalue > 1e-3


def test_points_of_a_shade_are_uniform_by_area():
    """On a cone's side the share below a ring grows with the ring's radius squared."""
    one = torch.tensor([[0.8, 1.4, 0.4, 1.0, 2.0]])
    cloud, part = surface(torch.tensor([2]), one, points=20_000, generator=seeded(6))
    shade = cloud[0][part[0] == 0]
    r = shade[:, :2].norm(dim=1)
    assert_close(shade[:, 2], (1.4 - r), atol=1e-4, rtol=0)  # from 1.4 below to 0.4 at height 1
    cumulative = (r**2 - 0.4**2) / (1.4**2 - 0.4**2)
    assert kstest(cumulative.numpy(), "uniform").pvalue > 1e-3


def test_points_of_a_handle_are_uniform_by_area():
    """Half a torus: its outer half has more area; the tube's angle has density 1 + r/R cos."""
    one = torch.tensor([[1.2, 1.0, 2.0, 0.5, 0.18]])
    cloud, part = surface(torch.tensor([3]), one, points=60_000, generator=seeded(7))
    x = cloud[0][part[0] == 3] - torch.tensor([1.2, 0.0, 0.0])
    ring = (x[:, 0] ** 2 + x[:, 2] ** 2).sqrt()
    assert_close(
        (ring - 0.5) ** 2 + x[:, 1] ** 2, torch.full_like(ring, 0.18**2), rtol=0, atol=1e-4
    )
    theta = torch.atan2(x[:, 1], ring - 0.5).double()
    cumulative = (theta + math.pi + 0.36 * theta.sin()) / (2 * math.pi)
    assert kstest(cumulative.numpy(), "uniform").pvalue > 1e-3
    assert (x[:, 0] > -1e-5).all()


def test_leg_length_reads_chairs_tables_and_lamps():
    for kind, bound in (("chair", 0.03), ("table", 0.03), ("lamp", 1e-5)):
        made = shapes(400, kind=kind, generator=seeded(8))
        off = leg_length(made.points) - made.parameters[:, 4]
        assert float(off.square().mean().sqrt()) < bound
        assert off.max() < 1e-5  # no point lies below the end of a leg


def test_thousands_of_clouds_a_second_come_as_one_batch():
    """No loop over clouds: the generator is read once, whatever their number."""
    made = shapes(300, points=512, generator=seeded(9))
    assert made.points.shape == (300, 512, 3)
    assert made.points.abs().max() < 3.2
    assert set(made.label.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: shapes(0, generator=seeded()), "n"),
        (lambda: shapes(1, points=0, generator=seeded()), "points"),
        (lambda: shapes(1, kind="sofa", generator=seeded()), "kind"),
        (lambda: parameter_moments("sofa"), "kind"),
        (lambda: surface(torch.tensor([0]), torch.zeros(2, 5), generator=seeded()), "parameters"),
        (lambda: leg_length(torch.zeros(4, 3)), "cloud"),
    ],
)
def test_bad_arguments_are_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()
