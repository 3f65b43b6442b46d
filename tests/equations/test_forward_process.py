"""Numerical checks of chapter 1's labelled equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from dmlib.data import ground_truth_mixture
from dmlib.forward import q_step
from dmlib.schedules import (
    NoiseSchedule,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
    zero_terminal_snr,
)

SCHEDULE = linear_schedule(5, beta_1=0.1, beta_T=0.6)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def path_law(mean0: float, var0: float) -> MultivariateNormal:
    """The joint normal law of (x_0, ..., x_T) for x_0 ~ N(mean0, var0), from x = A (x_0, eps)."""
    T, beta = SCHEDULE.T, SCHEDULE.beta
    A = torch.zeros(T + 1, T + 1, dtype=torch.float64)
    A[0, 0] = 1
    for t in range(1, T + 1):
        A[t] = (1 - beta[t]).sqrt() * A[t - 1]
        A[t, t] = beta[t].sqrt()
    source = torch.eye(T + 1, dtype=torch.float64)
    source[0, 0] = var0
    return MultivariateNormal(A[:, 0] * mean0, A @ source @ A.T)


def log_steps(path: torch.Tensor) -> torch.Tensor:
    """Sum over t of log q(x_t | x_{t-1}) for a path (T+1,)."""
    beta = SCHEDULE.beta[1:]
    return Normal((1 - beta).sqrt() * path[:-1], beta.sqrt()).log_prob(path[1:]).sum()


PATH = tensor(0.8, 0.3, -0.2, 0.5, 1.1, -0.4)


@pytest.mark.parametrize("t", [1, 3, 5])
def test_eq_q_step(t):
    """q_step carries the standard normal density of eps into N(sqrt(1-beta) x_prev, beta)."""
    eps = torch.linspace(-3, 3, 13, dtype=torch.float64, requires_grad=True)
    x_prev = torch.full_like(eps, 0.7).detach()
    xt = q_step(x_prev, t, eps, schedule=SCHEDULE)
    (slope,) = torch.autograd.grad(xt.sum(), eps)
    pushed = Normal(tensor(0.0), tensor(1.0)).log_prob(eps) - slope.log()
    beta = SCHEDULE.beta[t]
    torch.testing.assert_close(pushed, Normal((1 - beta).sqrt() * 0.7, beta.sqrt()).log_prob(xt))


def test_eq_q_step_sample():
    """For beta = 0.36: 0.8 x_prev + 0.6 eps, by hand."""
    schedule = NoiseSchedule(tensor(0.0, 0.36))
    xt = q_step(tensor(1.0, -2.0), 1, tensor(0.5, 1.0), schedule=schedule)
    torch.testing.assert_close(xt, tensor(0.8 + 0.3, -1.6 + 0.6))


def test_eq_forward_joint():
    """The product of the steps is the joint normal density of x_1..x_T given x_0."""
    joint = path_law(float(PATH[0]), 0.0 + 1.0)  # the variance of x_0 plays no part below
    # Condition on x_0: with x_0 fixed the path is A eps plus a mean.
    cov, mean = joint.covariance_matrix, joint.mean
    gain = cov[1:, 0] / cov[0, 0]
    conditional = MultivariateNormal(
        mean[1:] + gain * (PATH[0] - mean[0]), cov[1:, 1:] - torch.outer(gain, cov[0, 1:])
    )
    torch.testing.assert_close(log_steps(PATH), conditional.log_prob(PATH[1:]))


def test_eq_forward_joint_all():
    """With q(x_0) in front, here the toy's, it is the joint density of the whole path."""
    toy = ground_truth_mixture()
    parts = [
        math.log(w) + path_law(m, s**2).log_prob(PATH)
        for w, m, s in zip(
            toy.weights.tolist(), toy.means[:, 0].tolist(), toy.stds.tolist(), strict=True
        )
    ]
    claimed = toy.log_prob(PATH[:1, None])[0] + log_steps(PATH)
    torch.testing.assert_close(claimed, torch.stack(parts).logsumexp(0))


def test_markov_the_past_says_nothing_beside_the_present():
    """In the precision matrix of a path, x_s and x_t are coupled only if they are neighbours."""
    precision = path_law(0.0, 1.4).precision_matrix
    apart = torch.arange(len(PATH))[:, None] - torch.arange(len(PATH))
    torch.testing.assert_close(
        precision[apart.abs() > 1], torch.zeros(20, dtype=torch.float64), rtol=0, atol=1e-10
    )


def test_eq_toy():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    left, right = Normal(tensor(-1.5), tensor(0.25)), Normal(tensor(1.0), tensor(0.35))
    p = 0.3 * left.log_prob(x).exp() + 0.7 * right.log_prob(x).exp()
    torch.testing.assert_close(ground_truth_mixture().log_prob(x[:, None]).exp(), p)


@pytest.mark.parametrize("variance", [0.2, 1.0, 3.0])
def test_eq_variance_recursion(variance):
    joint = path_law(0.5, variance)
    v, beta = joint.variance, SCHEDULE.beta
    torch.testing.assert_close(v[1:], (1 - beta[1:]) * v[:-1] + beta[1:])


def test_eq_alpha_bar():
    for schedule in (linear_schedule(50), cosine_schedule(50)):
        expected = [
            math.prod((1 - b) for b in schedule.beta[1 : t + 1].tolist()) for t in range(51)
        ]
        torch.testing.assert_close(schedule.alpha_bar, tensor(*expected))


def test_eq_chain_moments():
    """Moments of every x_t of the toy's chain, through the recursion and through alpha_bar."""
    mean, variance = 0.25, 1.417
    for t in range(1, SCHEDULE.T + 1):
        beta = float(SCHEDULE.beta[t])
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        bar = SCHEDULE.alpha_bar[t]
        law = ground_truth_mixture().diffused(bar)
        torch.testing.assert_close(law.mean().item(), mean)
        torch.testing.assert_close(law.cov().item(), variance)
        torch.testing.assert_close(mean, (bar.sqrt() * 0.25).item())
        torch.testing.assert_close(variance - 1, (bar * 0.417).item())


def test_eq_linear_schedule():
    schedule = linear_schedule(1000)
    t = torch.arange(1, 1001, dtype=torch.float64)
    torch.testing.assert_close(schedule.beta[1:], 1e-4 + (t - 1) / 999 * (0.02 - 1e-4))
    assert (schedule.beta[1], schedule.beta[1000]) == (1e-4, 0.02)


def test_eq_cosine_schedule():
    schedule = cosine_schedule(1000)
    t = torch.arange(1000, dtype=torch.float64)  # t = T is clipped, see eq-beta-from-alpha-bar
    f = torch.cos(math.pi / 2 * (t / 1000 + 0.008) / 1.008) ** 2
    torch.testing.assert_close(schedule.alpha_bar[:1000], f / f[0])


def test_eq_beta_from_alpha_bar():
    for schedule in (cosine_schedule(1000), sigmoid_schedule(1000)):
        bar = schedule.alpha_bar
        torch.testing.assert_close(schedule.beta[1:], 1 - bar[1:] / bar[:-1], rtol=1e-9, atol=1e-12)
        assert schedule.beta[1000] == 0.999
        assert bool((schedule.beta <= 0.999).all())


def test_eq_sigmoid_schedule():
    schedule = sigmoid_schedule(1000)
    u = -3 + 6 * torch.arange(1000, dtype=torch.float64) / 1000
    low, high = 1 / (1 + math.exp(3)), 1 / (1 + math.exp(-3))
    torch.testing.assert_close(
        schedule.alpha_bar[:1000], (high - 1 / (1 + (-u).exp())) / (high - low)
    )


def test_eq_zero_snr():
    before = linear_schedule(1000).alpha_bar.sqrt()
    after = zero_terminal_snr(linear_schedule(1000)).alpha_bar.sqrt()
    expected = (before - before[1000]) * before[1] / (before[1] - before[1000])
    torch.testing.assert_close(after[1:], expected[1:])
    assert after[1000] == 0
    torch.testing.assert_close(after[1], before[1])
