"""Laws of continuous time: one process on many paths, against exact maps and outside references."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from diffusers import (
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
)
from torch.testing import assert_close

from dmlib.continuous import (
    DiffusionPath,
    GrowingNoise,
    StraightPath,
    along,
    edm_weights,
    euler,
    guess_from_velocity,
    log_likelihood,
    rk4,
    velocity_from_guess,
)
from dmlib.data import ground_truth_mixture, ground_truth_mixture_2d
from dmlib.forward import q_step
from dmlib.mixture import GaussianMixture
from dmlib.models import predicts_eps
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import Denoiser, Guess
from dmlib.sampling import generate, sample
from dmlib.schedules import cosine_schedule, linear_schedule
from dmlib.steps import Move, ddim, dpm_solver, heun

F64 = torch.float64
TOY = ground_truth_mixture()
GROWING = GrowingNoise(end=40.0)
PATHS = {"diffusion": DiffusionPath(), "straight": StraightPath(), "growing": GROWING}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=seeded(seed))


@every_path
def test_a_path_starts_at_the_data_and_its_rates_are_derivatives(path):
    assert path.level(0.0) == (1.0, 0.0)
    a, b = path.level(path.end)
    assert a / b < 0.03
    for s in (0.1 * path.end, 0.5 * path.end, 0.9 * path.end):
        h = 1e-6 * path.end
        before, after = path.level(s - h), path.level(s + h)
        for rate, low, high in zip(path.rates(s), before, after, strict=True):
            assert rate == pytest.approx((high - low) / (2 * h), rel=1e-6, abs=1e-6)


def test_the_chain_is_euler_maruyama_of_the_sde():
    """q_step with beta_t = beta(s) ds is x - beta/2 x ds + sqrt(beta ds) z, up to ds^2."""
    path, x, z, errors = DiffusionPath(), randn(5, 2), randn(5, 2, seed=1), []
    for T in (500, 1000, 2000):
        schedule, t = path.schedule(T), T // 2
        beta, ds = path.beta(t / T), 1 / T
        maruyama = x - beta / 2 * x * ds + math.sqrt(beta * ds) * z
        errors.append(float((q_step(x, t, z, schedule=schedule) - maruyama).abs().max()))
    assert errors[0] < 1e-2
    assert all(a / b > 2 for a, b in pairwise(errors))  # at least first order


def test_the_chain_of_a_path_has_its_kernels():
    path = DiffusionPath()
    schedule = path.schedule(200)
    for t in (1, 50, 200):
        assert_close(torch.tensor(schedule.level(t)), torch.tensor(path.level(t / 200)))
    near = linear_schedule(1000).alpha_bar[500].sqrt()
    assert float(near) == pytest.approx(path.level(0.5)[0], rel=0.01)


@every_path
def test_velocity_and_back_again_is_the_identity(path):
    x0, eps, s = randn(4, 3), randn(4, 3, seed=1), 0.3 * path.end
    a, b = path.level(s)
    u = velocity_from_guess(Guess(x0, eps), s, path=path)
    back = guess_from_velocity(u, a * x0 + b * eps, s, path=path)
    assert_close(back.x0_hat, x0, rtol=1e-10, atol=1e-10)
    assert_close(back.eps_hat, eps, rtol=1e-10, atol=1e-10)


def test_on_the_straight_path_the_velocity_is_noise_minus_data():
    x0, eps = randn(4, 3), randn(4, 3, seed=1)
    u = velocity_from_guess(Guess(x0, eps), 0.6, path=StraightPath())
    assert_close(u, eps - x0)


@every_path
def test_the_flow_carries_quantiles(path):
    """In one dimension x_0 = F_0^-1(F_T(x_T)): the exact map, against 1,500 steps of Heun."""
    u = torch.linspace(0.05, 0.95, 19, dtype=F64)
    start = TOY.mixed(*path.level(path.end)).quantile(u)
    x0 = generate(MixtureOracle(TOY, schedule=path), start, step=heun(), times=1500)
    assert_close(x0, TOY.quantile(u), rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("make", "order"),
    [(euler, 1), (ddim, 1), (heun, 2), (dpm_solver, 2), (rk4, 4)],
    ids=["euler", "ddim", "heun", "2M", "rk4"],
)
def test_order_against_the_exact_map(make, order):
    """On the diffusion path from s = 1 to 0.3; the last halving of the step is what counts."""
    path, u = DiffusionPath(), torch.linspace(0.1, 0.9, 17, dtype=F64)
    start, end = (TOY.mixed(*path.level(s)).quantile(u) for s in (1.0, 0.3))
    oracle, errors = MixtureOracle(TOY, schedule=path), []
    for n in (40, 80, 160) if order < 4 else (20, 40, 80):
        times = [1 - 0.7 * i / n for i in range(n + 1)]
        times[-1] = 0.3
        (xs,) = (
            x.xt for x in sample(oracle, start, step=make(), times=[*times, 0.0]) if x.t == 0.3
        )
        errors.append(float((xs - end).square().mean().sqrt()))
    found = math.log2(errors[-2] / errors[-1])
    print(f"order {found:.3f}", errors)
    assert abs(found - order) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("churn", [0.0, 0.5, 1.0, 1.5])
def test_every_churn_keeps_the_marginals(churn):
    """n = 20,000: the distribution function at five times, within five standard errors + 0.01."""
    path, n = DiffusionPath(), 20_000
    g = seeded(3)
    start = TOY.mixed(*path.level(1.0)).sample(n, g)
    oracle = MixtureOracle(TOY, schedule=path)
    seen = 0
    for shot in sample(oracle, start, step=euler(churn), times=400, generator=g):
        if round(shot.t, 6) in (0.8, 0.6, 0.4, 0.2, 0.05):
            exact = TOY.mixed(*path.level(shot.t))
            grid = exact.quantile(torch.linspace(0.1, 0.9, 9, dtype=F64))
            share = (shot.xt <= grid.T).double().mean(0)
            assert_close(share, exact.cdf(grid), rtol=0, atol=5 * 0.5 / math.sqrt(n) + 0.01)
            seen += 1
    assert seen == 5


def test_a_wrong_sign_of_the_score_is_seen():
    """The test above has power: with eps_hat turned round the shares are far off."""
    path, g = DiffusionPath(), seeded(3)
    oracle = MixtureOracle(TOY, schedule=path)
    turned = Denoiser(path, lambda x, s: Guess(oracle(x, s).x0_hat, -oracle(x, s).eps_hat))
    start = TOY.mixed(*path.level(1.0)).sample(2000, g)
    x = generate(turned, start, step=euler(1.0), times=100, generator=g)
    assert abs(float((x < -0.3).double().mean()) - 0.3) > 0.1


def test_likelihood_of_the_toy_is_its_log_density():
    path = DiffusionPath()
    # Equally likely points: their mean stands for the expectation, and minus it is the entropy.
    x0 = TOY.quantile((torch.arange(100, dtype=F64) + 0.5) / 100)
    times = [*(1e-5 + (1 - 1e-5) * (i / 300) ** 2 for i in range(300, -1, -1)), 0.0]
    got = log_likelihood(MixtureOracle(TOY, schedule=path), x0, times=times)
    assert abs(float((got - TOY.log_prob(x0)).mean())) < 1e-3
    # Point by point the model's end, N(0, 1), is not quite q(x_1): a_1 = 0.0066.
    assert_close(got, TOY.log_prob(x0), rtol=0, atol=0.01)


def test_hutchinsons_estimate_agrees_with_the_exact_divergence():
    path, mixture = DiffusionPath(), ground_truth_mixture_2d()
    oracle, x0 = MixtureOracle(mixture, schedule=path), mixture.sample(3, seeded(0))
    times = [*(1e-4 + (1 - 1e-4) * (i / 150) ** 2 for i in range(150, -1, -1)), 0.0]
    exact = log_likelihood(oracle, x0, times=times)
    rough = log_likelihood(oracle, x0, times=times, probes=200, generator=seeded(1))
    assert_close(rough, exact, rtol=0, atol=0.3)
    assert not torch.equal(rough, exact)


@pytest.mark.parametrize("path", [StraightPath(), GROWING], ids=["straight", "growing"])
def test_the_same_denoiser_answers_on_every_path(path):
    schedule = cosine_schedule(4000)
    there = along(MixtureOracle(TOY, schedule=schedule), path)
    exact, x = MixtureOracle(TOY, schedule=path), randn(200, 1)
    for s in (0.3 * path.end, 0.6 * path.end):
        for got, expected in zip(there(x, s), exact(x, s), strict=True):
            assert_close(got, expected, rtol=0, atol=5e-3)


# Outside references, on whole trajectories


def wavy(x, sigma):
    """A smooth guess of x_0 at noise sigma; nobody's law depends on which."""
    return torch.tanh(x / (1 + 0.2 * sigma))


def test_flow_matching_trajectory_equals_diffusers():
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)
    scheduler.set_timesteps(12)
    path, sigmas = StraightPath(), scheduler.sigmas.double().tolist()
    x = randn(4, 3).float()
    look = Denoiser(path, lambda x, s: guess_from_velocity(wavy(x, s.view(-1, 1)), x, s, path=path))
    got = [shot.xt for shot in sample(look, x, step=euler(), times=[*sigmas[:-1], 0.0])]
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(wavy(x, scheduler.sigmas[i]), t, x).prev_sample
        assert_close(got[i + 1], x, rtol=1e-5, atol=1e-5)


# diffusers hands numpy a tensor in a way that numpy 2 announces to end.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "rule"),
    [(EulerDiscreteScheduler, euler), (HeunDiscreteScheduler, lambda: heun("sigma"))],
    ids=["euler", "heun"],
)
def test_edm_trajectory_equals_diffusers(make, rule):
    """Their sigmas, their loop; the network says eps, as a function of x and sigma."""
    scheduler = make(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    scheduler.set_timesteps(10)
    sigmas = [float(s) for s in dict.fromkeys(scheduler.sigmas.double().tolist())]
    path = GrowingNoise(end=sigmas[0])

    def eps_of(x, sigma):
        return (x - wavy(x, sigma)) / sigma

    look = Denoiser(path, lambda x, s: Guess(wavy(x, s.view(-1, 1)), eps_of(x, s.view(-1, 1))))
    x = (sigmas[0] * randn(4, 3)).float()
    expected = generate(look, x, step=rule(), times=sigmas)
    for i, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(x, t)
        x = scheduler.step(eps_of(x, scheduler.sigmas[i]), t, x).prev_sample
    assert_close(expected, x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_edm_weights_equal_diffusers(sigma_data):
    """Their network's input, the guess that they make of its output, and its time."""
    scheduler = EDMEulerScheduler(sigma_data=sigma_data)
    x, answer = randn(5, 3), randn(5, 3, seed=1)
    for sigma in torch.tensor([0.002, 0.3, 1.0, 80.0], dtype=F64):
        c_skip, c_out, c_in, c_noise = edm_weights(sigma, sigma_data)
        assert_close(c_in * x, scheduler.precondition_inputs(x, sigma))
        assert_close(c_skip * x + c_out * answer, scheduler.precondition_outputs(x, answer, sigma))
        assert_close(c_noise, scheduler.precondition_noise(sigma))


def test_a_step_off_the_path_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^t_prev must"):
        Move(StraightPath(), 0.5, -0.1)
    with pytest.raises(ValueError, match=r"^t must"):
        Move(StraightPath(), 1.5, 0.1)
    with pytest.raises(ValueError, match=r"^churn must"):
        euler(-1.0)
    with pytest.raises(ValueError, match=r"^schedule must"):
        predicts_eps(torch.nn.Identity(), 1000)


def test_one_gaussian_moves_by_a_formula():
    path, law = StraightPath(), GaussianMixture([1.0], [[0.7]], [0.4])
    start = randn(6, 1)
    x0 = generate(MixtureOracle(law, schedule=path), start, step=heun(), times=800)
    assert_close(x0, 0.7 + 0.4 * start, rtol=0, atol=1e-4)
