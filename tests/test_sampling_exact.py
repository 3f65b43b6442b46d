"""Laws of sampling with the exact denoiser as the network: then the right answer is known.

What is left is the sampler's own error: it must be small, fall with the number of steps at the
order that the method promises, and leave the law of x_t right on the whole way.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dmlib.data import fashion_sample, ground_truth_mixture, ground_truth_mixture_2d, to_unit
from dmlib.forward import q_sample
from dmlib.mixture import GaussianMixture
from dmlib.oracle import FiniteOracle, MixtureOracle
from dmlib.parameterization import guess_from_eps
from dmlib.sampling import generate, sample
from dmlib.schedules import cosine_schedule, linear_schedule, zero_terminal_snr
from dmlib.steps import ddim, ddpm, dpm_solver, heun

F64 = torch.float64
pytestmark = pytest.mark.slow
RULES = {
    "ddpm beta_tilde": (ddpm, 200),
    "ddpm beta": (lambda: ddpm("beta"), 200),
    "ddim 0": (ddim, 100),
    "ddim 0.5": (lambda: ddim(0.5), 150),
    "ddim 1": (lambda: ddim(1.0), 200),
    "dpm_solver": (dpm_solver, 50),
    "heun": (heun, 50),
}
every_rule = pytest.mark.parametrize(("make", "steps"), RULES.values(), ids=RULES)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def energy_test(x: Tensor, y: Tensor, *, seed: int, shuffles: int = 500) -> float:
    """p-value of "x and y have one law": how often shuffled labels lie as far apart.

    Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013), as a V-statistic:
    with labels s = +1 for x and -1 for y it is -s^T d s / n^2.
    """
    n, both = len(x), torch.cat([x, y])
    distances = torch.cdist(both, both)
    labels = torch.ones(2 * n, dtype=x.dtype)
    labels[n:] = -1
    g = seeded(seed)
    orders = torch.stack([torch.randperm(2 * n, generator=g) for _ in range(shuffles)])
    signs = torch.cat([labels[None], labels[orders]])
    energy = -((signs @ distances) * signs).sum(1) / n**2
    return float((energy >= energy[0]).double().mean())


def test_energy_test_accepts_one_law_and_rejects_two():
    mixture = ground_truth_mixture_2d()
    x, y = (mixture.sample(1000, seeded(seed)) for seed in (0, 1))
    assert energy_test(x, y, seed=2) > 0.05
    assert energy_test(x, 1.15 * y, seed=2) < 0.005
    assert energy_test(x, y + 0.15, seed=2) < 0.005


# The law at the end


@every_rule
def test_sampler_with_oracle_recovers_moments(make, steps):
    """n = 10,000 in 1-D: mean and variance within 5 standard errors plus 0.02 for the steps."""
    n, mixture, schedule = 10_000, ground_truth_mixture(), linear_schedule()
    g = seeded(0)
    xT = torch.randn(n, 1, dtype=F64, generator=g)
    oracle = MixtureOracle(mixture, schedule=schedule)
    x = generate(oracle, xT, step=make(), times=steps, generator=g)[:, 0]
    variance = float(mixture.cov())
    off = abs(float(x.mean() - mixture.mean()))
    print(f"mean off by {off:.4f}, variance by {float(x.var()) - variance:+.4f}")
    assert off < 5 * math.sqrt(variance / n) + 0.02
    # The fourth central moment is below 4: the variance's standard error is below 2 / sqrt(n).
    assert abs(float(x.var()) - variance) < 10 / math.sqrt(n) + 0.02


@every_rule
def test_sampler_with_oracle_recovers_the_law(make, steps):
    """n = 700 in 2-D: the energy test, p > 0.005, does not tell samples from data."""
    n, mixture, schedule = 700, ground_truth_mixture_2d(), linear_schedule()
    g = seeded(4)
    xT, data = torch.randn(n, 2, dtype=F64, generator=g), mixture.sample(n, g)
    oracle = MixtureOracle(mixture, schedule=schedule)
    x = generate(oracle, xT, step=make(), times=steps, generator=g)
    p = energy_test(x, data, seed=1)
    print(f"p = {p:.3f}")
    assert p > 0.005


def one_over_root_alpha_bar(xt, guess, noise, move):
    """The fault: 1/sqrt(alpha_bar_t) in place of 1/sqrt(alpha_t)."""
    schedule, t = move.path, move.t
    return ddpm()(xt, guess, noise, move) * (schedule.alpha[t] / schedule.alpha_bar[t]).sqrt()


def beta_for_root_beta(xt, guess, noise, move):
    """The fault: beta_t noise in place of sqrt(beta_t) noise."""
    return ddpm("beta")(xt, guess, move.path.beta[move.t].sqrt() * noise, move)


def noise_with_the_wrong_sign_of_eps(xt, guess, noise, move):
    """The fault: the mean moves along the noise, not against it."""
    turned = guess_from_eps(-guess.eps_hat, xt, move.t, schedule=move.path)
    return ddpm()(xt, turned, noise, move)


@pytest.mark.parametrize(
    "fault", [one_over_root_alpha_bar, beta_for_root_beta, noise_with_the_wrong_sign_of_eps]
)
def test_the_same_test_rejects_known_faults(fault):
    n, mixture = 500, ground_truth_mixture_2d()
    schedule = linear_schedule(100, beta_1=1e-3, beta_T=0.2)
    g = seeded(4)
    xT, data = torch.randn(n, 2, dtype=F64, generator=g), mixture.sample(n, g)
    oracle = MixtureOracle(mixture, schedule=schedule)
    right = generate(oracle, xT, step=ddpm(), times=100, generator=g)
    assert energy_test(right, data, seed=1) > 0.005
    wrong = generate(oracle, xT, step=fault, times=100, generator=g)
    assert energy_test(wrong, data, seed=1) < 0.005


@every_rule
def test_sampler_with_oracle_ends_on_the_finite_data_each_point_as_often(make, steps):
    data = torch.tensor([[-1.0, 0.5], [0.3, 1.2], [1.0, -1.0], [-0.6, -1.3]], dtype=F64)
    schedule, n, g = linear_schedule(), 1000, seeded(0)
    xT = torch.randn(n, 2, dtype=F64, generator=g)
    oracle = FiniteOracle(data, schedule=schedule)
    x = generate(oracle, xT, step=make(), times=steps, generator=g)
    distance, which = torch.cdist(x, data).min(1)
    # No noise in the last step: a sample is a point of the data, not one beside it.
    assert float(distance.max()) < 1e-6
    counts = which.bincount(minlength=4).double()
    chi_squared = float(((counts - n / 4) ** 2 / (n / 4)).sum())
    print(f"counts {counts.tolist()}, chi^2 {chi_squared:.1f}")
    assert chi_squared < 16.3  # p = 0.001 at three degrees of freedom


@pytest.mark.parametrize("make", [ddpm, ddim, dpm_solver, heun])
def test_sampler_with_oracle_returns_real_images(make):
    images = to_unit(fashion_sample()[0][:10])
    schedule, g = cosine_schedule(), seeded(0)
    xT = torch.randn(12, 1, 28, 28, generator=g)
    oracle = FiniteOracle(images, schedule=schedule)
    x = generate(oracle, xT, step=make(), times=30, generator=g)
    distance, which = torch.cdist(x.flatten(1), images.flatten(1)).min(1)
    assert float(distance.max()) < 0.02  # of 28 when all is black against all white
    assert len(which.unique()) > 3


# The law on the way


@pytest.mark.parametrize("name", ["ddpm beta_tilde", "ddpm beta", "ddim 0", "ddim 0.5"])
def test_xt_on_the_way_has_the_law_q(name):
    n, mixture, schedule = 600, ground_truth_mixture_2d(), linear_schedule()
    make, _ = RULES[name]
    g = seeded(3)
    xT = torch.randn(n, 2, dtype=F64, generator=g)
    oracle = MixtureOracle(mixture, schedule=schedule)
    p = {}
    for shot in sample(oracle, xT, step=make(), times=200, generator=g):
        if shot.t in (800, 500, 250, 100, 20):
            eps = torch.randn(n, 2, dtype=F64, generator=g)
            real = q_sample(mixture.sample(n, g), shot.t, eps, schedule=schedule)
            p[shot.t] = energy_test(shot.xt, real, seed=shot.t, shuffles=300)
    print(p)
    assert len(p) == 5
    assert min(p.values()) > 0.005


# The order


def quantile(law: GaussianMixture, u: Tensor) -> Tensor:
    """The inverse of a 1-D mixture's distribution function, by bisection to 1e-15."""
    low, high = torch.full_like(u, -12), torch.full_like(u, 12)
    for _ in range(70):
        middle = (low + high) / 2
        z = (middle[:, None] - law.means[:, 0]) / law.stds / math.sqrt(2)
        below = (law.weights * (1 + torch.erf(z))).sum(1) / 2 < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def transport_errors(make, *, t_end: int, steps: tuple[int, ...]) -> list[float]:
    """Root mean square distance from the exact flow at t_end, for each number of steps.

    In one dimension the probability flow keeps order, so it carries each quantile of q(x_T) to
    the same quantile of q(x_t): the exact answer needs no solver.
    """
    T, mixture = 4096, ground_truth_mixture()
    schedule = linear_schedule(T, beta_1=0.1 / T, beta_T=20 / T)
    u = torch.linspace(0.02, 0.98, 97, dtype=F64)
    start, end = (quantile(mixture.diffused(schedule.alpha_bar[t]), u) for t in (T, t_end))
    oracle, errors = MixtureOracle(mixture, schedule=schedule), []
    for n in steps:
        times = [T - round(i * (T - t_end) / n) for i in range(n + 1)]
        times += [0] if t_end else []
        walk = sample(oracle, start[:, None], step=make(), times=times)
        (xt,) = (shot.xt[:, 0] for shot in walk if shot.t == t_end)
        errors.append(float((xt - end).square().mean().sqrt()))
    print([f"{error:.2e}" for error in errors])
    return errors


@pytest.mark.parametrize(
    ("make", "order"),
    [(ddim, 1), (dpm_solver, 2), (heun, 2)],
    ids=["ddim", "2M", "heun"],
)
def test_error_falls_at_the_order_of_the_method(make, order):
    """At t = T/8, where log SNR is smooth in t: halving the step divides the error by 2^order."""
    fewest = 32 if make is heun else 16  # of Heun's steps, each looks twice as far
    steps = tuple(fewest * 2**k for k in range(4))
    errors = transport_errors(make, t_end=512, steps=steps)
    found = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(got - order) < 0.2 for got in found), found


def test_second_order_needs_fewer_steps_all_the_way_to_the_data():
    # Near t = 0 log SNR falls steeply and evenly spaced times are too far apart for a clean order.
    first, second = (transport_errors(make, t_end=0, steps=(16, 64)) for make in (ddim, dpm_solver))
    assert second[0] < first[0] / 1.5
    assert second[1] < first[1] / 2


@pytest.mark.parametrize(
    ("make", "order"),
    [(ddim, 1), (heun, 2), (lambda: heun("sigma"), 2)],
    ids=["ddim", "heun", "heun in sigma"],
)
def test_order_on_one_gaussian_whose_flow_is_a_formula(make, order):
    """x_0 ~ N(m, s^2): the flow keeps (x_t - a_t m) / sqrt(a_t^2 s^2 + b_t^2) as it is.

    Steps are equally long in log sigma, from sigma = 5 to 0.05, so that only their number changes.
    """
    T, m, s = 200_000, 0.7, 0.4
    schedule = linear_schedule(T, beta_1=0.1 / T, beta_T=20 / T)
    oracle = MixtureOracle(GaussianMixture([1.0], [[m]], [s]), schedule=schedule)
    log_sigma = -schedule.log_snr[1:] / 2
    z, errors = torch.linspace(-2, 2, 9, dtype=F64)[:, None], []

    def carried(t):
        a, b = schedule.level(t)
        return a * m + math.sqrt(a**2 * s**2 + b**2) * z

    for n in (8, 16, 32, 64):
        wanted = torch.linspace(math.log(5), math.log(0.05), n + 1, dtype=F64)
        times = [int((log_sigma - w).abs().argmin()) + 1 for w in wanted]
        walk = sample(oracle, carried(times[0]), step=make(), times=[*times, 0])
        (xt,) = (shot.xt for shot in walk if shot.t == times[-1])
        errors.append(float((xt - carried(times[-1])).abs().max()))
    found = math.log2(errors[-2] / errors[-1])
    print(f"order {found:.3f}, errors {[f'{e:.1e}' for e in errors]}")
    assert abs(found - order) < 0.1


@every_rule
@pytest.mark.parametrize("seed", [0, 1])
def test_zero_terminal_snr_needs_no_case_of_its_own(make, steps, seed):
    """n = 10,000 in 1-D from pure noise: mean and variance within 5 standard errors plus 0.02."""
    n, mixture, schedule = 10_000, ground_truth_mixture(), zero_terminal_snr(linear_schedule())
    g = seeded(seed)
    xT = torch.randn(n, 1, dtype=F64, generator=g)
    oracle = MixtureOracle(mixture, schedule=schedule)
    x = generate(oracle, xT, step=make(), times=steps, generator=g)[:, 0]
    variance = float(mixture.cov())
    assert abs(float(x.mean() - mixture.mean())) < 5 * math.sqrt(variance / n) + 0.02
    assert abs(float(x.var()) - variance) < 10 / math.sqrt(n) + 0.02
