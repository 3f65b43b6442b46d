"""Laws of the losses and of the variational bound."""

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from dmlib.bound import (
    bound_L0,
    bound_L0_density,
    bound_LT,
    bound_Lt,
    log_bin_mass,
    normal_kl,
    variational_bound,
)
from dmlib.forward import q_posterior, q_sample, q_step
from dmlib.losses import min_snr_weight, simple_loss
from dmlib.mixture import GaussianMixture, reverse_posterior
from dmlib.models import predicts_eps, predicts_x0
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import x0_from_eps
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule, zero_terminal_snr

F64 = torch.float64
BIT = math.log(2)


def toy() -> GaussianMixture:
    """The book's ground truth: 0.3 N(-1.5, 0.25^2) + 0.7 N(1, 0.35^2)."""
    return GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.25, 0.35])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=seeded(seed))


def entropy_bits() -> float:
    """Differential entropy of the toy by quadrature; exact to 1e-12."""
    x = torch.linspace(-8, 8, 40001, dtype=F64)
    log_p = toy().log_prob(x[:, None])
    return float(-(log_p.exp() * log_p).sum() * (x[1] - x[0])) / BIT


def images(n: int, seed: int = 0) -> torch.Tensor:
    """Grey levels 0..255 in [-1, 1], the two ends among them."""
    level = torch.randint(0, 256, (n, 1, 4, 4), generator=seeded(seed))
    level[0, 0, 0, :2] = torch.tensor([0, 255])
    return level.double() / 127.5 - 1


# L_simple


def test_simple_loss_is_the_mean_squared_error_of_the_noise():
    eps, eps_hat = randn(6, 1, 4, 4), randn(6, 1, 4, 4, seed=1)
    assert_close(simple_loss(eps_hat, eps), torch.nn.functional.mse_loss(eps_hat, eps))
    assert_close(simple_loss(eps, eps), torch.zeros((), dtype=F64))


def test_simple_loss_per_sample_averages_to_the_simple_loss():
    eps, eps_hat = randn(6, 3), randn(6, 3, seed=1)
    each = simple_loss(eps_hat, eps, per_sample=True)
    assert_close(each.mean(), simple_loss(eps_hat, eps))
    assert_close(each[4], ((eps[4] - eps_hat[4]) ** 2).mean())


def test_simple_loss_of_the_oracle_is_the_least():
    # E||eps - f(x_t)||^2 has its minimum at f = E[eps | x_t]: any other answer loses.
    schedule = linear_schedule()
    x0, eps = toy().sample(20_000, seeded(0)), randn(20_000, 1, seed=1)
    xt = q_sample(x0, 300, eps, schedule=schedule)
    best = MixtureOracle(toy(), schedule=schedule)(xt, 300).eps_hat
    least = simple_loss(best, eps)
    for other in (best + 0.05, 0.95 * best, 1.05 * best, best + 0.05 * xt):
        assert simple_loss(other, eps) > least


@pytest.mark.parametrize(
    ("eps_hat", "eps", "name"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), "eps_hat"),
        (torch.zeros(2, 1), torch.zeros(2, 3), "eps_hat"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64), "eps"),
        (torch.zeros(0, 3), torch.zeros(0, 3), "eps"),
    ],
)
def test_simple_loss_refuses_bad_input_by_name(eps_hat, eps, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        simple_loss(eps_hat, eps)


# min-SNR


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights_equal_the_direct_formula(gamma):
    schedule = linear_schedule()
    t = torch.tensor([1, 100, 400, 1000])
    for i, snr in enumerate(float(a / (1 - a)) for a in schedule.alpha_bar[t]):
        direct = {"x0": min(snr, gamma), "eps": min(snr, gamma) / snr}
        direct["v"] = min(snr, gamma) / (snr + 1)
        for prediction, weight in direct.items():
            got = min_snr_weight(t, schedule=schedule, gamma=gamma, prediction=prediction)
            assert float(got[i]) == pytest.approx(weight, rel=1e-12)


def test_min_snr_is_one_loss_in_three_coordinates():
    # w_x0 ||x0 - x0_hat||^2 = w_eps ||eps - eps_hat||^2 = w_v ||v - v_hat||^2.
    schedule = cosine_schedule(100)
    t = torch.tensor([1, 30, 60, 99])
    x0, eps, eps_hat = randn(4, 5), randn(4, 5, seed=1), randn(4, 5, seed=2)
    a = schedule.alpha_bar[t][:, None]
    xt = a.sqrt() * x0 + (1 - a).sqrt() * eps
    x0_hat = (xt - (1 - a).sqrt() * eps_hat) / a.sqrt()
    v, v_hat = (a.sqrt() * e - (1 - a).sqrt() * x for e, x in ((eps, x0), (eps_hat, x0_hat)))
    pairs = {"eps": (eps, eps_hat), "x0": (x0, x0_hat), "v": (v, v_hat)}
    weighted = [
        min_snr_weight(t, schedule=schedule, prediction=name) * simple_loss(*pair, per_sample=True)
        for name, pair in pairs.items()
    ]
    assert_close(weighted[0], weighted[1])
    assert_close(weighted[0], weighted[2])


def test_min_snr_is_finite_at_zero_terminal_snr():
    schedule = zero_terminal_snr(linear_schedule())
    last = torch.tensor([1000])
    got = [float(min_snr_weight(last, schedule=schedule, prediction=p)) for p in ("eps", "x0", "v")]
    assert got == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("t", "gamma", "prediction", "name"),
    [
        (torch.tensor([0]), 5.0, "eps", "t"),
        (torch.tensor([1001]), 5.0, "eps", "t"),
        (torch.tensor([1.0]), 5.0, "eps", "t"),
        (torch.tensor([[1]]), 5.0, "eps", "t"),
        (torch.tensor([1]), 0.0, "eps", "gamma"),
        (torch.tensor([1]), math.nan, "eps", "gamma"),
        (torch.tensor([1]), 5.0, "score", "prediction"),
    ],
)
def test_min_snr_refuses_bad_input_by_name(t, gamma, prediction, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        min_snr_weight(t, schedule=linear_schedule(), gamma=gamma, prediction=prediction)


# The terms of the bound


def test_normal_kl_equals_torch_distributions():
    m, n, v, w = randn(50), randn(50, seed=1), randn(50, seed=2).exp(), randn(50, seed=3).exp()
    expected = kl_divergence(Normal(m, v.sqrt()), Normal(n, w.sqrt()))
    assert_close(normal_kl(m, v, n, w), expected)


def test_bound_LT_equals_torch_distributions():
    schedule = linear_schedule(50)
    x0 = randn(3, 1, 2, 2)
    a = schedule.alpha_bar[-1]
    kl = kl_divergence(
        Normal(a.sqrt() * x0, (1 - a).sqrt()), Normal(0.0, torch.ones((), dtype=F64))
    )
    assert_close(bound_LT(x0, schedule=schedule), kl.flatten(1).mean(1) / BIT)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_bound_Lt_equals_torch_distributions(variance):
    schedule = linear_schedule(50)
    x0, eps, eps_hat = randn(3, 4), randn(3, 4, seed=1), randn(3, 4, seed=2)
    t = torch.tensor([2, 17, 50])
    xt = q_sample(x0, t, eps, schedule=schedule)
    mu_tilde, beta_tilde = q_posterior(x0, xt, t, schedule=schedule)
    beta, alpha, a = (getattr(schedule, k)[t][:, None] for k in ("beta", "alpha", "alpha_bar"))
    # Ho et al. 2020, eq. 11: another road to the same mean.
    mu = (xt - beta / (1 - a).sqrt() * eps_hat) / alpha.sqrt()
    sigma2 = beta_tilde if variance == "beta_tilde" else beta
    kl = kl_divergence(Normal(mu_tilde, beta_tilde.sqrt()), Normal(mu, sigma2.sqrt()))
    x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
    got = bound_Lt(x0, xt, t, x0_hat, schedule=schedule, variance=variance)
    assert_close(got, kl.mean(1) / BIT)


def test_bound_Lt_is_a_weighted_simple_loss():
    # Ho et al. 2020, eq. 12: weight beta_t^2 / (2 sigma_t^2 alpha_t (1 - alpha_bar_t)).
    schedule = linear_schedule(50)
    x0, eps, eps_hat = randn(3, 4), randn(3, 4, seed=1), randn(3, 4, seed=2)
    t = torch.tensor([2, 17, 50])
    xt = q_sample(x0, t, eps, schedule=schedule)
    beta, alpha, a = (getattr(schedule, k)[t] for k in ("beta", "alpha", "alpha_bar"))
    beta_tilde = (1 - schedule.alpha_bar[t - 1]) / (1 - a) * beta
    weight = beta**2 / (2 * beta_tilde * alpha * (1 - a))
    expected = weight * simple_loss(eps_hat, eps, per_sample=True) / BIT
    x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
    assert_close(bound_Lt(x0, xt, t, x0_hat, schedule=schedule), expected)


@pytest.mark.parametrize("sigma", [1e-4, 1e-2, 0.3, 5.0])
@pytest.mark.parametrize("mu", [-3.0, -1.0, -0.2, 0.5001, 1.0, 40.0])
def test_bin_masses_of_the_256_grey_levels_sum_to_one(mu, sigma):
    mu, sigma = (torch.tensor(value, dtype=F64) for value in (mu, sigma))
    log_mass = log_bin_mass(torch.arange(256), mu, sigma)
    assert bool((log_mass <= 0).all())
    assert_close(log_mass.logsumexp(0), torch.zeros((), dtype=F64), rtol=0, atol=1e-11)


def test_bin_mass_equals_the_difference_of_cdfs():
    mu, sigma = torch.tensor(0.1, dtype=F64), torch.tensor(0.5, dtype=F64)
    level = torch.arange(1, 255)
    x = level.double() / 127.5 - 1
    law = Normal(mu, sigma)
    assert_close(log_bin_mass(level, mu, sigma).exp(), law.cdf(x + 1 / 255) - law.cdf(x - 1 / 255))


def test_bin_mass_far_in_the_tail_is_symmetric_and_finite():
    zero, sigma = torch.zeros((), dtype=F64), torch.tensor(0.01, dtype=F64)
    log_mass = log_bin_mass(torch.arange(256), zero, sigma)
    assert bool(torch.isfinite(log_mass).all())
    assert_close(log_mass, log_mass.flip(0), rtol=1e-9, atol=0)
    # Mills' ratio: the mass beyond a is about phi(a)/a, so log(mass) is near -a^2/2 at a = 99.6.
    a = (254 / 255) / 0.01
    assert float(log_mass[0]) == pytest.approx(
        -(a**2) / 2 - math.log(a * math.sqrt(2 * math.pi)), rel=1e-6
    )


def test_bound_L0_is_the_mass_of_each_pixel_s_bin():
    schedule = linear_schedule()
    x0, eps, eps_hat = images(3), randn(3, 1, 4, 4, seed=1), randn(3, 1, 4, 4, seed=2)
    x1 = q_sample(x0, 1, eps, schedule=schedule)
    b1 = float(schedule.beta[1])
    mu = (x1 - math.sqrt(b1) * eps_hat) / math.sqrt(1 - b1)  # x0_hat: at t = 1 mu is x0_hat
    level = ((x0 + 1) * 127.5).round().long()
    mass = log_bin_mass(level, mu, torch.tensor(math.sqrt(b1), dtype=F64))
    got = bound_L0(
        x0, x1, x0_from_eps(eps_hat, x1, 1, schedule=schedule), schedule=schedule, variance="beta"
    )
    assert_close(got, -mass.flatten(1).mean(1) / BIT)


def test_bound_L0_with_fine_bins_is_the_density_plus_the_bin_width():
    # sigma much wider than 2/255: -log mass = -log density - log(2/255).
    schedule = linear_schedule(1, beta_1=0.09, beta_T=0.09)
    x0 = torch.arange(100, 150).double()[:, None] / 127.5 - 1
    x1, eps_hat = x0 + 0.1, 0.3 * randn(50, 1)
    x0_hat = x0_from_eps(eps_hat, x1, 1, schedule=schedule)
    both = [f(x0, x1, x0_hat, schedule=schedule) for f in (bound_L0, bound_L0_density)]
    assert_close(both[0], both[1] - math.log2(2 / 255), rtol=0, atol=1e-4)


def test_bound_L0_density_equals_torch_distributions():
    schedule = linear_schedule()
    x0, x1, eps_hat = randn(5, 2), randn(5, 2, seed=1), randn(5, 2, seed=2)
    b1 = schedule.beta[1]
    mu = (x1 - b1.sqrt() * eps_hat) / (1 - b1).sqrt()
    beta_tilde_2 = b1 / (1 - schedule.alpha_bar[2]) * schedule.beta[2]
    for variance, sigma2 in (("beta", b1), ("beta_tilde", beta_tilde_2)):
        expected = -Normal(mu, sigma2.sqrt()).log_prob(x0).mean(1) / BIT
        got = bound_L0_density(
            x0,
            x1,
            x0_from_eps(eps_hat, x1, 1, schedule=schedule),
            schedule=schedule,
            variance=variance,
        )
        assert_close(got, expected)


# The whole bound


def test_exact_reverse_steps_make_the_bound_tight_on_every_path():
    """-log p(x_T) + sum_t log q(x_t | x_{t-1}) / p(x_{t-1} | x_t) = -log p(x_0), path by path."""
    schedule = linear_schedule(6, beta_1=0.1, beta_T=0.7)
    x = toy().sample(1, seeded(0))
    expected = -toy().log_prob(x)
    total = torch.zeros(1, dtype=F64)
    for t in range(1, schedule.T + 1):
        x_next = q_step(x, t, randn(1, 1, seed=t), schedule=schedule)
        beta_t = schedule.beta[t]
        total += Normal((1 - beta_t).sqrt() * x[:, 0], beta_t.sqrt()).log_prob(x_next[:, 0])
        total -= reverse_posterior(toy(), x_next[0], t, schedule=schedule).log_prob(x)
        x = x_next
    total -= toy().diffused(schedule.alpha_bar[-1]).log_prob(x)
    assert_close(total, expected)


def stepwise(T: int) -> NoiseSchedule:
    """beta_t in proportion to 1/T: as many steps as one likes, alpha_bar_T always about 4e-5."""
    return linear_schedule(T, beta_1=0.1 / T, beta_T=20 / T)


def exact_gap_bits(T: int) -> float:
    """Bound of exact means and Gaussian steps of variance beta_t, minus the entropy: quadrature.

    E over paths of -log p(x_T) + sum_t log q(x_t | x_{t-1}) - log N(x_{t-1}; mu(x_t), beta_t)
    = CE(q(x_T), N(0, 1)) + sum_t (E Var(x_{t-1} | x_t) / beta_t - 1) / 2, because mu is the mean.
    """
    schedule = stepwise(T)
    x = torch.linspace(-9, 9, 3001, dtype=F64)[:, None]
    dx = 18 / 3000
    oracle = MixtureOracle(toy(), schedule=schedule)
    last = toy().diffused(schedule.alpha_bar[-1])
    total = (math.log(2 * math.pi) + float(last.mean() ** 2 + last.cov())) / 2
    for t in range(1, T + 1):
        mu, _ = q_posterior(oracle(x, t).x0_hat, x, t, schedule=schedule)
        law, before = (toy().diffused(schedule.alpha_bar[s]) for s in (t, t - 1))
        p = law.log_prob(x).exp() * dx
        spread = before.cov() + before.mean() ** 2 - (p * mu[:, 0] ** 2).sum()
        total += (float(spread / schedule.beta[t]) - 1) / 2
    return total / BIT - entropy_bits()


@pytest.mark.slow
def test_gap_of_gaussian_steps_closes_like_one_over_their_number():
    gaps = [exact_gap_bits(T) for T in (50, 100, 200, 400, 800)]
    print("gaps in bits", gaps)
    assert gaps[-1] > 0  # a bound
    ratios = [a / b for a, b in pairwise(gaps)]
    assert all(1.8 < ratio < 2.4 for ratio in ratios), (gaps, ratios)


@pytest.mark.slow
@pytest.mark.parametrize("T", [25, 200])
def test_bound_of_the_exact_model_is_the_entropy_plus_the_known_gap(T):
    # n = 20,000; four standard errors. -log p(x_0), whose mean is the entropy, takes noise away.
    x0 = toy().sample(20_000, seeded(0))
    oracle = MixtureOracle(toy(), schedule=stepwise(T))
    terms = variational_bound(oracle, x0, variance="beta", discrete=False, generator=seeded(1))
    gap = terms.sum(1) + toy().log_prob(x0) / BIT
    error = float(gap.std()) / math.sqrt(len(x0))
    print(f"T={T} gap {float(gap.mean()):.4f} exact {exact_gap_bits(T):.4f} error {error:.4f}")
    assert error < 0.015
    assert abs(float(gap.mean()) - exact_gap_bits(T)) < 4 * error


@pytest.mark.parametrize("wrong", [1.1, 0.9])
def test_a_wrong_net_has_a_larger_bound(wrong):
    schedule = linear_schedule(50, beta_1=0.002, beta_T=0.4)
    x0 = toy().sample(4000, seeded(0))
    oracle = MixtureOracle(toy(), schedule=schedule)
    right, worse = (
        variational_bound(net, x0, discrete=False, generator=seeded(1))
        for net in (oracle, predicts_eps(lambda xt, t: wrong * oracle(xt, t).eps_hat, schedule))
    )
    assert worse.sum(1).mean() > right.sum(1).mean() + 0.01


def test_columns_of_the_bound_are_its_terms():
    schedule = linear_schedule(3, beta_1=0.1, beta_T=0.5)
    x0 = images(4)
    net = predicts_x0(lambda xt, t: 0.5 * xt, schedule)
    terms = variational_bound(net, x0, generator=seeded(5))
    generator = seeded(5)
    eps = [torch.randn(x0.shape, dtype=F64, generator=generator) for _ in range(3)]
    x1, x2, x3 = (
        q_sample(x0, t, e, schedule=schedule) for t, e in zip((1, 2, 3), eps, strict=True)
    )
    columns = [
        bound_L0(x0, x1, 0.5 * x1, schedule=schedule),
        bound_Lt(x0, x2, 2, 0.5 * x2, schedule=schedule),
        bound_Lt(x0, x3, 3, 0.5 * x3, schedule=schedule),
        bound_LT(x0, schedule=schedule),
    ]
    assert_close(terms, torch.stack(columns, 1))


def test_bound_takes_noise_of_a_generator_and_refuses_what_is_none():
    schedule, x0 = linear_schedule(3, beta_1=0.1, beta_T=0.5), images(4)
    with pytest.raises(ValueError, match=r"^generator must .*manual_seed\(3\)"):
        variational_bound(predicts_eps(lambda xt, t: xt, schedule), x0, generator=3)


def test_bound_refuses_bad_input_by_name():
    schedule = linear_schedule(10)
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"^t must"):
        bound_Lt(x, x, 1, x, schedule=schedule)
    with pytest.raises(ValueError, match=r"^variance must"):
        bound_Lt(x, x, 2, x, schedule=schedule, variance="learned")
    with pytest.raises(ValueError, match=r"^x0 must hold grey levels"):
        bound_L0(x + 0.123, x, x, schedule=schedule)
    for level in (-255, -1, 256, 510):
        with pytest.raises(ValueError, match=r"^x0 must hold grey levels.*discrete=False"):
            bound_L0(x + (level / 127.5 - 1), x, x, schedule=schedule)
        with pytest.raises(ValueError, match=rf"^level must lie in 0\.\.255, .* {level}"):
            log_bin_mass(torch.tensor([level, 3]), x[0, :2].double(), torch.ones(2).double())
    with pytest.raises(ValueError, match=r"^x0_hat must"):
        bound_Lt(x, x, 2, torch.zeros(2, 1), schedule=schedule)
    with pytest.raises(ValueError, match=r"^x0 must be finite"):
        variational_bound(predicts_eps(lambda xt, t: xt, schedule), torch.full((2, 3), math.nan))
    with pytest.raises(ValueError, match=r"^x0 must have the shape of xt"):
        bound_Lt(torch.zeros(2, 1), x, 2, x, schedule=schedule)
    with pytest.raises(ValueError, match=r"^x0 must have the shape of x1"):
        bound_L0(torch.ones(2, 1), x, x, schedule=schedule)
