"""Numerical checks of the introduction's labelled equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from dmlib.mixture import GaussianMixture
from dmlib.schedules import cosine_schedule, linear_schedule

X = torch.linspace(-9, 9, 9001, dtype=torch.float64)
TOY = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=torch.float64),
    torch.tensor([[-1.5], [1.0]], dtype=torch.float64),
    torch.tensor([0.25, 0.35], dtype=torch.float64),
)


def entropy(law: GaussianMixture) -> torch.Tensor:
    """h = -integral of q ln q, by the trapezoid rule."""
    log_q = law.log_prob(X[:, None])
    return -torch.trapezoid(log_q.exp() * log_q, X)


def divergence(law: GaussianMixture) -> torch.Tensor:
    """KL(law || N(0, 1)) by the trapezoid rule."""
    log_q = law.log_prob(X[:, None])
    log_p = Normal(X.new_tensor(0.0), X.new_tensor(1.0)).log_prob(X)
    return torch.trapezoid(log_q.exp() * (log_q - log_p), X)


def test_eq_entropy():
    """0 if all is in one cell, ln K if all K cells are equal, and torch's entropy in between."""
    p = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.25] * 4, [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    H = -torch.special.xlogy(p, p).sum(1)
    expected = torch.stack([p.new_tensor(0.0), p.new_tensor(math.log(4)), p[2].new_zeros(())])
    expected[2] = torch.distributions.Categorical(p[2]).entropy()
    torch.testing.assert_close(H, expected)


@pytest.mark.parametrize("std", [0.3, 1.0, 1.3])
def test_differential_entropy_of_a_normal_law(std):
    law = GaussianMixture(
        torch.ones(1), torch.tensor([[0.4]]), torch.tensor([std], dtype=torch.float64)
    )
    expected = 0.5 * math.log(2 * math.pi * math.e * std**2)
    torch.testing.assert_close(entropy(law).item(), expected, rtol=0, atol=1e-9)


def test_eq_differential_entropy():
    """The integral equals -E[ln q(x)] over samples: seed 0, n = 200,000, five standard errors."""
    n = 200_000
    minus_log_q = -TOY.log_prob(TOY.sample(n, torch.Generator().manual_seed(0)))
    bound = 5 * minus_log_q.std() / n**0.5
    assert abs(minus_log_q.mean() - entropy(TOY)) < bound


@pytest.mark.parametrize("t", [100, 269, 700])
def test_eq_mutual_information(t):
    """h(x_t) - h(x_t | x_0) equals the double integral of q(x_0, x_t) ln q(x_t | x_0) / q(x_t)."""
    bar = linear_schedule(1000).alpha_bar[t]
    claimed = entropy(TOY.diffused(bar)) - 0.5 * (2 * math.pi * math.e * (1 - bar)).log()
    x0, xt = X[::10][:, None], X[::4][None]
    log_kernel = Normal(bar.sqrt() * x0, (1 - bar).sqrt()).log_prob(xt)
    log_marginal = TOY.diffused(bar).log_prob(X[::4][:, None])[None]
    inner = torch.trapezoid(log_kernel.exp() * (log_kernel - log_marginal), X[::4], dim=1)
    weights = TOY.log_prob(X[::10][:, None]).exp()
    torch.testing.assert_close(
        torch.trapezoid(weights * inner, X[::10]), claimed, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.5), (-1.0, 1.2)])
def test_eq_kl_to_normal(mean, std):
    mean, std = X.new_tensor(mean), X.new_tensor(std)
    law = GaussianMixture(torch.ones(1), mean.view(1, 1), std.view(1))
    expected = kl_divergence(
        Normal(mean, std), Normal(torch.zeros_like(mean), torch.ones_like(std))
    )
    torch.testing.assert_close(divergence(law), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "schedule", [linear_schedule(200), cosine_schedule(200)], ids=lambda s: s.name
)
def test_information_and_divergence_never_rise_on_the_way_to_noise(schedule):
    laws = [TOY.diffused(bar) for bar in schedule.alpha_bar]
    h = torch.stack([entropy(law) for law in laws[1:]])
    information = h - 0.5 * (2 * math.pi * math.e * (1 - schedule.alpha_bar[1:])).log()
    kl = torch.stack([divergence(law) for law in laws])
    assert bool((information.diff() < 1e-10).all())
    assert bool((kl.diff() < 1e-10).all())


def test_entropy_of_the_toy_overshoots():
    """The book says so: 0.879 at first, 1.488 near t = 269, 1.419 in the end."""
    bars = linear_schedule(1000).alpha_bar
    h0, top, end = (entropy(TOY.diffused(bars[t])).item() for t in (0, 269, 1000))
    assert (round(h0, 3), round(top, 3), round(end, 3)) == (0.879, 1.488, 1.419)
