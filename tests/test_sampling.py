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
from dmlib.models import EpsFromV
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import v_from_x0, x0_from_eps
from dmlib.sampling import (
    DPMSolver,
    Snapshot,
    clipped,
    ddim,
    ddim_step,
    ddpm,
    ddpm_step,
    dpm_solver,
    generate,
    sample,
    spaced_times,
)
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule, zero_terminal_snr

F64 = torch.float64
RULES = {
    "ddpm beta_tilde": ddpm,
    "ddpm beta": lambda: ddpm("beta"),
    "ddim 0": ddim,
    "ddim 0.5": lambda: ddim(0.5),
    "ddim 1": lambda: ddim(1.0),
    "dpm_solver": dpm_solver,
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
    for step in (ddim(), dpm_solver()):
        got = step(xt, eps, eps, t=t, t_prev=t_prev, schedule=schedule)
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
        loud = make()(xt, eps_hat, 1e6 + 0 * xt, t=t, t_prev=0, schedule=schedule)
        silent = make()(xt, eps_hat, None, t=t, t_prev=0, schedule=schedule)
        assert torch.equal(loud, silent)
        assert_close(silent, x0_hat, rtol=1e-9, atol=1e-9)


def test_dpm_solver_starts_as_ddim_and_stays_it_where_x0_hat_does_not_move():
    schedule, x0, xT = cosine_schedule(), randn(4, 3, seed=1), randn(4, 3)

    def net(xt, t):
        bar = schedule.alpha_bar[t].view(-1, 1)
        return (xt - bar.sqrt() * x0) / (1 - bar).sqrt()

    for a, b in zip(
        sample(net, xT, schedule=schedule, step=dpm_solver(), times=7),
        sample(net, xT, schedule=schedule, step=ddim(), times=7),
        strict=True,
    ):
        assert_close(a.xt, b.xt, rtol=1e-7, atol=1e-7)
    first = [
        list(sample(wavy, xT, schedule=linear_schedule(), step=make(), times=7))
        for make in (dpm_solver, ddim)
    ]
    assert_close(first[0][1].xt, first[1][1].xt)
    assert not torch.allclose(first[0][2].xt, first[1][2].xt)


# The loop


@every_rule
def test_sample_is_the_loop_written_out(make):
    schedule, xT, times = linear_schedule(), randn(4, 3), [1000, 640, 300, 12, 0]
    shots = list(sample(wavy, xT, schedule=schedule, step=make(), times=times, generator=seeded(5)))
    generator, step, xt = seeded(5), make(), xT
    for shot, (t, t_prev) in zip(shots[:-1], pairwise(times), strict=True):
        eps_hat = wavy(xt, torch.full((4,), t))
        x0_hat = x0_from_eps(eps_hat, xt, t, schedule=schedule)
        assert shot.t == t
        for got, expected in ((shot.xt, xt), (shot.eps_hat, eps_hat), (shot.x0_hat, x0_hat)):
            assert_close(got, expected)
        noise = torch.randn(4, 3, dtype=F64, generator=generator)
        xt = step(xt, eps_hat, noise, t=t, t_prev=t_prev, schedule=schedule)
    assert isinstance(shots[-1], Snapshot)
    assert (shots[-1].t, shots[-1].eps_hat) == (0, None)
    assert torch.equal(shots[-1].xt, shots[-1].x0_hat)
    assert_close(shots[-1].xt, xt)
    end = generate(wavy, xT, schedule=schedule, step=make(), times=times, generator=seeded(5))
    assert torch.equal(end, shots[-1].xt)


def test_a_number_of_steps_means_evenly_spaced_times():
    schedule, xT = linear_schedule(100), randn(2, 3)
    shots = list(sample(wavy, xT, schedule=schedule, times=8))
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
        generate(wavy, xT, schedule=schedule, step=ddpm(), times=9, generator=seeded(7))
        for _ in range(2)
    ]
    assert torch.equal(*ends)
    assert torch.equal(before, torch.random.get_rng_state())
    other = generate(wavy, xT, schedule=schedule, step=ddpm(), times=9, generator=seeded(8))
    assert not torch.allclose(ends[0], other)


def test_a_rule_forgets_between_walks():
    """One dpm_solver() for two walks side by side: each is what it would be alone."""
    schedule, rule, starts = linear_schedule(), dpm_solver(), (randn(3, 2), randn(3, 2, seed=1))
    alone = [generate(wavy, x, schedule=schedule, step=dpm_solver(), times=6) for x in starts]
    walks = [sample(wavy, x, schedule=schedule, step=rule, times=6) for x in starts]
    for shots in zip(*walks, strict=True):
        last = shots
    for shot, expected in zip(last, alone, strict=True):
        assert torch.equal(shot.xt, expected)


def test_the_loop_keeps_no_graph_and_leaves_gradients_on_outside():
    net = torch.nn.Linear(2, 2)
    for shot in sample(lambda xt, t: net(xt), torch.randn(3, 2), schedule=linear_schedule()):
        assert torch.is_grad_enabled()
        assert not shot.xt.requires_grad


def test_denoiser_is_called_with_a_t_for_each_sample():
    seen = []

    def net(xt, t):
        seen.append(t)
        return 0 * xt

    generate(net, torch.randn(3, 2), schedule=linear_schedule(10), times=[7, 2, 0])
    assert [t.tolist() for t in seen] == [[7, 7, 7], [2, 2, 2]]
    assert all(t.dtype == torch.int64 for t in seen)


def test_clipped_keeps_x0_hat_in_range_and_what_was_there_stays():
    schedule, xt = linear_schedule(), randn(200, 1)
    net = clipped(wavy, schedule=schedule, low=-0.5, high=1.0)
    for t in (1, 30, 300, 1000):
        free, held = (x0_from_eps(f(xt, t), xt, t, schedule=schedule) for f in (wavy, net))
        assert_close(held, free.clamp(-0.5, 1.0), rtol=1e-9, atol=1e-9)
        inside = (free > -0.5) & (free < 1.0)
        assert_close(net(xt, t)[inside], wavy(xt, t)[inside], rtol=1e-9, atol=1e-9)


def test_an_empty_batch_stays_empty():
    assert generate(wavy, torch.zeros(0, 2), schedule=linear_schedule(10), times=3).shape == (0, 2)


# Bad input


@pytest.mark.parametrize(
    "step", [ddpm_step, ddim_step, ddim(1.0), dpm_solver()], ids=["ddpm", "ddim", "ddim1", "dpm"]
)
def test_steps_refuse_bad_input_by_name(step):
    schedule, x = linear_schedule(10), torch.randn(4, 3)
    bad = [None, x.long(), x[:2], x * math.nan, x / 0, x.to("meta"), x.to_sparse(), x[0, 0]]
    for value in bad:
        with pytest.raises(ValueError, match=r"^(xt|eps_hat) must"):
            step(value, x, x, t=2, t_prev=1, schedule=schedule)
        with pytest.raises(ValueError, match=r"^eps_hat must"):
            step(x, value, x, t=2, t_prev=1, schedule=schedule)
    for t in (0, -1, 11, 2.0, True, torch.tensor(2), None):
        with pytest.raises(ValueError, match=r"^t must"):
            step(x, x, x, t=t, t_prev=0, schedule=schedule)
    for t_prev in (2, 3, -1, 1.0, True, torch.tensor(1)):
        with pytest.raises(ValueError, match=r"^t_prev must"):
            step(x, x, x, t=2, t_prev=t_prev, schedule=schedule)
    zero_snr = zero_terminal_snr(schedule)
    with pytest.raises(ValueError, match=r"^t must be a step with alpha_bar_t > 0, got t = 10"):
        step(x, x, x, t=10, t_prev=9, schedule=zero_snr)
    assert torch.isfinite(step(x, x, x, t=9, t_prev=8, schedule=zero_snr)).all()


@pytest.mark.parametrize("step", [ddpm_step, ddim(0.5)], ids=["ddpm", "ddim"])
def test_steps_that_need_noise_refuse_bad_noise(step):
    schedule, x = linear_schedule(10), torch.randn(4, 3)
    for noise in (None, x[:2], x * math.nan, x.long(), x.to("meta")):
        with pytest.raises(ValueError, match=r"^noise must"):
            step(x, x, noise, t=2, t_prev=1, schedule=schedule)


def test_rules_refuse_what_they_do_not_know():
    schedule, x = linear_schedule(10), torch.randn(4, 3)
    for variance in ("learned", None):
        with pytest.raises(ValueError, match=r"^variance must"):
            ddpm_step(x, x, x, t=2, schedule=schedule, variance=variance)
    for eta in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"^eta must"):
            ddim_step(x, x, x, t=2, t_prev=1, schedule=schedule, eta=eta)


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan, "0.5", True, None, torch.tensor(0.5)])
def test_a_rule_refuses_its_eta_where_it_is_made(eta):
    with pytest.raises(ValueError, match=r"^eta must"):
        ddim(eta)


def test_a_rule_refuses_its_variance_where_it_is_made():
    with pytest.raises(ValueError, match=r"^variance must be .*, got 'learned'"):
        ddpm("learned")


@pytest.mark.parametrize("step", [ddim, ddpm, dpm_solver, DPMSolver])
def test_what_makes_a_rule_is_no_rule(step):
    says = rf"^step must be a rule, got {step.__name__}, .* mend: {step.__name__}\(\)"
    with pytest.raises(ValueError, match=says):
        generate(wavy, torch.zeros(2, 2), schedule=linear_schedule(10), step=step)


def test_a_generator_that_is_none_is_refused_before_the_walk():
    says = r"^generator must .* got 42; mend: torch.Generator\(\).manual_seed\(42\)"
    with pytest.raises(ValueError, match=says):
        sample(wavy, torch.zeros(2, 2), schedule=linear_schedule(10), generator=42)


def test_numpys_integers_are_integers():
    schedule, x = linear_schedule(10), randn(2, 3)
    for step in (ddpm_step, ddim_step, dpm_solver()):
        t, t_prev = np.int64(5), np.int32(3)
        got = step(x, x, x, t=t, t_prev=t_prev, schedule=schedule)
        assert torch.equal(got, step(x, x, x, t=5, t_prev=3, schedule=schedule))
    right = generate(wavy, x, schedule=schedule, times=[8, 4, 0])
    for times in ([np.int64(8), 4, np.int64(0)], list(np.array([8, 4, 0]))):
        assert torch.equal(generate(wavy, x, schedule=schedule, times=times), right)
    assert spaced_times(np.int64(10), np.int64(2)) == spaced_times(10, 2)
    assert_close(
        generate(wavy, x, schedule=schedule, times=np.int64(4)),
        generate(wavy, x, schedule=schedule, times=4),
    )
    for times in (np.array([8, 4, 0]), torch.tensor([8, 4, 0])):
        with pytest.raises(ValueError, match=r"^times must .* mend: times.tolist\(\)"):
            sample(wavy, x, schedule=schedule, times=times)


@pytest.mark.parametrize(("T", "steps"), [(10, 10), (50, 50), (1000, 50)])
def test_by_default_a_walk_takes_50_steps_or_all_there_are(T, steps):
    walk = list(sample(wavy, randn(2, 3), schedule=linear_schedule(T, beta_T=0.02)))
    assert [shot.t for shot in walk] == spaced_times(T, steps)


# Zero terminal SNR: x_T holds nothing of x_0, and a denoiser that knows x0_hat can start there

HEAPS = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.25, 0.35])
ZERO_SNR = zero_terminal_snr(linear_schedule())


class Velocity:
    """The exact v of the heaps: E[v | x_t]."""

    def __init__(self) -> None:
        self.oracle = MixtureOracle(HEAPS, schedule=ZERO_SNR)

    def __call__(self, xt, t, y=None):
        return v_from_x0(self.oracle.x0_hat(xt, t), xt, t, schedule=ZERO_SNR)


@pytest.mark.parametrize("make", [ddim, lambda: ddim(1.0), ddpm, lambda: ddpm("beta"), dpm_solver])
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
def test_zero_terminal_snr_is_sampled_from_T_with_the_right_moments(make, wrapped):
    net = EpsFromV(Velocity(), ZERO_SNR)
    if wrapped:
        net = clipped(conditioned(net, 0), schedule=ZERO_SNR, low=-9, high=9)
    xT, n = randn(4000, 1), 4000
    x = generate(net, xT, schedule=ZERO_SNR, step=make(), times=200, generator=seeded(1))
    mean, std = float(HEAPS.mean()), float(HEAPS.cov().sqrt())
    # Four standard errors, and 0.03 for 200 steps instead of 1000.
    assert abs(float(x.mean()) - mean) < 4 * std / math.sqrt(n) + 0.03
    assert abs(float(x.std()) - std) < 4 * std / math.sqrt(2 * n) + 0.03
    assert abs(float((x < -0.3).double().mean()) - 0.3) < 4 * math.sqrt(0.21 / n) + 0.01


def test_at_zero_snr_the_snapshot_holds_the_answer_and_the_step_is_that_of_ddim():
    xT = randn(5, 1)
    shots = list(
        sample(EpsFromV(Velocity(), ZERO_SNR), xT, schedule=ZERO_SNR, times=[1000, 400, 0])
    )
    assert_close(shots[0].x0_hat, HEAPS.mean().expand(5, 1), rtol=0, atol=1e-6)
    assert torch.equal(shots[0].eps_hat, xT)
    bar = ZERO_SNR.alpha_bar[400]
    assert_close(shots[1].xt, bar.sqrt() * shots[0].x0_hat + (1 - bar).sqrt() * xT)


def test_a_start_at_zero_snr_without_x0_hat_is_refused_at_once_with_the_mend():
    xT = randn(5, 1)
    with pytest.raises(ValueError, match=r"^net must answer x0_hat.*EpsFromV.*start at t = 999"):
        sample(wavy, xT, schedule=ZERO_SNR)
    assert torch.isfinite(generate(wavy, xT, schedule=ZERO_SNR, times=[999, 500, 0])).all()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"xT": torch.zeros(2, 2, dtype=torch.int64)}, "xT"),
        ({"xT": torch.full((2, 2), math.nan)}, "xT"),
        ({"xT": torch.zeros(())}, "xT"),
        ({"xT": torch.zeros(2, 2, device="meta")}, "xT"),
        ({"schedule": [0.1, 0.2]}, "schedule"),
        ({"net": None}, "net"),
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
    good = {"net": wavy, "xT": torch.zeros(2, 2), "schedule": linear_schedule(10), "times": 5}
    with pytest.raises(ValueError, match=rf"^{name}(\[\d\])? must"):
        sample(**{**good, **change})


def test_a_net_that_answers_nonsense_is_refused_by_name():
    schedule, xT = linear_schedule(10), torch.zeros(2, 2)
    for answer in (torch.zeros(2, 1), torch.full((2, 2), math.nan), None):
        with pytest.raises(ValueError, match=r"^eps_hat must"):
            generate(lambda xt, t, answer=answer: answer, xT, schedule=schedule, times=2)


def test_clipped_and_spaced_times_refuse_bad_input_by_name():
    with pytest.raises(ValueError, match=r"^low must"):
        clipped(wavy, schedule=linear_schedule(), low=1.0, high=1.0)
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
    exact = RULES[rule]()(x.double(), e.double(), z.double(), t=t, t_prev=t_prev, schedule=schedule)
    got = RULES[rule]()(x, e, z, t=t, t_prev=t_prev, schedule=schedule)
    assert got.dtype == dtype
    scale = 1 + float(exact.abs().max()) if exact.numel() else 1
    assert_close(got.double(), exact, rtol=0, atol=TOLERANCE[dtype] * scale)
