"""Laws of the forward process and of its posterior; equations one by one are in equations/."""

import math

import pytest
import torch
from torch.testing import assert_close

from dmlib.forward import q_posterior, q_sample, q_step
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule, zero_terminal_snr

F64 = torch.float64
every_schedule = pytest.mark.parametrize(
    "schedule",
    [linear_schedule(), cosine_schedule(), zero_terminal_snr(linear_schedule())],
    ids=lambda s: s.name,
)


def normal(x, mean, variance):
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


@every_schedule
def test_q_sample_equals_composed_q_steps(schedule):
    """q_step, 1000 times, on the weights of x0 and of each eps: x0's and their length agree."""
    weight_x0, variance = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
    one, zero = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
    for t in range(1, schedule.T + 1):
        weight_x0 = q_step(weight_x0, t, zero, schedule=schedule)
        shrunk = q_step(one, t, zero, schedule=schedule)
        fresh = q_step(zero, t, one, schedule=schedule)
        variance = shrunk**2 * variance + fresh**2
        if t in (1, 2, 17, 400, 999, 1000):
            signal = q_sample(one, t, zero, schedule=schedule)
            noise = q_sample(zero, t, one, schedule=schedule)
            assert_close(signal, weight_x0, rtol=1e-9, atol=1e-12)
            assert_close(noise**2, variance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("t", [2, 3, 7, 10])
def test_posterior_satisfies_bayes(t):
    """q(x_{t-1} | x_t, x_0) from densities multiplied on a grid, in one dimension."""
    schedule = linear_schedule(10, beta_1=0.02, beta_T=0.6)
    x, dx = torch.linspace(-10, 10, 20001, dtype=F64), 1e-3
    x0, xt = 0.7, -0.4
    bar, beta = float(schedule.alpha_bar[t - 1]), float(schedule.beta[t])
    prior = normal(x, math.sqrt(bar) * x0, 1 - bar)
    likelihood = normal(xt, math.sqrt(1 - beta) * x, beta)
    posterior = prior * likelihood / ((prior * likelihood).sum() * dx)
    mu_tilde, beta_tilde = q_posterior(
        torch.tensor([[x0]], dtype=F64), torch.tensor([[xt]], dtype=F64), t, schedule=schedule
    )
    assert_close(posterior, normal(x, float(mu_tilde), float(beta_tilde)), rtol=1e-7, atol=1e-10)


def test_posterior_of_two_steps_worked_by_hand():
    """beta = 1/2, 1/2: alpha_bar = 1/2, 1/4; beta_tilde_2 = (1/2)/(3/4) 1/2 = 1/3,

    mu_tilde_2 = sqrt(1/2) (1/2)/(3/4) x0 + sqrt(1/2) (1/2)/(3/4) x2 = sqrt(2)/3 (x0 + x2).
    """
    schedule = NoiseSchedule(torch.tensor([0.0, 0.5, 0.5], dtype=F64))
    x0, x2 = torch.tensor([[3.0]], dtype=F64), torch.tensor([[-1.0]], dtype=F64)
    mu_tilde, beta_tilde = q_posterior(x0, x2, 2, schedule=schedule)
    assert float(beta_tilde) == pytest.approx(1 / 3, rel=1e-14)
    assert float(mu_tilde) == pytest.approx(2 * math.sqrt(2) / 3, rel=1e-14)


@every_schedule
def test_posterior_at_the_first_step_is_the_data_itself(schedule):
    x0, x1 = torch.randn(2, 4, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    mu_tilde, beta_tilde = q_posterior(x0, x1, 1, schedule=schedule)
    assert_close(mu_tilde, x0)
    assert torch.equal(beta_tilde, torch.zeros(4, 1, dtype=F64))


@every_schedule
def test_posterior_and_kernel_at_t_give_the_kernel_at_t_minus_1(schedule):
    """Sampling x_t, then x_{t-1} from the posterior, is sampling x_{t-1}: weights and variance."""
    one, zero = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)
    for t in (1, 2, 300, 999, 1000):
        signal, noise = (
            q_sample(a, t, b, schedule=schedule) for a, b in ((one, zero), (zero, one))
        )
        on_x0, beta_tilde = q_posterior(one, signal, t, schedule=schedule)
        on_eps, _ = q_posterior(zero, noise, t, schedule=schedule)
        bar = schedule.alpha_bar[t - 1].view(1, 1)
        assert_close(on_x0, bar.sqrt(), rtol=1e-9, atol=1e-12)
        assert_close(on_eps**2 + beta_tilde, 1 - bar, rtol=1e-9, atol=1e-12)


def test_t_0_is_the_clean_data():
    x0, eps = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(q_sample(x0, 0, eps, schedule=linear_schedule()), x0)


def test_each_sample_goes_to_its_own_t():
    schedule = cosine_schedule()
    x0, eps = torch.randn(2, 3, 1, 2, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([1, 40, 1000])
    for i in range(3):
        one = slice(i, i + 1)
        alone = q_sample(x0[one], int(t[i]), eps[one], schedule=schedule)
        assert_close(q_sample(x0, t, eps, schedule=schedule)[one], alone)
        alone = q_posterior(x0[one], eps[one], int(t[i]), schedule=schedule)
        together = q_posterior(x0, eps, t, schedule=schedule)
        assert_close([part[one] for part in together], list(alone))
