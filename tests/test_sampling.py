"""Laws of the steps and of the loop around them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from dmlib.forward import q_posterior, q_sample
from dmlib.guidance import conditioned
from dmlib.mixture import GaussianMixture
from dmlib.models import predicts_eps, predicts_v, predicts_x0
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import Denoiser, Guess, guess_from_eps, v_from_x0, x0_from_eps
from dmlib.sampling import Snapshot, clipped, generate, sample, spaced_times
from dmlib.schedules import (
    NoiseSchedule,
    cosine_schedule,
    linear_schedule,
    wide,
    zero_terminal_snr,
)
from dmlib.steps import Move, ddim, ddpm, dpm_solver, heun

F64 = torch.float64
RULES = {
    "ddpm beta_tilde": ddpm,
    "ddpm beta": lambda: ddpm("beta"),
    "ddim 0": ddim,
    "ddim 0.5": lambda: ddim(0.5),
    "ddim 1": lambda: ddim(1.0),
    "dpm_solver": dpm_solver,
    "heun": heun,
}
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)
every_schedule = pytest.mark.parametrize(
    "schedule", [linear_schedule(), cosine_schedule()], ids=lambda s: s.name
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=seeded(seed))


def wavy(xt, t):
    """Some denoiser; nobody's law depends on which."""
    t = torch.as_tensor(t).to(xt.dtype).view(-1, *(1,) * (xt.ndim - 1))
    return torch.tanh(1.3 * xt + 0.001 * t) + 0.2 * torch.sin(3 * xt)


def ddpm_step(xt, eps_hat, noise, *, t, schedule, t_prev=None, variance="beta_tilde"):
    """One step of ddpm() with the noise that is guessed."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    move = Move(schedule, t, t - 1 if t_prev is None else t_prev)
    return ddpm(variance)(xt, guess, noise, move)


def ddim_step(xt, eps_hat, noise, *, t, t_prev, schedule, eta=0.0):
    """One step of ddim(eta) with the noise that is guessed."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    return ddim(eta)(xt, guess, noise, Move(schedule, t, t_prev))


def stepped(rule, xt, eps_hat, noise, *, t, t_prev, schedule):
    """Any rule at one place; asked again, it hears the same noise."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)

    def look(x, s):
        return guess_from_eps(wide(eps_hat), x, s, schedule=schedule)

    return rule(xt, guess, noise, Move(schedule, t, t_prev, look))


def thinned(schedule: NoiseSchedule, times: list[int]) -> NoiseSchedule:
    """The schedule whose steps are those between `times` (falling, last one 0)."""
    bar = schedule.alpha_bar[times[::-1]]
    return NoiseSchedule(torch.cat([torch.zeros(1, dtype=F64), 1 - bar[1:] / bar[:-1]]))


# Steps


@every_schedule
@pytest.mark.parametrize("t", [2, 400, 1000])
def test_mean_of_the_ddpm_step_is_the_posterior_mean_at_x0_hat(schedule, t):
    xt, eps_hat, zero = randn(4, 3), randn(4, 3, seed=1), torch.zeros(4, 3, dtype=F64)
    mu_tilde, _ = q_posterior(
        x0_from_eps(eps_hat, xt, t, schedule=schedule), xt, t, schedule=schedule
    )
    mu = ddpm_step(xt, eps_hat, zero, t=t, schedule=schedule)
    # x0_hat is large where alpha_bar_T is 2e-9, and the posterior gives it a small weight again.
    assert_close(mu, mu_tilde, rtol=1e-9, atol=1e-9)


@every_schedule
@pytest.mark.parametrize("t", [2, 400, 1000])
@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_ddpm_step_adds_the_variance_that_is_asked_for(schedule, t, variance):
    xt, eps_hat, one = randn(4, 3), randn(4, 3, seed=1), torch.ones(4, 3, dtype=F64)
    with_noise, without = (
        ddpm_step(xt, eps_hat, k * one, t=t, schedule=schedule, variance=variance) for k in (1, 0)
    )
    beta_tilde = q_posterior(xt, xt, t, schedule=schedule)[1][0, 0]
    expected = beta_tilde if variance == "beta_tilde" else schedule.beta[t]
    assert_close((with_noise - without) ** 2, expected.expand(4, 3), rtol=1e-9, atol=1e-12)


@every_schedule
@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_ddpm_step_over_several_t_is_one_step_of_the_thinned_schedule(schedule, variance):
    times = [1000, 600, 350, 2, 0]
    short = thinned(schedule, times)
    for k, (t, t_prev) in enumerate(pairwise(times)):
        x, e, z = (randn(5, 2, seed=10 * k + i) for i in range(3))
        long = ddpm_step(x, e, z, t=t, t_prev=t_prev, schedule=schedule, variance=variance)
        one = ddpm_step(x, e, z, t=len(times) - 1 - k, schedule=short, variance=variance)
        # At t = 1000 of the cosine schedule alpha is 2e-9, and 1 - (1 - alpha) has 7 digits left.
        assert_close(long, one, rtol=1e-7, atol=1e-9)


@every_schedule
@pytest.mark.parametrize(("t", "t_prev"), [(1000, 999), (1000, 500), (500, 20), (3, 1), (5, 0)])
def test_ddim_eta1_equals_ddpm(schedule, t, t_prev):
    x, e, z = (randn(5, 2, seed=i) for i in range(3))
    a = ddim_step(x, e, z, t=t, t_prev=t_prev, schedule=schedule, eta=1.0)
    b = ddpm_step(x, e, z, t=t, t_prev=t_prev, schedule=schedule)
    assert_close(a, b, rtol=1e-8, atol=1e-8)


@every_schedule
def test_sigma_of_ddim_is_eta_times_the_posteriors(schedule):
    x, e, one = randn(3, 2), randn(3, 2, seed=1), torch.ones(3, 2, dtype=F64)
    for t, t_prev in ((1000, 700), (500, 499), (2, 1)):
        for eta in (0.25, 0.5, 1.0):
            up, down = (
                ddim_step(x, e, k * one, t=t, t_prev=t_prev, schedule=schedule, eta=eta)
                for k in (1, -1)
            )
            short = thinned(schedule, [t, t_prev, 0])
            beta_tilde = q_posterior(x, x, 2, schedule=short)[1]
            assert_close((up - down) / 2, (eta * beta_tilde.sqrt()).expand(3, 2), rtol=1e-9, atol=0)


@every_schedule
@pytest.mark.parametrize(("t", "t_prev"), [(1000, 999), (1000, 500), (500, 20), (5, 0)])
def test_ddim_that_knows_the_noise_moves_along_the_kernel(schedule, t, t_prev):
    x0, eps = randn(5, 2), randn(5, 2, seed=1)
    xt, expected = (q_sample(x0, s, eps, schedule=schedule) for s in (t, t_prev))
    for rule in (ddim(), dpm_solver(), heun()):
        got = stepped(rule, xt, eps, eps, t=t, t_prev=t_prev, schedule=schedule)
        assert_close(got, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_keeps_the_marginal_for_every_eta(eta):
    """If eps_hat is the noise itself, x_prev has the weights of q(x_prev | x_0)."""
    schedule, one, none = linear_schedule(), torch.ones(1, 1, dtype=F64), torch.zeros(1, 1).double()
    t, t_prev = 700, 450

    def weight(x0, eps, noise):
        xt = q_sample(x0, t, eps, schedule=schedule)
        return ddim_step(xt, eps, noise, t=t, t_prev=t_prev, schedule=schedule, eta=eta)

    a = schedule.alpha_bar[t_prev]
    assert_close(weight(one, none, none)[0, 0], a.sqrt())
    spread = weight(none, one, none) ** 2 + weight(none, none, one) ** 2
    assert_close(spread[0, 0], 1 - a)


@every_rule
def test_the_last_step_gives_x0_hat_and_adds_no_noise(make):
    schedule, xt, eps_hat = cosine_schedule(), randn(4, 3), randn(4, 3, seed=1)
    for t in (1, 20, 900):
        x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
        where = {"t": t, "t_prev": 0, "schedule": schedule}
        loud = stepped(make(), xt, eps_hat, 1e6 + 0 * xt, **where)
        silent = stepped(make(), xt, eps_hat, None, **where)
        assert torch.equal(loud, silent)
        assert_close(silent, x0_hat, rtol=1e-9, atol=1e-9)


def test_dpm_solver_starts_as_ddim_and_stays_it_where_x0_hat_does_not_move():
    schedule, x0, xT = cosine_schedule(), randn(4, 3, seed=1), randn(4, 3)

    net = predicts_x0(lambda xt, t: x0, schedule)
    for a, b in zip(
        sample(net, xT, step=dpm_solver(), times=7),
        sample(net, xT, step=ddim(), times=7),
        strict=True,
    ):
        assert_close(a.xt, b.xt, rtol=1e-7, atol=1e-7)
    first = [
        list(sample(predicts_eps(wavy, linear_schedule()), xT, step=make(), times=7))
        for make in (dpm_solver, ddim)
    ]
    assert_close(first[0][1].xt, first[1][1].xt)
    assert not torch.allclose(first[0][2].xt, first[1][2].xt)


# The loop


@every_rule
def test_sample_is_the_loop_written_out(make):
    schedule, xT, times = linear_schedule(), randn(4, 3), [1000, 640, 300, 12, 0]
    denoiser = predicts_eps(wavy, schedule)
    shots = list(sample(denoiser, xT, step=make(), times=times, generator=seeded(5)))
    generator, step, xt, before = seeded(5), make(), xT, None
    for shot, (t, t_prev) in zip(shots[:-1], pairwise(times), strict=True):
        eps_hat = wavy(xt, torch.full((4,), t))
        x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
        assert shot.t == t
        for got, expected in ((shot.xt, xt), (shot.eps_hat, eps_hat), (shot.x0_hat, x0_hat)):
            assert_close(got, expected)
        noise = torch.randn(4, 3, dtype=F64, generator=generator)
        guess = Guess(x0_hat, eps_hat)
        xt = step(xt, guess, noise, Move(schedule, t, t_prev, denoiser, before))
        before = (t, guess)
    assert isinstance(shots[-1], Snapshot)
    assert (shots[-1].t, shots[-1].eps_hat) == (0, None)
    assert torch.equal(shots[-1].xt, shots[-1].x0_hat)
    assert_close(shots[-1].xt, xt)
    end = generate(denoiser, xT, step=make(), times=times, generator=seeded(5))
    assert torch.equal(end, shots[-1].xt)


def test_a_number_of_steps_means_evenly_spaced_times():
    schedule, xT = linear_schedule(100), randn(2, 3)
    shots = list(sample(predicts_eps(wavy, schedule), xT, times=8))
    assert [shot.t for shot in shots] == spaced_times(100, 8)
    assert [shot.t for shot in shots] == [100, 88, 75, 63, 50, 38, 25, 13, 0]


@settings(deadline=None)
@given(T=st.integers(1, 3000), data=st.data())
def test_spaced_times_fall_from_T_to_0_as_evenly_as_whole_numbers_can(T, data):
    steps = data.draw(st.integers(1, T))
    times = spaced_times(T, steps)
    assert times[0] == T
    assert times[-1] == 0
    assert len(times) == steps + 1
    assert all(a > b for a, b in pairwise(times))
    assert all(abs(t - T * (steps - i) / steps) <= 0.5 for i, t in enumerate(times))


def test_noise_comes_from_the_generator_alone_and_the_global_one_stays():
    schedule, xT = linear_schedule(), randn(3, 2)
    before = torch.random.get_rng_state()
    ends = [
        generate(predicts_eps(wavy, schedule), xT, step=ddpm(), times=9, generator=seeded(7))
        for _ in range(2)
    ]
    assert torch.equal(*ends)
    assert torch.equal(before, torch.random.get_rng_state())
    other = generate(predicts_eps(wavy, schedule), xT, step=ddpm(), times=9, generator=seeded(8))
    assert not torch.allclose(ends[0], other)


def test_a_rule_remembers_nothing():
    """One dpm_solver() for two walks side by side, and called by hand before: each is as alone."""
    schedule, rule, starts = linear_schedule(), dpm_solver(), (randn(3, 2), randn(3, 2, seed=1))
    net = predicts_eps(wavy, schedule)
    alone = [generate(net, x, step=dpm_solver(), times=6) for x in starts]
    rule(starts[0], net(starts[0], 1000), None, Move(schedule, 1000, 833))
    walks = [sample(net, x, step=rule, times=6) for x in starts]
    for shots in zip(*walks, strict=True):
        last = shots
    for shot, expected in zip(last, alone, strict=True):
        assert torch.equal(shot.xt, expected)


def test_the_loop_keeps_no_graph_and_leaves_gradients_on_outside():
    net = torch.nn.Linear(2, 2)
    denoiser = predicts_eps(lambda xt, t: net(xt), linear_schedule())
    for shot in sample(denoiser, torch.randn(3, 2)):
        assert torch.is_grad_enabled()
        assert not shot.xt.requires_grad


def test_denoiser_is_called_with_a_t_for_each_sample():
    seen = []

    def net(xt, t):
        seen.append(t)
        return 0 * xt

    generate(predicts_eps(net, linear_schedule(10)), torch.randn(3, 2), times=[7, 2, 0])
    assert [t.tolist() for t in seen] == [[7, 7, 7], [2, 2, 2]]
    assert all(t.dtype == torch.int64 for t in seen)


def test_clipped_keeps_x0_hat_in_range_and_what_was_there_stays():
    schedule, xt = linear_schedule(), randn(200, 1)
    free_net = predicts_eps(wavy, schedule)
    net = clipped(free_net, low=-0.5, high=1.0)
    for t in (1, 30, 300, 1000):
        free, held = free_net(xt, t), net(xt, t)
        assert torch.equal(held.x0_hat, free.x0_hat.clamp(-0.5, 1.0))
        assert_close(q_sample(held.x0_hat, t, held.eps_hat, schedule=schedule), xt)
        inside = (free.x0_hat > -0.5) & (free.x0_hat < 1.0)
        assert_close(held.eps_hat[inside], free.eps_hat[inside], rtol=1e-9, atol=1e-9)


def test_an_empty_batch_stays_empty():
    net = predicts_eps(wavy, linear_schedule(10))
    assert generate(net, torch.zeros(0, 2), times=3).shape == (0, 2)


# Bad input


@every_rule
def test_steps_refuse_bad_input_by_name(make):
    schedule, x, step = linear_schedule(10), torch.randn(4, 3), make()
    good, move = Guess(x, x), Move(schedule, 2, 1, lambda x, t: Guess(x, x))
    for value in (None, x.long(), x[:2], x.to("meta"), x.to_sparse(), x[0, 0]):
        with pytest.raises(ValueError, match=r"^(xt|x0_hat|eps_hat) must"):
            step(value, good, x, move)
        for guess in (Guess(value, x), Guess(x, value)):
            with pytest.raises(ValueError, match=r"^(xt|x0_hat|eps_hat) must"):
                step(x, guess, x, move)
    with pytest.raises(ValueError, match=r"^guess must be a Guess.* got Tensor; try: "):
        step(x, x, x, move)


def test_a_move_refuses_times_that_are_not_on_its_path():
    schedule = linear_schedule(10)
    for t in (0, -1, 11, 2.0, True, torch.tensor(2), None):
        with pytest.raises(ValueError, match=r"^t(_prev)? must"):
            Move(schedule, t, 0)
    for t_prev in (2, 11, -1, 1.0, True, torch.tensor(1)):
        with pytest.raises(ValueError, match=r"^t_prev must"):
            Move(schedule, 2, t_prev)
    x = torch.zeros(2, 1)
    for rule in (ddpm(), ddim(0.5)):
        with pytest.raises(ValueError, match=r"^t_prev must be below t = 2 to add noise, got 5"):
            rule(x, Guess(x, x), x, Move(schedule, 2, 5))


def test_ddim_without_noise_goes_up_as_it_goes_down():
    """The ODE is run in both directions: there and back, with the noise known, is the identity."""
    schedule, x0, eps = linear_schedule(), randn(3, 2), randn(3, 2, seed=1)
    low, high = (q_sample(x0, t, eps, schedule=schedule) for t in (300, 700))
    got = ddim()(low, Guess(x0, eps), None, Move(schedule, 300, 700))
    assert_close(got, high)


@pytest.mark.parametrize("step", [ddpm(), ddim(0.5)], ids=["ddpm", "ddim"])
def test_steps_that_need_noise_refuse_bad_noise(step):
    schedule, x = linear_schedule(10), torch.randn(4, 3)
    for noise in (None, x[:2], x.long(), x.to("meta")):
        with pytest.raises(ValueError, match=r"^noise must"):
            step(x, Guess(x, x), noise, Move(schedule, 2, 1))


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan, "0.5", True, None, torch.tensor(0.5)])
def test_a_rule_refuses_its_eta_where_it_is_made(eta):
    with pytest.raises(ValueError, match=r"^eta must"):
        ddim(eta)


def test_a_rule_refuses_its_variance_where_it_is_made():
    for variance in ("learned", None):
        with pytest.raises(ValueError, match=rf"^variance must be .*, got {variance!r}"):
            ddpm(variance)


@pytest.mark.parametrize("step", [ddim, ddpm, dpm_solver, heun])
def test_what_makes_a_rule_is_no_rule(step):
    says = rf"^step must be a rule, got {step.__name__}, .* try: {step.__name__}\(\)"
    with pytest.raises(ValueError, match=says):
        generate(predicts_eps(wavy, linear_schedule(10)), torch.zeros(2, 2), step=step)


def test_a_generator_that_is_none_is_refused_before_the_walk():
    says = r"^generator must .* got 42; try: torch.Generator\(\).manual_seed\(42\)"
    with pytest.raises(ValueError, match=says):
        sample(predicts_eps(wavy, linear_schedule(10)), torch.zeros(2, 2), generator=42)


def test_numpys_integers_are_integers():
    schedule, x = linear_schedule(10), randn(2, 3)
    for step in (ddpm(), ddim(), dpm_solver()):
        got = step(x, Guess(x, x), x, Move(schedule, np.int64(5), np.int32(3)))
        assert torch.equal(got, step(x, Guess(x, x), x, Move(schedule, 5, 3)))
    right = generate(predicts_eps(wavy, schedule), x, times=[8, 4, 0])
    for times in ([np.int64(8), 4, np.int64(0)], list(np.array([8, 4, 0]))):
        assert torch.equal(generate(predicts_eps(wavy, schedule), x, times=times), right)
    assert spaced_times(np.int64(10), np.int64(2)) == spaced_times(10, 2)
    assert_close(
        generate(predicts_eps(wavy, schedule), x, times=np.int64(4)),
        generate(predicts_eps(wavy, schedule), x, times=4),
    )
    for times in (np.array([8, 4, 0]), torch.tensor([8, 4, 0])):
        with pytest.raises(ValueError, match=r"^times must .* try: times.tolist\(\)"):
            sample(predicts_eps(wavy, schedule), x, times=times)


@pytest.mark.parametrize(("T", "steps"), [(10, 10), (50, 50), (1000, 50)])
def test_by_default_a_walk_takes_50_steps_or_all_there_are(T, steps):
    walk = list(sample(predicts_eps(wavy, linear_schedule(T, beta_T=0.02)), randn(2, 3)))
    assert [shot.t for shot in walk] == spaced_times(T, steps)


# Zero terminal SNR: x_T holds nothing of x_0, and a denoiser that knows x0_hat can start there

HEAPS = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.25, 0.35])
ZERO_SNR = zero_terminal_snr(linear_schedule())


def velocity(xt, t, y=None):
    """The exact v of the heaps: E[v | x_t]."""
    x0_hat = MixtureOracle(HEAPS, schedule=ZERO_SNR)(xt, t).x0_hat
    return v_from_x0(x0_hat, xt, t, schedule=ZERO_SNR)


@every_rule
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
def test_zero_terminal_snr_is_sampled_from_T_with_the_right_moments(make, wrapped):
    net = predicts_v(velocity, ZERO_SNR)
    if wrapped:
        net = clipped(conditioned(net, 0), low=-9, high=9)
    xT, n = randn(4000, 1), 4000
    x = generate(net, xT, step=make(), times=200, generator=seeded(1))
    mean, std = float(HEAPS.mean()), float(HEAPS.cov().sqrt())
    # Four standard errors, and 0.03 for 200 steps instead of 1000.
    assert abs(float(x.mean()) - mean) < 4 * std / math.sqrt(n) + 0.03
    assert abs(float(x.std()) - std) < 4 * std / math.sqrt(2 * n) + 0.03
    assert abs(float((x < -0.3).double().mean()) - 0.3) < 4 * math.sqrt(0.21 / n) + 0.01


def test_at_zero_snr_the_snapshot_holds_the_answer_and_the_step_is_that_of_ddim():
    xT = randn(5, 1)
    shots = list(sample(predicts_v(velocity, ZERO_SNR), xT, times=[1000, 400, 0]))
    assert_close(shots[0].x0_hat, HEAPS.mean().expand(5, 1), rtol=0, atol=1e-6)
    assert torch.equal(shots[0].eps_hat, xT)
    bar = ZERO_SNR.alpha_bar[400]
    assert_close(shots[1].xt, bar.sqrt() * shots[0].x0_hat + (1 - bar).sqrt() * xT)


def test_a_network_that_says_eps_is_refused_a_path_that_ends_in_pure_noise():
    says = r"^schedule must have alpha_bar_T > 0 .* at t = 1000 x_t is all noise; try: predicts_v"
    with pytest.raises(ValueError, match=says):
        predicts_eps(wavy, ZERO_SNR)


def test_a_network_cannot_be_sampled_along_another_path_in_silence():
    """The schedule is the denoiser's own; there is none to pass, and none to pass wrongly."""
    oracle = MixtureOracle(HEAPS, schedule=linear_schedule())
    with pytest.raises(TypeError, match="schedule"):
        generate(oracle, randn(3, 1), schedule=cosine_schedule(500))
    with pytest.raises(TypeError, match="schedule"):
        clipped(oracle, schedule=cosine_schedule(500))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"xT": torch.zeros(2, 2, dtype=torch.int64)}, "xT"),
        ({"xT": torch.full((2, 2), math.nan)}, "xT"),
        ({"xT": torch.zeros(())}, "xT"),
        ({"xT": torch.zeros(2, 2, device="meta")}, "xT"),
        ({"denoiser": None}, "denoiser"),
        ({"denoiser": wavy}, "denoiser"),
        ({"step": "ddim"}, "step"),
        ({"times": 0}, "times"),
        ({"times": 11}, "times"),
        ({"times": True}, "times"),
        ({"times": 2.5}, "times"),
        ({"times": "5"}, "times"),
        ({"times": []}, "times"),
        ({"times": [0]}, "times"),
        ({"times": [5, 3]}, "times"),
        ({"times": [3, 5, 0]}, "times"),
        ({"times": [5, 5, 0]}, "times"),
        ({"times": [11, 0]}, "times"),
        ({"times": [5.0, 0]}, "times"),
    ],
)
def test_sample_refuses_bad_input_by_name_and_at_once(change, name):
    net = predicts_eps(wavy, linear_schedule(10))
    good = {"denoiser": net, "xT": torch.zeros(2, 2), "times": 5}
    with pytest.raises(ValueError, match=rf"^{name}(\[\d\])? must"):
        sample(**{**good, **change})


def test_a_net_that_answers_nonsense_is_refused_by_name():
    schedule, xT = linear_schedule(10), torch.zeros(2, 2)
    for answer in (torch.zeros(2, 1), None, (xT, xT)):
        with pytest.raises(ValueError, match=r"^net must answer in the shape of xt"):
            generate(predicts_eps(lambda xt, t, answer=answer: answer, schedule), xT, times=2)
    nan = predicts_eps(lambda xt, t: xt * math.nan, schedule)
    with pytest.raises(ValueError, match=r"^x_0 must hold numbers, got NaN"):
        generate(nan, xT, times=2)
    with pytest.raises(ValueError, match=r"^the denoiser's answer must be a Guess.* got Tensor"):
        generate(Denoiser(schedule, lambda xt, t: xt), xT, times=2)


def test_a_rule_that_answers_nonsense_is_refused_by_name():
    net, xT = predicts_eps(wavy, linear_schedule(10)), torch.zeros(2, 2)
    for answer in (torch.zeros(2, 1), None):
        with pytest.raises(ValueError, match=r"^x_prev must"):
            generate(net, xT, step=lambda xt, guess, noise, move, a=answer: a, times=2)


def test_clipped_and_spaced_times_refuse_bad_input_by_name():
    with pytest.raises(ValueError, match=r"^low must"):
        clipped(predicts_eps(wavy, linear_schedule()), low=1.0, high=1.0)
    for T, steps in ((0, 1), (10, 0), (10, 11), (10, 2.0), (2.5, 1), (10, True)):
        with pytest.raises(ValueError, match=r"^(T|steps) must"):
            spaced_times(T, steps)


TOLERANCE = {torch.float16: 5e-3, torch.bfloat16: 4e-2, torch.float32: 1e-5, F64: 1e-12}


@settings(max_examples=100, deadline=None)
@given(
    rule=st.sampled_from(sorted(RULES)),
    dtype=st.sampled_from(list(TOLERANCE)),
    shape=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    strided=st.booleans(),
    t=st.integers(1, 30),
    data=st.data(),
)
def test_any_dtype_shape_and_stride_gives_the_float64_step(rule, dtype, shape, strided, t, data):
    schedule = linear_schedule(30, beta_1=0.02, beta_T=0.3)
    t_prev = data.draw(st.integers(0, t - 1))
    tensors = torch.randn(3, *shape, generator=seeded(t), dtype=F64).to(dtype)
    x, e, z = torch.stack([tensors, tensors], -1)[..., 0] if strided else tensors
    where = {"t": t, "t_prev": t_prev, "schedule": schedule}
    exact = stepped(RULES[rule](), x.double(), e.double(), z.double(), **where)
    got = stepped(RULES[rule](), x, e, z, **where)
    assert got.dtype == torch.promote_types(dtype, torch.float32)
    scale = 1 + float(exact.abs().max()) if exact.numel() else 1
    assert_close(got.double(), exact, rtol=0, atol=TOLERANCE[dtype] * scale)
