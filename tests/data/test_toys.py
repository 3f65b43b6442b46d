"""Laws of the toys: their exact moments agree with quadrature and with the points drawn."""

import math

import pytest
import torch
from scipy.integrate import quad
from torch.testing import assert_close

from dmlib.data import (
    ground_truth_mixture,
    ground_truth_mixture_2d,
    ring_of_heaps,
    swiss_roll,
    swiss_roll_3d,
    swiss_roll_3d_moments,
    swiss_roll_moments,
    toys,
    two_moons,
    two_moons_moments,
)

TOYS = {
    "swiss_roll": (swiss_roll, swiss_roll_moments, 2),
    "two_moons": (two_moons, two_moons_moments, 2),
    "swiss_roll_3d": (swiss_roll_3d, swiss_roll_3d_moments, 3),
}
N = 200_000
F64 = torch.float64
every_toy = pytest.mark.parametrize(("draw", "moments", "D"), TOYS.values(), ids=TOYS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_moments(x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor) -> None:
    """Within five standard errors, each estimated from the points: about one miss in 10^6."""
    error = x.std(0) / math.sqrt(len(x))
    assert bool(((x.mean(0) - mean).abs() < 5 * error).all()), (x.mean(0) - mean) / error
    products = (x - mean)[:, :, None] * (x - mean)[:, None, :]  # (N, D, D)
    error = products.std(0) / math.sqrt(len(x))
    assert bool(((products.mean(0) - cov).abs() < 5 * error).all()), (
        products.mean(0) - cov
    ) / error


@every_toy
@pytest.mark.parametrize("noise", [0.0, 0.3, 2.0])
def test_points_have_the_exact_moments(draw, moments, D, noise):
    x = draw(N, generator=seeded(), noise=noise)
    assert (x.shape, x.dtype) == ((N, D), F64)
    assert_moments(x, *moments(noise=noise))


@every_toy
def test_each_coordinate_has_mean_0_and_variance_1(draw, moments, D):
    mean, cov = moments()
    assert_close(mean, torch.zeros(D, dtype=F64), rtol=0, atol=1e-15)
    assert_close(cov.diagonal(), torch.ones(D, dtype=F64), rtol=0, atol=1e-14)
    assert_moments(draw(N, generator=seeded(1)), mean, cov)


@every_toy
def test_default_noise_of_points_and_moments_agree(draw, moments, D):
    assert draw.__kwdefaults__["noise"] == moments.__kwdefaults__["noise"]


def expectation(f, low: float, high: float) -> float:
    return quad(f, low, high, epsabs=1e-12, epsrel=1e-12)[0] / (high - low)


def by_quadrature(curves, low: float, high: float, noise: float):
    """Mean and covariance of equally likely plane curves, parameter uniform, plus noise."""

    def average(g):
        return sum(expectation(lambda s, c=c: g(*c(s)), low, high) for c in curves) / len(curves)

    mx, my = average(lambda x, _: x), average(lambda _, y: y)
    xy = average(lambda x, y: (x - mx) * (y - my))
    xx = average(lambda x, _: (x - mx) ** 2) + noise**2
    yy = average(lambda _, y: (y - my) ** 2) + noise**2
    return torch.tensor([mx, my], dtype=F64), torch.tensor([[xx, xy], [xy, yy]], dtype=F64)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_spirals_moments_equal_quadrature(noise):
    curve = [lambda s: (s * math.cos(s), s * math.sin(s))]
    expected = by_quadrature(curve, 1.5 * math.pi, 4.5 * math.pi, noise)
    assert_close(toys._roll_moments(noise), expected, rtol=1e-10, atol=1e-10)
    mean, cov = toys._sheet_moments(noise)
    assert_close(mean[[0, 2]], expected[0], rtol=1e-10, atol=1e-10)
    assert_close(cov[::2, ::2], expected[1], rtol=1e-10, atol=1e-10)
    height = expectation(lambda h: (h - 10.5) ** 2, 0, 21) + noise**2
    assert_close(float(cov[1, 1]), height, rtol=1e-12, atol=0)
    assert cov[1, [0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_moons_moments_equal_quadrature(noise):
    curves = [
        lambda s: (math.cos(s), math.sin(s)),
        lambda s: (1 - math.cos(s), 0.5 - math.sin(s)),
    ]
    expected = by_quadrature(curves, 0, math.pi, noise)
    assert_close(toys._moons_moments(noise), expected, rtol=1e-10, atol=1e-10)


def test_without_noise_points_lie_on_the_spiral():
    mean, cov = toys._roll_moments(0.0)
    x = swiss_roll(1000, generator=seeded(), noise=0.0) * cov.diagonal().sqrt() + mean
    theta = x.norm(dim=1)
    assert 1.5 * math.pi <= float(theta.min()) < float(theta.max()) <= 4.5 * math.pi
    assert_close(x, torch.stack((theta * theta.cos(), theta * theta.sin()), 1))


def test_without_noise_points_lie_on_two_half_circles():
    mean, cov = toys._moons_moments(0.0)
    x = two_moons(N, generator=seeded(), noise=0.0) * cov.diagonal().sqrt() + mean
    middle = torch.tensor([1.0, 0.5], dtype=F64)
    upper = ((x.norm(dim=1) - 1).abs() < 1e-9) & (x[:, 1] >= 0)
    lower = (((x - middle).norm(dim=1) - 1).abs() < 1e-9) & (x[:, 1] <= 0.5)
    assert bool((upper | lower).all())
    # A fair coin: the share of the upper moon is within five standard errors, 5 / (2 sqrt N).
    assert abs(float(upper.double().mean()) - 0.5) < 2.5 / math.sqrt(N)


@every_toy
def test_the_generator_alone_decides_the_points(draw, moments, D):
    first = draw(10, generator=seeded(3))
    torch.manual_seed(1)
    assert torch.equal(first, draw(10, generator=seeded(3)))
    assert not torch.equal(first, draw(10, generator=seeded(4)))


def test_ground_truth_is_the_books_mixture():
    toy = ground_truth_mixture()
    assert toy.D == 1
    # Variance 0.3 (0.0625 + 1.75^2) + 0.7 (0.1225 + 0.75^2) = 0.9375 + 0.4795.
    assert_close(toy.mean(), torch.tensor([0.25], dtype=F64))
    assert_close(toy.cov(), torch.tensor([[1.417]], dtype=F64), rtol=0, atol=1e-12)
    normal = (math.exp(-(1.25**2) / 0.125) / 0.25, math.exp(-(1.25**2) / 0.245) / 0.35)
    at_minus_quarter = (0.3 * normal[0] + 0.7 * normal[1]) / math.sqrt(2 * math.pi)
    x = torch.tensor([[-0.25]], dtype=F64)
    assert_close(float(toy.log_prob(x).exp()), at_minus_quarter, rtol=1e-6, atol=0)
    assert_moments(toy.sample(N, seeded()), toy.mean(), toy.cov())


def test_its_relative_in_the_plane_has_three_heaps_apart():
    toy = ground_truth_mixture_2d()
    assert toy.D == 2
    apart = torch.cdist(toy.means, toy.means) / (toy.stds[:, None] + toy.stds)
    assert float(apart[~torch.eye(3, dtype=torch.bool)].min()) > 3
    assert_moments(toy.sample(N, seeded()), toy.mean(), toy.cov())


@every_toy
@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_a_wrong_n_is_refused(draw, moments, D, n):
    with pytest.raises(ValueError, match="n must be an integer >= 1"):
        draw(n, generator=seeded())


@every_toy
@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_a_wrong_noise_is_refused(draw, moments, D, noise):
    with pytest.raises(ValueError, match="noise must be finite and >= 0"):
        draw(3, generator=seeded(), noise=noise)
    with pytest.raises(ValueError, match="noise must be finite and >= 0"):
        moments(noise=noise)


@every_toy
def test_a_seed_is_no_generator(draw, moments, D):
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator, got int"):
        draw(3, generator=0)


def test_ring_of_heaps_is_centred_with_variance_one_and_no_two_heaps_share_a_coordinate():
    ring = ring_of_heaps()
    assert_close(ring.mean(), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    assert_close(ring.cov(), (1 + 0.05**2) * torch.eye(2, dtype=torch.float64))
    for axis in range(2):
        assert float(ring.means[:, axis].sort().values.diff().min()) > 0.2
