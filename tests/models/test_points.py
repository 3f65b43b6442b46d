"""The network for clouds: the order of the points does not matter, known points are told."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from dmlib.models.points import CloudNet, waves


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def net():
    """With weights that are nowhere 0, so that every part speaks."""
    net = CloudNet(width=32, blocks=2, tokens=8, num_classes=4).double().eval()
    g = seeded(1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, dtype=torch.float64, generator=g))
    return net


def cloud(n=50, seed=2):
    return torch.randn(3, n, 3, dtype=torch.float64, generator=seeded(seed))


def test_the_answers_change_places_with_the_points(net):
    x, order = cloud(), torch.randperm(50, generator=seeded(3))
    known = torch.rand(3, 50, generator=seeded(4)) < 0.3
    y = torch.tensor([0, 3, 4])
    for t in (1, 500, 1000):
        out = net(x, t, y, known=known)
        assert_close(
            net(x[:, order], t, y, known=known[:, order]), out[:, order], rtol=0, atol=1e-6
        )
        assert not torch.allclose(out, out[:, order])


def test_points_hear_of_each_other(net):
    """Moving one point changes what is said of all others, by way of the tokens."""
    x = cloud()
    moved = x.clone()
    moved[:, 0] += 1
    apart = (net(moved, 500) - net(x, 500)).abs().amax(-1)
    assert (apart[:, 1:] > 1e-9).all()


def test_time_class_and_known_points_are_heard(net):
    x, known = cloud(), torch.zeros(3, 50, dtype=torch.bool)
    base = net(x, 500, torch.tensor([0, 0, 0]), known=known)
    assert torch.equal(base, net(x, 500, torch.tensor([0, 0, 0])))
    assert not torch.allclose(base, net(x, 400, torch.tensor([0, 0, 0])))
    assert not torch.allclose(base, net(x, 500, torch.tensor([1, 1, 1])))
    known[:, 7] = True
    assert not torch.allclose(base, net(x, 500, torch.tensor([0, 0, 0]), known=known))
    assert torch.equal(net(x, 500), net(x, 500, torch.full((3,), 4)))


def test_clouds_of_a_batch_do_not_mix_and_n_is_free(net):
    x = cloud(20)
    assert_close(net(x, 300)[:1], net(x[:1], 300))
    assert net(cloud(333), 1).shape == (3, 333, 3)


def test_a_new_network_says_nothing():
    assert not CloudNet(num_classes=4)(torch.randn(1, 5, 3), 10).any()


def test_waves_are_sines_and_cosines_of_each_coordinate():
    x = torch.tensor([[[0.5, 1.0, -0.25]]], dtype=torch.float64)
    found = waves(x)[0, 0]
    assert found.shape == (27,)
    assert_close(found[:3], x[0, 0])
    # sin of pi/2, pi, 2 pi, 4 pi times the first coordinate, 0.5
    assert_close(found[3:7], torch.tensor([0.5**0.5, 1, 0, 0], dtype=torch.float64))
    assert_close(found[15:19], torch.tensor([0.5**0.5, 0, -1, 1], dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: CloudNet(width=30, heads=4), "width"),
        (lambda: CloudNet(tokens=0), "tokens"),
        (lambda: CloudNet()(torch.zeros(2, 5), 1), "xt"),
        (lambda: CloudNet()(torch.zeros(2, 5, 2), 1), "xt"),
        (lambda: CloudNet()(torch.zeros(1, 5, 3), 1, known=torch.zeros(1, 5)), "known"),
        (lambda: CloudNet()(torch.zeros(1, 5, 3), 1, torch.tensor([0])), "y"),
    ],
)
def test_bad_arguments_are_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()
