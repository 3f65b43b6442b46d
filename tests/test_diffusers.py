"""diffusers as an outside witness: the same tables, steps and whole trajectories.

diffusers counts t from 0 and keeps its tables in float32. Where a law compares arithmetic, its
schedulers get our float64 tables, and 1e-9 is the bound; where it compares everything, float32
tables included, 1e-4 relative. The network is a smooth function of xt and t, so that an error in
any step would spread.
"""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from torch.testing import assert_close

from dmlib.forward import q_sample
from dmlib.models import predicts_eps, predicts_v
from dmlib.parameterization import eps_from_v, guess_from_eps, v_from_eps, x0_from_v
from dmlib.sampling import generate, sample
from dmlib.schedules import cosine_schedule, linear_schedule, zero_terminal_snr
from dmlib.steps import Move, ddim, ddpm, dpm_solver

F64 = torch.float64
OURS = {"linear": linear_schedule(), "squaredcos_cap_v2": cosine_schedule()}
every_schedule = pytest.mark.parametrize("kind", OURS)


def theirs(make, kind: str, *, exact: bool = True, steps: int | None = None, **settings):
    """One of diffusers' schedulers, by default with our tables in float64."""
    scheduler = make(beta_schedule=kind, **settings)
    if exact:
        schedule = OURS[kind]
        scheduler.betas, scheduler.alphas = schedule.beta[1:], schedule.alpha[1:]
        scheduler.alphas_cumprod = schedule.alpha_bar[1:]
        scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=F64)
    if steps:
        scheduler.set_timesteps(steps)
    return scheduler


def ddpm_step(xt, eps_hat, noise, *, t, schedule, t_prev=None, variance="beta_tilde"):
    """One step of ddpm() with the noise that is guessed."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    move = Move(schedule, t, t - 1 if t_prev is None else t_prev)
    return ddpm(variance)(xt, guess, noise, move)


def ddim_step(xt, eps_hat, noise, *, t, t_prev, schedule, eta=0.0):
    """One step of ddim(eta) with the noise that is guessed."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    return ddim(eta)(xt, guess, noise, Move(schedule, t, t_prev))


def wavy(xt, t):
    t = torch.as_tensor(t).to(xt.dtype).view(-1, *(1,) * (xt.ndim - 1))
    return 0.9 * torch.tanh(xt + 0.0005 * t) + 0.1 * torch.sin(3 * xt)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def walked(scheduler, xt, *, seed: int, predict=wavy, **settings) -> torch.Tensor:
    """Their loop: all x_t on the way."""
    generator = torch.Generator().manual_seed(seed)
    path = [xt]
    for i in scheduler.timesteps.tolist():
        eps_hat = predict(xt, torch.full((len(xt),), i + 1))
        xt = scheduler.step(eps_hat, i, xt, generator=generator, **settings).prev_sample
        path.append(xt)
    return torch.stack(path)


def ours(scheduler, kind: str, xt, *, step, seed: int) -> torch.Tensor:
    """Our loop over the same times: all x_t on the way."""
    times = [i + 1 for i in scheduler.timesteps.tolist()] + [0]
    generator = torch.Generator().manual_seed(seed)
    walk = sample(predicts_eps(wavy, OURS[kind]), xt, step=step, times=times, generator=generator)
    return torch.stack([shot.xt for shot in walk])


# Tables


@every_schedule
def test_tables_equal(kind):
    scheduler = theirs(DDPMScheduler, kind, exact=False)
    # The last alpha of the cosine schedule is 1 - 0.999, with float32's 6e-8: 6e-5 of it.
    assert_close(OURS[kind].beta[1:].float(), scheduler.betas, rtol=1e-4, atol=1e-7)
    assert_close(OURS[kind].alpha_bar[1:].float(), scheduler.alphas_cumprod, rtol=2e-4, atol=1e-7)


@every_schedule
def test_zero_terminal_snr_equals(kind):
    got = zero_terminal_snr(OURS[kind]).alpha_bar[1:]
    betas = rescale_zero_terminal_snr(OURS[kind].beta[1:].clone())
    assert_close(got, (1 - betas).cumprod(0), rtol=1e-9, atol=1e-12)


@every_schedule
def test_noised_images_equal(kind):
    x0, eps, t = randn(4, 3), randn(4, 3, seed=1), torch.tensor([1, 2, 500, 1000])
    expected = theirs(DDPMScheduler, kind).add_noise(x0, eps, t - 1)
    assert_close(q_sample(x0, t, eps, schedule=OURS[kind]), expected, rtol=1e-9, atol=1e-9)


# Steps


@every_schedule
@pytest.mark.parametrize("t", [1, 2, 500, 1000])
@pytest.mark.parametrize(
    ("variance", "name"), [("beta_tilde", "fixed_small"), ("beta", "fixed_large")]
)
def test_one_ddpm_step_equals(kind, t, variance, name):
    xt, eps_hat = randn(4, 3), randn(4, 3, seed=1)
    scheduler = theirs(DDPMScheduler, kind, variance_type=name, clip_sample=False)
    g = torch.Generator().manual_seed(3)
    expected = scheduler.step(eps_hat, t - 1, xt, generator=g).prev_sample
    noise = randn(4, 3, seed=3)
    got = ddpm_step(xt, eps_hat, noise, t=t, schedule=OURS[kind], variance=variance)
    # Their mean goes through x0_hat, which is 2e4 times as large at t = 1000 of the cosine.
    assert_close(got, expected, rtol=1e-7, atol=1e-7)


@every_schedule
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("t", [1, 21, 501, 981])
def test_one_ddim_step_equals(kind, eta, t):
    xt, eps_hat = randn(4, 3), randn(4, 3, seed=1)
    scheduler = theirs(DDIMScheduler, kind, clip_sample=False, steps=50)
    g = torch.Generator().manual_seed(3)
    expected = scheduler.step(eps_hat, t - 1, xt, eta=eta, generator=g)
    noise, t_prev = randn(4, 3, seed=3), max(t - 20, 0)
    got = ddim_step(xt, eps_hat, noise, t=t, t_prev=t_prev, schedule=OURS[kind], eta=eta)
    assert_close(got, expected.prev_sample, rtol=1e-9, atol=1e-9)


# Whole trajectories


@pytest.mark.parametrize(
    ("kind", "variance", "steps"),
    [
        ("linear", "beta_tilde", 1000),
        ("squaredcos_cap_v2", "beta", 1000),
        ("linear", "beta", 50),
        ("squaredcos_cap_v2", "beta_tilde", 50),
    ],
)
def test_ddpm_trajectory_equals(kind, variance, steps):
    xT = randn(3, 2, seed=9)
    name = {"beta_tilde": "fixed_small", "beta": "fixed_large"}[variance]
    scheduler = theirs(DDPMScheduler, kind, variance_type=name, clip_sample=False, steps=steps)
    expected = walked(scheduler, xT, seed=4)
    got = ours(scheduler, kind, xT, step=ddpm(variance), seed=4)
    assert len(got) == steps + 1
    assert_close(got, expected, rtol=1e-6, atol=1e-6)


@every_schedule
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [100, 10])
def test_ddim_trajectory_equals(kind, eta, steps):
    xT = randn(3, 2, seed=9)
    scheduler = theirs(DDIMScheduler, kind, clip_sample=False, steps=steps)
    expected = walked(scheduler, xT, seed=4, eta=eta)
    got = ours(scheduler, kind, xT, step=ddim(eta), seed=4)
    assert_close(got, expected, rtol=1e-8, atol=1e-8)


# diffusers hands numpy a tensor in a way that numpy 2 announces to end.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("steps", [10, 25])
def test_dpm_solver_trajectory_equals(steps):
    """DPM-Solver++(2M), midpoint form; theirs computes in float32: 1e-4."""
    xT = randn(3, 2, seed=9)
    scheduler = theirs(
        DPMSolverMultistepScheduler, "linear", steps=steps, timestep_spacing="trailing"
    )
    expected = walked(scheduler, xT.float(), seed=4)
    got = ours(scheduler, "linear", xT, step=dpm_solver(), seed=4)
    assert_close(got.float(), expected, rtol=1e-4, atol=1e-4)


def test_trailing_times_are_our_evenly_spaced_ones():
    for steps in (10, 25, 50):
        scheduler = theirs(DDIMScheduler, "linear", timestep_spacing="trailing", steps=steps)
        times = [i + 1 for i in scheduler.timesteps.tolist()] + [0]
        walk = sample(predicts_eps(wavy, OURS["linear"]), randn(1, 1), times=steps)
        assert [shot.t for shot in walk] == times


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_its_own_float32_tables_the_end_is_the_same(eta):
    xT = randn(3, 2, seed=9)
    scheduler = theirs(DDIMScheduler, "linear", exact=False, clip_sample=False, steps=50)
    expected = walked(scheduler, xT, seed=4, eta=eta)[-1]
    times = [i + 1 for i in scheduler.timesteps.tolist()] + [0]
    g = torch.Generator().manual_seed(4)
    got = generate(predicts_eps(wavy, OURS["linear"]), xT, step=ddim(eta), times=times, generator=g)
    assert_close(got, expected, rtol=1e-4, atol=1e-4)


# v


@every_schedule
def test_v_equals_their_velocity(kind):
    x0, eps, t = randn(4, 3), randn(4, 3, seed=1), torch.tensor([1, 2, 500, 1000])
    expected = theirs(DDPMScheduler, kind).get_velocity(x0, eps, t - 1)
    xt = q_sample(x0, t, eps, schedule=OURS[kind])
    # v from eps divides by sqrt(alpha_bar_T) = 5e-5: twelve digits become seven.
    assert_close(v_from_eps(eps, xt, t, schedule=OURS[kind]), expected, rtol=1e-6, atol=1e-6)


@every_schedule
def test_their_v_prediction_step_sees_our_x0_and_eps(kind):
    scheduler = theirs(
        DDIMScheduler, kind, prediction_type="v_prediction", clip_sample=False, steps=50
    )
    xt, v_hat = randn(4, 3), randn(4, 3, seed=1)
    for t, t_prev in pairwise((981, 961, 941)):
        expected = scheduler.step(v_hat, t - 1, xt)
        x0_hat = x0_from_v(v_hat, xt, t, schedule=OURS[kind])
        assert_close(x0_hat, expected.pred_original_sample, rtol=1e-9, atol=1e-9)
        eps_hat = eps_from_v(v_hat, xt, t, schedule=OURS[kind])
        got = ddim_step(xt, eps_hat, None, t=t, t_prev=t_prev, schedule=OURS[kind])
        assert_close(got, expected.prev_sample, rtol=1e-8, atol=1e-8)


@every_schedule
def test_v_prediction_trajectory_equals(kind):
    """The same network, which says v, in both loops."""
    scheduler = theirs(
        DDIMScheduler, kind, prediction_type="v_prediction", clip_sample=False, steps=50
    )
    xT, schedule = randn(3, 2, seed=9), OURS[kind]
    expected = walked(scheduler, xT, seed=4)
    times = [i + 1 for i in scheduler.timesteps.tolist()] + [0]

    got = generate(predicts_v(wavy, schedule), xT, times=times)
    assert_close(got, expected[-1], rtol=1e-8, atol=1e-8)
