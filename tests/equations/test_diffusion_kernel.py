"""Numerical checks of chapter 2's labelled equations."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Normal, kl_divergence

from dmlib.bound import bound_LT, normal_kl
from dmlib.forward import q_sample, q_step
from dmlib.schedules import (
    NoiseSchedule,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
    zero_terminal_snr,
)

SCHEDULES = [
    linear_schedule(1000),
    cosine_schedule(1000),
    sigmoid_schedule(1000),
    zero_terminal_snr(linear_schedule(1000)),
]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@every_schedule
def test_eq_two_steps(schedule):
    """Two calls of q_step equal the formula with the two noises in it."""
    x0, eps_1, eps_2 = noise(3, 4, 1, 5, 5)
    walked = q_step(q_step(x0, 1, eps_1, schedule=schedule), 2, eps_2, schedule=schedule)
    a_1, a_2 = schedule.alpha[1:3]
    formula = (a_2 * a_1).sqrt() * x0 + (a_2 * (1 - a_1)).sqrt() * eps_1 + (1 - a_2).sqrt() * eps_2
    torch.testing.assert_close(walked, formula)
    torch.testing.assert_close(a_2 * (1 - a_1) + (1 - a_2), 1 - a_1 * a_2)


def test_eq_sum_of_normals():
    """3 eps_1 + 4 eps_2 has the law N(0, 5^2), not N(0, 7^2): KS test, seed 1, n = 20,000."""
    x = 3 * noise(20_000, seed=1) + 4 * noise(20_000, seed=2)
    assert kstest(x.numpy(), "norm", args=(0, 5)).pvalue > 0.01
    assert kstest(x.numpy(), "norm", args=(0, 7)).pvalue < 1e-6


@every_schedule
def test_eq_induction_step(schedule):
    bar, alpha = schedule.alpha_bar, schedule.alpha
    torch.testing.assert_close(alpha[1:] * (1 - bar[:-1]) + (1 - alpha[1:]), 1 - bar[1:])


@pytest.mark.parametrize("t", [1, 37, 1000])
@every_schedule
def test_eq_kernel(schedule, t):
    """q_sample carries the density of eps into N(sqrt(alpha_bar) x_0, 1 - alpha_bar)."""
    eps = torch.linspace(-3, 3, 13, dtype=torch.float64, requires_grad=True)
    xt = q_sample(torch.full_like(eps, -0.4).detach(), t, eps, schedule=schedule)
    (slope,) = torch.autograd.grad(xt.sum(), eps)
    pushed = Normal(eps.new_tensor(0.0), eps.new_tensor(1.0)).log_prob(eps) - slope.log()
    bar = schedule.alpha_bar[t]
    expected = Normal(bar.sqrt() * -0.4, (1 - bar).sqrt()).log_prob(xt)
    torch.testing.assert_close(pushed, expected)


@every_schedule
def test_eq_kernel_sample(schedule):
    """The weights of t composed steps: of x_0, and the norm of those of all the noises."""
    T = 60
    start = torch.zeros(T + 1, T + 1, dtype=torch.float64)
    start[0, 0] = 1  # row i: the weight of source i; source 0 is x_0, source s is eps_s
    weights, one = start[:, :1].clone(), torch.ones(1, 1, dtype=torch.float64)
    for t in range(1, T + 1):
        eps = torch.zeros(T + 1, 1, dtype=torch.float64)
        eps[t] = 1
        weights = q_step(weights, t, eps, schedule=schedule)
        on_x0 = q_sample(one, t, 0 * one, schedule=schedule)[0, 0]
        on_eps = q_sample(0 * one, t, one, schedule=schedule)[0, 0]
        torch.testing.assert_close(weights[0, 0], on_x0)
        torch.testing.assert_close(weights[1:].norm(), on_eps)


def test_eq_energy_distance():
    """In one dimension it is twice the integral of (F - G)^2, exactly, for samples too."""
    x, y = noise(40, 1, seed=3), 0.5 + 2 * noise(40, 1, seed=4)
    energy = 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    places = torch.cat([x, y])[:, 0].sort().values
    F, G = ((z <= places).double().mean(0) for z in (x, y))
    torch.testing.assert_close(energy, 2 * ((F - G)[:-1] ** 2 * places.diff()).sum())


def test_energy_distance_as_one_product():
    """What the chapter's energy_test computes: -(s^T d s) / n^2 with s = +1 for x, -1 for y."""
    x, y = noise(30, 3, seed=5), 1 + noise(30, 3, seed=6)
    energy = 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    both, s = torch.cat([x, y]), torch.ones(60, dtype=torch.float64)
    s[30:] = -1
    torch.testing.assert_close(-(s @ torch.cdist(both, both) @ s) / 30**2, energy)


@every_schedule
def test_eq_snr(schedule):
    """The ratio of the squared weights that q_sample gives to picture and noise."""
    one = torch.ones(1, 1, dtype=torch.float64)
    for t in (1, 250, 999, 1000):
        signal = q_sample(one, t, 0 * one, schedule=schedule)[0, 0] ** 2
        power = q_sample(0 * one, t, one, schedule=schedule)[0, 0] ** 2
        torch.testing.assert_close(schedule.snr[t], signal / power)


@pytest.mark.parametrize("T", [1, 10, 1000])
def test_eq_slow_schedule(T):
    beta = 1 / (torch.arange(T + 1, dtype=torch.float64) + 1) ** 2
    beta[0] = 0
    expected = torch.tensor((T + 2) / (2 * (T + 1)), dtype=torch.float64)
    torch.testing.assert_close(NoiseSchedule(beta).alpha_bar[-1], expected)


def test_eq_normal_kl():
    m_p, v_p, m_q, v_q = noise(4, 20, seed=7)
    v_p, v_q = v_p.exp(), v_q.exp()
    formula = ((v_q / v_p).log() + (v_p + (m_p - m_q) ** 2) / v_q - 1) / 2
    expected = kl_divergence(Normal(m_p, v_p.sqrt()), Normal(m_q, v_q.sqrt()))
    torch.testing.assert_close(formula, expected)
    torch.testing.assert_close(normal_kl(m_p, v_p, m_q, v_q), expected)


@every_schedule
def test_eq_prior_kl(schedule):
    """The closed form, torch's sum over pixels, and bound_LT in bits per dimension."""
    x0 = noise(3, 1, 8, 8, seed=8).clamp(-1, 1)
    bar, D = schedule.alpha_bar[-1], 64
    nats = (bar * x0**2 - bar - torch.log1p(-bar)).sum((1, 2, 3)) / 2
    law = Normal(bar.sqrt() * x0, (1 - bar).sqrt())
    standard = Normal(torch.zeros_like(x0), torch.ones_like(x0))
    expected = kl_divergence(law, standard).sum((1, 2, 3))
    torch.testing.assert_close(nats, expected, rtol=1e-6, atol=1e-12)
    bits = bound_LT(x0, schedule=schedule)
    torch.testing.assert_close(bits * D * math.log(2), nats, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(nats, bar * (x0**2).sum((1, 2, 3)) / 2, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("t", [1, 400, 999])
@every_schedule
def test_eq_invert_kernel(schedule, t):
    """The true noise gives x_0 back; an error in it arrives multiplied by 1/sqrt(SNR)."""
    x0, eps, slip = noise(3, 4, 1, 5, 5, seed=9)
    xt = q_sample(x0, t, eps, schedule=schedule)
    bar = schedule.alpha_bar[t]
    back = (xt - (1 - bar).sqrt() * eps) / bar.sqrt()
    torch.testing.assert_close(back, x0, rtol=0, atol=1e-9)
    off = (xt - (1 - bar).sqrt() * (eps + slip)) / bar.sqrt()
    torch.testing.assert_close(back - off, slip / schedule.snr[t].sqrt(), rtol=1e-6, atol=1e-9)
