"""Numerical checks of chapter 3's labelled equations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from dmlib.bound import bound_L0, bound_L0_density, bound_LT, bound_Lt
from dmlib.data import ground_truth_mixture
from dmlib.forward import q_posterior, q_sample
from dmlib.losses import min_snr_weight, simple_loss
from dmlib.mixture import GaussianMixture, reverse_posterior
from dmlib.oracle import FiniteOracle, MixtureOracle
from dmlib.parameterization import (
    eps_from_v,
    eps_from_x0,
    guess_from_eps,
    score_from_eps,
    score_from_x0,
    v_from_eps,
    x0_from_eps,
    x0_from_v,
)
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule
from dmlib.steps import Move, Step, ddim, ddpm

F64 = torch.float64
TOY = ground_truth_mixture()
GRID = torch.linspace(-8, 8, 3201, dtype=F64)
LONG, COARSE = linear_schedule(1000), cosine_schedule(4)
TWO = NoiseSchedule(torch.tensor([0.0, 0.2, 0.5], dtype=F64))
CASES = [(LONG, 1), (LONG, 2), (LONG, 300), (LONG, 1000), (COARSE, 2), (COARSE, 3)]
every_case = pytest.mark.parametrize(
    ("schedule", "t"), CASES, ids=[f"{s.name}{s.T}-t{t}" for s, t in CASES]
)
later_case = pytest.mark.parametrize(
    ("schedule", "t"), CASES[1:], ids=[f"{s.name}{s.T}-t{t}" for s, t in CASES[1:]]
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def point(value: float) -> torch.Tensor:
    return torch.tensor([[value]], dtype=F64)


def step_of(
    rule: Step,
    xt: torch.Tensor,
    eps_hat: torch.Tensor,
    z: torch.Tensor | None,
    *,
    t: int,
    schedule: NoiseSchedule,
    t_prev: int | None = None,
) -> torch.Tensor:
    """One step by the rule for whoever guesses eps_hat, to t - 1 if nothing else is said."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    return rule(xt, guess, z, Move(schedule, t, t - 1 if t_prev is None else t_prev))


def law_of_step(t: int, schedule: NoiseSchedule, x_prev: torch.Tensor) -> Normal:
    """q(x_t | x_{t-1})."""
    return Normal((1 - schedule.beta[t]).sqrt() * x_prev, schedule.beta[t].sqrt())


def kernel(t: int, schedule: NoiseSchedule, x0: torch.Tensor) -> Normal:
    """q(x_t | x_0)."""
    bar = schedule.alpha_bar[t]
    return Normal(bar.sqrt() * x0, (1 - bar).sqrt())


@every_case
def test_eq_reverse_bayes(schedule, t):
    """The product, made to integrate to 1 on a grid, is what reverse_posterior says."""
    law = reverse_posterior(TOY, torch.tensor([0.4], dtype=F64), t, schedule=schedule)
    mean, std = law.mean()[0], law.cov()[0, 0].sqrt()
    x = mean + std * torch.linspace(-9, 9, 4001, dtype=F64)
    prior = TOY.diffused(schedule.alpha_bar[t - 1]).log_prob(x[:, None])
    product = (prior + law_of_step(t, schedule, x).log_prob(x.new_tensor(0.4))).exp()
    normaliser = torch.trapezoid(product, x)
    torch.testing.assert_close(product / normaliser, law.log_prob(x[:, None]).exp())
    q_xt = TOY.diffused(schedule.alpha_bar[t]).log_prob(point(0.4)).exp()[0]
    torch.testing.assert_close(normaliser, q_xt, rtol=1e-9, atol=0)


@every_case
def test_eq_marginal(schedule, t):
    """The integral over x_0 on a grid equals the closed form of the toy."""
    for xt in (-1.4, 0.0, 0.9):
        inside = kernel(t, schedule, GRID).log_prob(GRID.new_tensor(xt)).exp()
        x0, weight = GRID, TOY.log_prob(GRID[:, None]).exp()
        found = torch.trapezoid(inside * weight, x0)
        exact = TOY.diffused(schedule.alpha_bar[t]).log_prob(point(xt)).exp()[0]
        torch.testing.assert_close(found, exact, rtol=1e-7, atol=0)


@every_case
def test_eq_log_reverse(schedule, t):
    """ln q(x_{t-1} | x_t) minus parabola minus ln q(x_{t-1}) is the same for all x_{t-1}."""
    xt, x = torch.tensor([0.4], dtype=F64), torch.linspace(-1, 1.5, 9, dtype=F64)[:, None]
    parabola = -((xt - schedule.alpha[t].sqrt() * x[:, 0]) ** 2) / (2 * schedule.beta[t])
    rest = reverse_posterior(TOY, xt, t, schedule=schedule).log_prob(x) - parabola
    rest = rest - TOY.diffused(schedule.alpha_bar[t - 1]).log_prob(x)
    torch.testing.assert_close(rest, rest[:1].expand(9), rtol=1e-9, atol=1e-9)


@every_case
def test_eq_reverse_tweedie(schedule, t):
    """Mean and variance from two derivatives of ln q(x_t) equal those of the exact step back."""
    beta, bar = schedule.beta[t], schedule.alpha_bar[t]
    for value in (-1.2, -0.2, 0.8):
        xt = torch.tensor(value, dtype=F64, requires_grad=True)
        V = bar * TOY.stds**2 + 1 - bar
        log_q = (
            TOY.weights.log() + Normal(bar.sqrt() * TOY.means[:, 0], V.sqrt()).log_prob(xt)
        ).logsumexp(0)
        (slope,) = torch.autograd.grad(log_q, xt, create_graph=True)
        (bend,) = torch.autograd.grad(slope, xt)
        law = reverse_posterior(TOY, xt.detach()[None], t, schedule=schedule)
        mean = (xt + beta * slope) / (1 - beta).sqrt()
        variance = beta / (1 - beta) * (1 + beta * bend)
        torch.testing.assert_close(mean.detach(), law.mean()[0], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(variance.detach(), law.cov()[0, 0], rtol=1e-7, atol=0)


def test_eq_total_variation():
    """For N(0, 1) and N(d, 1) it is 2 Phi(d/2) - 1; the best guesser is right with (1 + TV)/2."""
    standard = Normal(GRID.new_tensor(0.0), GRID.new_tensor(1.0))
    p = standard.log_prob(GRID).exp()
    for d in (0.0, 0.3, 2.0):
        r = standard.log_prob(GRID - d).exp()
        tv = torch.trapezoid((p - r).abs(), GRID) / 2
        exact = 2 * standard.cdf(GRID.new_tensor(d / 2)) - 1
        torch.testing.assert_close(tv, exact, rtol=0, atol=1e-5)
        right = torch.trapezoid(torch.maximum(p, r) / 2, GRID)
        torch.testing.assert_close(right, (1 + tv) / 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("fixed_variance", "power"), [(False, 1.5), (True, 1.0)])
def test_small_steps_are_normal_with_the_powers_that_the_text_names(fixed_variance, power):
    """TV falls as beta^(3/2) with the right variance and as beta with the variance beta."""
    found = []
    for beta in (1e-3, 1e-2):
        beta = torch.tensor(beta, dtype=F64)
        two = NoiseSchedule(torch.stack([0 * beta, 1 - 0.5 / (1 - beta), beta]))
        law = reverse_posterior(TOY, torch.tensor([-0.6], dtype=F64), 2, schedule=two)
        mean, std = law.mean()[0], law.cov()[0, 0].sqrt()
        x = mean + std * torch.linspace(-9, 9, 4001, dtype=F64)
        normal = Normal(mean, beta.sqrt() if fixed_variance else std).log_prob(x).exp()
        gap = (law.log_prob(x[:, None]).exp() - normal).abs()
        found.append(torch.trapezoid(gap, x) / 2)
    assert abs(math.log10(found[1] / found[0]) - power) < 0.08


@later_case
def test_eq_posterior_bayes(schedule, t):
    """Step times kernel over kernel is the normal density of q_posterior, at any x_{t-1}."""
    x0, xt, x = point(0.7), point(-0.3), noise(9, 1, seed=1)
    log_bayes = (
        law_of_step(t, schedule, x).log_prob(xt)
        + kernel(t - 1, schedule, x0).log_prob(x)
        - kernel(t, schedule, x0).log_prob(xt)
    )
    mu_tilde, beta_tilde = q_posterior(x0, xt, t, schedule=schedule)
    exact = Normal(mu_tilde, beta_tilde.sqrt()).log_prob(x)
    torch.testing.assert_close(log_bayes, exact, rtol=1e-8, atol=1e-8)


@later_case
def test_eq_complete_square(schedule, t):
    """The exponent and the completed square differ by a constant; 1/A and B/A are the posterior."""
    x0, xt, x = noise(3, 1, 5, seed=2)
    alpha, beta, before = schedule.alpha[t], schedule.beta[t], schedule.alpha_bar[t - 1]
    A = alpha / beta + 1 / (1 - before)
    B = alpha.sqrt() / beta * xt + before.sqrt() / (1 - before) * x0
    places = x + noise(6, 5, seed=3)
    first = ((xt - alpha.sqrt() * places) ** 2).sum(1) / beta
    exponent = -(first + ((places - before.sqrt() * x0) ** 2).sum(1) / (1 - before)) / 2
    sorted_ = -(A * (places**2).sum(1) - 2 * (B * places).sum(1)) / 2
    square = -A / 2 * ((places - B / A) ** 2).sum(1)
    for other in (sorted_, square):
        gap = exponent - other
        torch.testing.assert_close(gap, gap[:1].expand(6), rtol=1e-9, atol=1e-7)
    mu_tilde, beta_tilde = q_posterior(x0, xt, t, schedule=schedule)
    torch.testing.assert_close(beta_tilde, (1 / A).expand_as(beta_tilde), rtol=1e-9, atol=0)
    torch.testing.assert_close(mu_tilde, B / A, rtol=1e-9, atol=1e-11)


@every_case
def test_eq_posterior_variance(schedule, t):
    """The rule for conditioning normal vectors: Var - Cov^2 / Var, with x_0 given throughout."""
    var_prev, var_t = 1 - schedule.alpha_bar[t - 1], 1 - schedule.alpha_bar[t]
    cov = schedule.alpha[t].sqrt() * var_prev
    _, beta_tilde = q_posterior(point(0.2), point(0.1), t, schedule=schedule)
    torch.testing.assert_close(beta_tilde[0, 0], var_prev - cov**2 / var_t, rtol=1e-6, atol=1e-15)
    assert (beta_tilde[0, 0] == 0) == (t == 1)
    assert beta_tilde[0, 0] < schedule.beta[t]


@every_case
def test_eq_posterior_mean(schedule, t):
    """The rule for conditioning normal vectors: E + Cov / Var (x_t - E x_t)."""
    x0, xt = noise(2, 4, 3, seed=4)
    bars = schedule.alpha_bar
    slope = schedule.alpha[t].sqrt() * (1 - bars[t - 1]) / (1 - bars[t])
    expected = bars[t - 1].sqrt() * x0 + slope * (xt - bars[t].sqrt() * x0)
    mu_tilde, _ = q_posterior(x0, xt, t, schedule=schedule)
    torch.testing.assert_close(mu_tilde, expected, rtol=1e-9, atol=1e-11)


def weights_of_x0(xt: float, t: int, schedule: NoiseSchedule) -> torch.Tensor:
    """q(x_0 | x_t) on GRID, by Bayes' rule and the trapezoid rule."""
    joint = TOY.log_prob(GRID[:, None]) + kernel(t, schedule, GRID).log_prob(GRID.new_tensor(xt))
    return joint.exp() / torch.trapezoid(joint.exp(), GRID)


@pytest.mark.parametrize(("schedule", "t"), [(LONG, 300), (COARSE, 2), (COARSE, 3)])
def test_eq_reverse_average(schedule, t):
    """Averaged over q(x_0 | x_t), the steps that know x_0 are the step that does not."""
    xt, x = 0.4, torch.linspace(-1.5, 2, 15, dtype=F64)
    mu_tilde, beta_tilde = q_posterior(
        GRID[:, None], torch.full_like(GRID, xt)[:, None], t, schedule=schedule
    )
    steps = Normal(mu_tilde, beta_tilde.sqrt()).log_prob(x).exp()  # (grid, places)
    found = torch.trapezoid(weights_of_x0(xt, t, schedule)[:, None] * steps, GRID, dim=0)
    law = reverse_posterior(TOY, torch.tensor([xt], dtype=F64), t, schedule=schedule)
    torch.testing.assert_close(found, law.log_prob(x[:, None]).exp(), rtol=1e-6, atol=1e-12)


@every_case
def test_eq_reverse_moments(schedule, t):
    """Mean and variance of the exact step from mean and variance of q(x_0 | x_t)."""
    weight = weights_of_x0(0.4, t, schedule)
    mean_x0 = torch.trapezoid(weight * GRID, GRID)
    var_x0 = torch.trapezoid(weight * (GRID - mean_x0) ** 2, GRID)
    mean, beta_tilde = q_posterior(mean_x0.view(1, 1), point(0.4), t, schedule=schedule)
    bars = schedule.alpha_bar
    factor = bars[t - 1].sqrt() * schedule.beta[t] / (1 - bars[t])
    law = reverse_posterior(TOY, torch.tensor([0.4], dtype=F64), t, schedule=schedule)
    torch.testing.assert_close(mean[0], law.mean(), rtol=1e-6, atol=1e-9)
    variance = beta_tilde[0, 0] + factor**2 * var_x0
    torch.testing.assert_close(variance, law.cov()[0, 0], rtol=1e-5, atol=0)
    x0_hat = MixtureOracle(TOY, schedule=schedule)(point(0.4), t).x0_hat[0, 0]
    torch.testing.assert_close(x0_hat, mean_x0, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
@later_case
def test_eq_p_step(schedule, t, variance):
    """The rule carries standard normal noise into N(mu_theta, sigma_t^2), and sigma_t has a t."""
    xt, eps_hat = torch.full((13,), 0.3, dtype=F64), torch.full((13,), -0.6, dtype=F64)
    z = torch.linspace(-3, 3, 13, dtype=F64, requires_grad=True)
    x_prev = step_of(ddpm(variance), xt, eps_hat, z, t=t, schedule=schedule)
    (slope,) = torch.autograd.grad(x_prev.sum(), z)
    pushed = Normal(z.new_tensor(0.0), z.new_tensor(1.0)).log_prob(z) - slope.log()
    x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
    mean, beta_tilde = q_posterior(x0_hat, xt, t, schedule=schedule)
    sigma2 = beta_tilde if variance == "beta_tilde" else schedule.beta[t]
    expected = Normal(mean, sigma2**0.5).log_prob(x_prev)
    torch.testing.assert_close(pushed, expected, rtol=1e-6, atol=1e-6)


def test_eq_p_joint():
    """For standard normal data the exact steps are known; their product is q(x_{0:T}), exactly."""
    schedule, x = linear_schedule(5, beta_1=0.1, beta_T=0.6), noise(6, 20, seed=5)  # x[t] is x_t
    standard = Normal(x.new_tensor(0.0), x.new_tensor(1.0))
    forward, backward = standard.log_prob(x[0]), standard.log_prob(x[-1])
    for t in range(1, schedule.T + 1):
        forward = forward + law_of_step(t, schedule, x[t - 1]).log_prob(x[t])
        eps_hat = (1 - schedule.alpha_bar[t]).sqrt() * x[t]  # E[eps | x_t] for such data
        on_eps = schedule.beta[t] / (1 - schedule.alpha_bar[t]).sqrt()
        mean = (x[t] - on_eps * eps_hat) / schedule.alpha[t].sqrt()
        backward = backward + Normal(mean, schedule.beta[t].sqrt()).log_prob(x[t - 1])
    torch.testing.assert_close(forward, backward)


class TwoSteps:
    """T = 2, one dimension, x_0 given: all densities on a grid over (x_1, x_2)."""

    def __init__(self) -> None:
        self.x0 = point(0.6)
        self.x = torch.linspace(-7, 7, 701, dtype=F64)
        x1, x2 = self.x[:, None], self.x[None]
        self.log_q = kernel(1, TWO, self.x0).log_prob(x1) + law_of_step(2, TWO, x1).log_prob(x2)
        mean_1, mean_2 = (
            step_of(ddpm(), self.x, self.eps_hat(self.x), 0 * self.x, t=t, schedule=TWO)
            for t in (1, 2)
        )
        start = Normal(self.x.new_tensor(0.0), self.x.new_tensor(1.0)).log_prob(x2)
        step_2 = Normal(mean_2, TWO.beta[2].sqrt()).log_prob(x1)  # variance "beta"
        step_1 = Normal(mean_1, TWO.beta[1].sqrt()).log_prob(self.x0[0])
        self.log_p = start + step_2 + step_1[:, None]

    def eps_hat(self, xt: torch.Tensor) -> torch.Tensor:
        """Some network, not a good one."""
        return torch.tanh(xt + 0.2)

    def x0_hat(self, xt: torch.Tensor, t: int) -> torch.Tensor:
        return x0_from_eps(self.eps_hat(xt), xt, t, schedule=TWO)

    def integral(self, values: torch.Tensor) -> torch.Tensor:
        return torch.trapezoid(torch.trapezoid(values, self.x), self.x)

    def L(self) -> torch.Tensor:
        return self.integral(self.log_q.exp() * (self.log_q - self.log_p))


def test_eq_bound_jensen():
    """L lies above -ln p(x_0), by the divergence of the ways, which is the gap the text names."""
    two = TwoSteps()
    log_p_x0 = two.integral(two.log_p.exp()).log()
    ways = two.log_p - log_p_x0  # ln p(x_{1:T} | x_0)
    gap = two.integral(two.log_q.exp() * (two.log_q - ways))
    assert gap > 0.01
    torch.testing.assert_close(two.L(), -log_p_x0 + gap, rtol=1e-9, atol=1e-9)
    averaged = two.integral(two.log_q.exp() * (two.log_p - two.log_q).exp()).log()
    torch.testing.assert_close(averaged, log_p_x0)


@later_case
def test_eq_bound_turn(schedule, t):
    x0, x_prev, xt = noise(3, 7, 1, seed=6)
    mu_tilde, beta_tilde = q_posterior(x0, xt, t, schedule=schedule)
    turned = (
        Normal(mu_tilde, beta_tilde.sqrt()).log_prob(x_prev)
        + kernel(t, schedule, x0).log_prob(xt)
        - kernel(t - 1, schedule, x0).log_prob(x_prev)
    )
    expected = law_of_step(t, schedule, x_prev).log_prob(xt)
    torch.testing.assert_close(turned, expected, rtol=1e-8, atol=1e-7)


def test_eq_bound():
    """The definition, integrated on a grid, equals the sum of dmlib's three kinds of terms."""
    two = TwoSteps()
    x, x0 = two.x[:, None], two.x0.expand(len(two.x), 1)
    weight_1, weight_2 = (kernel(t, TWO, two.x0[0]).log_prob(two.x).exp() for t in (1, 2))
    settings = {"schedule": TWO, "variance": "beta"}
    L_0 = torch.trapezoid(weight_1 * bound_L0_density(x0, x, two.x0_hat(x, 1), **settings), two.x)
    L_1 = torch.trapezoid(weight_2 * bound_Lt(x0, x, 2, two.x0_hat(x, 2), **settings), two.x)
    L_T = bound_LT(two.x0, schedule=TWO)[0]
    torch.testing.assert_close((L_0 + L_1 + L_T) * math.log(2), two.L(), rtol=1e-7, atol=1e-9)


def test_eq_bound_end():
    q = kernel(2, TWO, point(0.6)[0, 0])
    p = Normal(GRID.new_tensor(0.0), GRID.new_tensor(1.0))
    log_q, log_p = q.log_prob(GRID), p.log_prob(GRID)
    integral = torch.trapezoid(log_q.exp() * (log_q - log_p), GRID)
    found = bound_LT(point(0.6), schedule=TWO)[0] * math.log(2)
    torch.testing.assert_close(found, integral, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
@later_case
def test_eq_bound_Lt(schedule, t, variance):
    """The divergence at one x_t, in bits, equals the integral of its definition."""
    x0, xt, eps_hat = point(0.6), point(0.1), point(-0.4)
    mu_tilde, beta_tilde = q_posterior(x0, xt, t, schedule=schedule)
    sigma2 = beta_tilde if variance == "beta_tilde" else schedule.beta[t]
    mean = step_of(ddpm(), xt, eps_hat, 0 * xt, t=t, schedule=schedule)
    x = (mu_tilde + beta_tilde.sqrt() * torch.linspace(-9, 9, 4001, dtype=F64))[0]
    log_q = Normal(mu_tilde[0], beta_tilde[0].sqrt()).log_prob(x)
    log_p = Normal(mean[0], (sigma2**0.5).flatten()).log_prob(x)
    integral = torch.trapezoid(log_q.exp() * (log_q - log_p), x)
    x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
    found = bound_Lt(x0, xt, t, x0_hat, schedule=schedule, variance=variance)[0] * math.log(2)
    torch.testing.assert_close(found, integral, rtol=1e-5, atol=1e-8)


def test_eq_bound_L0():
    """Grey levels: 256 probabilities that add up to 1; a density: minus its logarithm."""
    levels = torch.arange(256, dtype=F64)[:, None] / 127.5 - 1
    x1, eps_hat = torch.full_like(levels, 0.15), torch.full_like(levels, -0.3)
    settings = {"schedule": LONG, "variance": "beta"}
    x0_hat = x0_from_eps(eps_hat, x1, 1, schedule=LONG)
    bits = bound_L0(levels, x1, x0_hat, **settings)
    torch.testing.assert_close((2.0**-bits).sum(), bits.new_tensor(1.0))
    mean = step_of(ddpm(), x1, eps_hat, None, t=1, schedule=LONG)
    law = Normal(mean, LONG.beta[1].sqrt())
    middle = slice(140, 153)
    mass = (law.cdf(levels + 1 / 255) - law.cdf(levels - 1 / 255))[middle, 0]
    torch.testing.assert_close(2.0 ** -bits[middle], mass, rtol=1e-9, atol=1e-15)
    nats = bound_L0_density(levels, x1, x0_hat, **settings) * math.log(2)
    torch.testing.assert_close(nats, -law.log_prob(levels)[:, 0])


def test_eq_step_kl():
    """Against torch's divergence of normal distributions of D = 6 dimensions."""
    mu_tilde, mu = noise(2, 4, 6, seed=7)
    beta_tilde, sigma2, D = 0.3, 0.5, 6
    square = ((mu_tilde - mu) ** 2).sum(1) / (2 * sigma2)
    found = square + D / 2 * (math.log(sigma2 / beta_tilde) + beta_tilde / sigma2 - 1)
    laws = [
        Independent(Normal(m, torch.full_like(m, v**0.5)), 1)
        for m, v in ((mu_tilde, beta_tilde), (mu, sigma2))
    ]
    torch.testing.assert_close(found, kl_divergence(*laws))


@every_case
def test_eq_mu_eps(schedule, t):
    """The mean by the noise equals the mean by the picture."""
    x0, eps = noise(2, 3, 5, seed=8)
    xt = q_sample(x0, t, eps, schedule=schedule)
    on_eps = schedule.beta[t] / (1 - schedule.alpha_bar[t]).sqrt()
    by_eps = (xt - on_eps * eps) / schedule.alpha[t].sqrt()
    mu_tilde, _ = q_posterior(x0, xt, t, schedule=schedule)
    torch.testing.assert_close(by_eps, mu_tilde, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
@later_case
def test_eq_eps_weight(schedule, t, variance):
    """bound_Lt is the weight times the squared error of the noise, and a part without theta."""
    x0, eps, eps_hat = noise(3, 3, 5, seed=9)
    xt = q_sample(x0, t, eps, schedule=schedule)
    beta, bar = schedule.beta[t], schedule.alpha_bar[t]
    beta_tilde = (1 - schedule.alpha_bar[t - 1]) / (1 - bar) * beta
    sigma2 = beta_tilde if variance == "beta_tilde" else beta
    weight = beta**2 / (2 * sigma2 * schedule.alpha[t] * (1 - bar))
    rest = ((sigma2 / beta_tilde).log() + beta_tilde / sigma2 - 1) / 2
    expected = weight * ((eps - eps_hat) ** 2).mean(1) + rest
    x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
    found = bound_Lt(x0, xt, t, x0_hat, schedule=schedule, variance=variance) * math.log(2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-10)


def test_bound_weights_eps_by_the_ratio_of_snrs_and_x0_by_their_difference():
    """Solution 3.9: with sigma_t^2 = beta_tilde_t."""
    schedule, t = linear_schedule(50, beta_1=0.002, beta_T=0.2), torch.arange(2, 51)
    beta, alpha, bar = schedule.beta[t], schedule.alpha[t], schedule.alpha_bar
    beta_tilde = (1 - bar[t - 1]) / (1 - bar[t]) * beta
    on_eps = beta**2 / (2 * beta_tilde * alpha * (1 - bar[t]))
    snr = schedule.snr
    torch.testing.assert_close(on_eps, (snr[t - 1] / snr[t] - 1) / 2)
    torch.testing.assert_close(on_eps * snr[t], (snr[t - 1] - snr[t]) / 2)


def test_eq_simple_loss():
    """The mean square; and no answer beats E[eps | x_t], whose loss is SNR(t) E Var(x_0 | x_t)."""
    eps, eps_hat = noise(2, 3, 1, 4, 4, seed=10)
    by_hand = sum((e - h) ** 2 for e, h in zip(eps.flatten(), eps_hat.flatten(), strict=True)) / 48
    torch.testing.assert_close(simple_loss(eps_hat, eps), by_hand)
    n, t = 200_000, 300
    x0, eps = TOY.sample(n, torch.Generator().manual_seed(11)), noise(n, 1, seed=12)
    xt = q_sample(x0, t, eps, schedule=LONG)
    best = MixtureOracle(TOY, schedule=LONG)(xt, t).eps_hat
    losses = simple_loss(best, eps, per_sample=True)
    weight = TOY.diffused(LONG.alpha_bar[t]).log_prob(GRID[:, None]).exp()
    x0_hat = MixtureOracle(TOY, schedule=LONG)(GRID[:, None], t).x0_hat[:, 0]
    doubt = TOY.cov()[0, 0] + TOY.mean()[0] ** 2 - torch.trapezoid(weight * x0_hat**2, GRID)
    floor = LONG.snr[t] * doubt
    assert abs(losses.mean() - floor) < 5 * losses.std() / n**0.5  # seeds 11, 12; five errors
    assert simple_loss(best + 0.05 * xt.sin(), eps) > losses.mean()


@every_case
def test_eq_ddpm_step(schedule, t):
    xt, eps_hat, z = noise(3, 2, 1, 4, 4, seed=13)
    beta, bar, before = schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    mean = (xt - beta / (1 - bar).sqrt() * eps_hat) / schedule.alpha[t].sqrt()
    for variance, sigma2 in (("beta_tilde", (1 - before) / (1 - bar) * beta), ("beta", beta)):
        expected = mean + sigma2.sqrt() * z if t > 1 else mean
        found = step_of(ddpm(variance), xt, eps_hat, z, t=t, schedule=schedule)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@later_case
def test_eq_two_sigmas(schedule, t):
    """The exact step's variance: beta_tilde for (nearly) one point, beta for N(0, 1)."""
    _, beta_tilde = q_posterior(point(0.0), point(0.0), t, schedule=schedule)
    one = torch.ones(1, dtype=F64)
    for std, expected in ((1e-6, beta_tilde[0, 0]), (1.0, schedule.beta[t])):
        data = GaussianMixture(one, 0 * one[:, None], std * one)
        law = reverse_posterior(data, torch.tensor([0.7], dtype=F64), t, schedule=schedule)
        torch.testing.assert_close(law.cov()[0, 0], expected, rtol=1e-6, atol=0)


@every_case
def test_eq_x0_from_eps(schedule, t):
    x0, eps = noise(2, 3, 1, 4, 4, seed=14)
    xt = q_sample(x0, t, eps, schedule=schedule)
    bar = schedule.alpha_bar[t]
    found = x0_from_eps(eps, xt, t, schedule=schedule)
    torch.testing.assert_close(found, (xt - (1 - bar).sqrt() * eps) / bar.sqrt())
    torch.testing.assert_close(found, x0, rtol=0, atol=1e-9)
    found = eps_from_x0(x0, xt, t, schedule=schedule)
    torch.testing.assert_close(found, eps, rtol=0, atol=1e-9)


@every_case
def test_eq_v(schedule, t):
    """All three forms, and v as the derivative of x_t by the angle."""
    x0, eps = noise(2, 3, 1, 4, 4, seed=15)
    xt, bar = q_sample(x0, t, eps, schedule=schedule), schedule.alpha_bar[t]
    v = bar.sqrt() * eps - (1 - bar).sqrt() * x0
    torch.testing.assert_close(v_from_eps(eps, xt, t, schedule=schedule), v, rtol=0, atol=1e-9)
    torch.testing.assert_close(eps_from_v(v, xt, t, schedule=schedule), eps)
    torch.testing.assert_close(x0_from_v(v, xt, t, schedule=schedule), x0)
    phi, d = torch.acos(bar.sqrt()), 1e-6
    ahead, behind = (torch.cos(phi + s) * x0 + torch.sin(phi + s) * eps for s in (d, -d))
    torch.testing.assert_close((ahead - behind) / (2 * d), v, rtol=0, atol=1e-8)


@every_case
def test_eq_score(schedule, t):
    """Both forms, with the exact means, equal the gradient of ln q(x_t)."""
    oracle = MixtureOracle(TOY, schedule=schedule)
    xt = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
    exact = TOY.diffused(schedule.alpha_bar[t]).score(xt)
    by_eps = score_from_eps(oracle(xt, t).eps_hat, xt, t, schedule=schedule)
    by_x0 = score_from_x0(oracle(xt, t).x0_hat, xt, t, schedule=schedule)
    torch.testing.assert_close(by_eps, exact, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(by_x0, exact, rtol=1e-8, atol=1e-8)


@every_case
def test_eq_error_exchange(schedule, t):
    x0, eps, slip = noise(3, 3, 8, seed=16)
    xt, snr = q_sample(x0, t, eps, schedule=schedule), schedule.snr[t]
    x0_hat = x0 + slip
    eps_hat = eps_from_x0(x0_hat, xt, t, schedule=schedule)
    v, v_hat = (v_from_eps(e, xt, t, schedule=schedule) for e in (eps, eps_hat))
    square = (slip**2).sum(1)
    torch.testing.assert_close(((eps - eps_hat) ** 2).sum(1), snr * square, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(((v - v_hat) ** 2).sum(1), (snr + 1) * square, rtol=1e-6, atol=1e-9)


def test_eq_min_snr():
    """The three weights, and that they make the three losses one."""
    t, (x0, eps, slip) = torch.tensor([1, 100, 259, 700]), noise(3, 4, 8, seed=17)
    xt, snr = q_sample(x0, t, eps, schedule=LONG), LONG.snr[t]
    expected = {
        "x0": snr.clamp(max=5),
        "eps": snr.clamp(max=5) / snr,
        "v": snr.clamp(max=5) / (snr + 1),
    }
    eps_hat = eps_from_x0(x0 + slip, xt, t, schedule=LONG)
    v, v_hat = (v_from_eps(e, xt, t, schedule=LONG) for e in (eps, eps_hat))
    errors = {"x0": slip, "eps": eps - eps_hat, "v": v - v_hat}
    losses = []
    for name, weight in expected.items():
        found = min_snr_weight(t, schedule=LONG, gamma=5.0, prediction=name)
        torch.testing.assert_close(found, weight)
        losses.append(found * (errors[name] ** 2).sum(1))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(losses[2], losses[0], rtol=1e-6, atol=1e-9)


@every_case
def test_eq_oracle_mixture(schedule, t):
    """The closed form equals E[x_0 | x_t] integrated over x_0."""
    for value in (-1.2, -0.2, 0.8):
        bar, xt = schedule.alpha_bar[t], point(value)
        V = bar * TOY.stds**2 + 1 - bar
        pulls = TOY.means[:, 0] + bar.sqrt() * TOY.stds**2 / V * (
            value - bar.sqrt() * TOY.means[:, 0]
        )
        formula = (TOY.diffused(bar).posterior(xt)[0] * pulls).sum()
        integral = torch.trapezoid(weights_of_x0(value, t, schedule) * GRID, GRID)
        torch.testing.assert_close(formula, integral, rtol=1e-6, atol=1e-9)
        found = MixtureOracle(TOY, schedule=schedule)(xt, t).x0_hat[0, 0]
        torch.testing.assert_close(found, formula)


@every_case
def test_eq_oracle_finite(schedule, t):
    """Bayes' rule over 7 points, written out."""
    data, xt = noise(7, 3, seed=18), noise(2, 3, seed=19)
    law = kernel(t, schedule, data[None])  # (1, 7, 3)
    w = law.log_prob(xt[:, None]).sum(2).softmax(1)  # (2, 7)
    oracle = FiniteOracle(data, schedule=schedule, chunk=3)
    torch.testing.assert_close(oracle.posterior(xt, t), w, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(oracle(xt, t).x0_hat, w @ data, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("schedule", "walk"), [(LONG, (1000, 640, 320, 7, 1)), (COARSE, (4, 3, 1)), (TWO, (2, 1))]
)
def test_eq_ddim_marginal(schedule, walk, eta):
    """Given the true x_0, a walk of any length keeps the law of the kernel at every time.

    The step is linear in x_0 and in the independent noises eps, z_1, z_2, ...: the weight of x_0
    is the mean, the squares of the other weights are the variance.
    """
    axes = torch.eye(len(walk) + 1, dtype=F64)[:, :, None]  # x_0, eps, z_1, z_2, ...: (B, 1)
    x0, eps, *fresh = (axes[i].flatten()[:, None] for i in range(len(axes)))
    xt = q_sample(x0, walk[0], eps, schedule=schedule)
    for (t, s), z in zip(itertools.pairwise(walk), fresh, strict=False):
        bar_t, bar_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
        true_noise = (xt - bar_t.sqrt() * x0) / (1 - bar_t).sqrt()
        xt = step_of(ddim(eta), xt, true_noise, z, t=t, t_prev=s, schedule=schedule)
        weights = xt.flatten()
        torch.testing.assert_close(weights[0], bar_s.sqrt())
        torch.testing.assert_close((weights[1:] ** 2).sum(), 1 - bar_s)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("schedule", "t", "s"), [(LONG, 700, 500), (LONG, 2, 1), (COARSE, 3, 1)])
def test_eq_ddim_step(schedule, t, s, eta):
    """The formula; with the true noise x_s has the kernel's law; eta = 1 is DDPM's step."""
    bar_t, bar_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
    xt, eps_hat, z = noise(3, 2, 1, 4, 4, seed=20)
    sigma = eta * ((1 - bar_s) / (1 - bar_t)).sqrt() * (1 - bar_t / bar_s).sqrt()
    x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
    old = (1 - bar_s - sigma**2).sqrt()
    where = {"t": t, "t_prev": s, "schedule": schedule}
    found = step_of(ddim(eta), xt, eps_hat, z, **where)
    torch.testing.assert_close(found, bar_s.sqrt() * x0_hat + old * eps_hat + sigma * z)
    one = torch.ones(1, 1, dtype=F64)

    def on(x0, eps, z):  # the step's answer when the network says the true noise
        xt = q_sample(x0 * one, t, eps * one, schedule=schedule)
        return step_of(ddim(eta), xt, eps * one, z * one, **where)[0, 0]

    torch.testing.assert_close(on(1, 0, 0), bar_s.sqrt())
    torch.testing.assert_close(on(0, 1, 0) ** 2 + on(0, 0, 1) ** 2, 1 - bar_s)
    if eta == 1:
        torch.testing.assert_close(found, step_of(ddpm(), xt, eps_hat, z, **where))
