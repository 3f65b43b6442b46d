"""Laws of the tables; each schedule's formula is checked in equations/."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from dmlib._validate import check_schedule
from dmlib.bound import bound_L0, bound_L0_density, bound_LT, bound_Lt, variational_bound
from dmlib.forward import q_posterior, q_sample, q_step
from dmlib.losses import min_snr_weight
from dmlib.mixture import GaussianMixture, reverse_posterior
from dmlib.models import predicts_eps, predicts_v, predicts_x0
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import Denoiser, x0_from_eps
from dmlib.schedules import (
    NoiseSchedule,
    at,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
    zero_terminal_snr,
)

F64 = torch.float64
MAKERS = (linear_schedule, cosine_schedule, sigmoid_schedule)


@settings(deadline=None)
@given(betas=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40))
def test_tables_follow_from_beta_and_slot_0_is_the_clean_data(betas):
    schedule = NoiseSchedule(torch.tensor([0.0, *betas], dtype=F64))
    assert len(betas) == schedule.T
    assert (float(schedule.alpha[0]), float(schedule.alpha_bar[0])) == (1.0, 1.0)
    assert float(schedule.snr[0]) == math.inf
    product = 1.0
    for t, beta in enumerate(betas, 1):
        product *= 1 - beta
        assert float(schedule.alpha[t]) == 1 - beta
        assert float(schedule.alpha_bar[t]) == pytest.approx(product, rel=1e-12)
    falling = schedule.alpha_bar.diff()
    assert bool((falling <= 0).all())
    assert_close(schedule.log_snr.exp(), schedule.snr)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("T", [1, 2, 10, 1000])
def test_every_schedule_is_float64_and_falls_from_1(make, T):
    schedule = make(T)
    assert schedule.T == T
    assert schedule.beta.dtype == F64
    assert bool((schedule.alpha_bar.diff() < 0).all())
    assert bool((schedule.alpha_bar >= 0).all())


@pytest.mark.parametrize("make", MAKERS)
def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_first_step(make):
    before = make(1000)
    after = zero_terminal_snr(before)
    assert float(after.alpha_bar[-1]) == 0
    assert float(after.beta[-1]) == 1
    assert float(after.snr[-1]) == 0
    assert_close(after.alpha_bar[1], before.alpha_bar[1])


def test_a_later_change_of_the_input_does_not_reach_the_table():
    beta = torch.tensor([0.0, 0.1, 0.2])
    schedule = NoiseSchedule(beta)
    beta[1] = 0.9
    assert float(schedule.beta[1]) == pytest.approx(0.1)


def test_at_gives_each_sample_its_own_entry():
    schedule, like = linear_schedule(10), torch.zeros(3, 1, 2, 2)
    got = at(schedule.beta, torch.tensor([0, 4, 10]), like)
    assert got.shape == (3, 1, 1, 1)
    assert got.dtype == torch.float32
    assert_close(got.flatten(), schedule.beta[[0, 4, 10]].float())
    assert_close(at(schedule.beta, 4, like).flatten(), schedule.beta[[4, 4, 4]].float())


@pytest.mark.parametrize(
    "beta",
    [
        [0.0, 0.1],
        torch.tensor([0, 1]),
        torch.zeros(1),
        torch.zeros(2, 2),
        torch.tensor([0.1, 0.1]),
        torch.tensor([0.0, 0.0]),
        torch.tensor([0.0, -0.1]),
        torch.tensor([0.0, 1.1]),
        torch.tensor([0.0, math.nan]),
        torch.tensor([math.nan, 0.1]),
    ],
)
def test_tables_refuse_what_is_no_beta(beta):
    with pytest.raises(ValueError, match=r"^beta(\[0\]|\[1..T\])? must"):
        NoiseSchedule(beta)


def test_a_first_beta_that_rounds_away_is_refused_and_the_least_one_is_usable():
    """1 - alpha_bar[1] would be 0, and q_posterior and the oracles 0/0."""
    with pytest.raises(ValueError, match=r"^beta\[1\] must be >= 1.2e-16, .* got 1e-20"):
        NoiseSchedule(torch.tensor([0.0, 1e-20, 0.5], dtype=F64))
    least = NoiseSchedule(torch.tensor([0.0, 1.2e-16, 0.5], dtype=F64))
    assert least.alpha_bar[1] < 1
    x = torch.ones(2, 3, dtype=F64)
    for t in (1, 2):
        assert torch.isfinite(q_posterior(x, x, t, schedule=least)[0]).all()


def test_a_list_is_told_how_to_become_a_table():
    with pytest.raises(ValueError, match=r"^beta must .* got list; try: torch.tensor\(beta\)"):
        NoiseSchedule([0, 0.1])


WRONG_SCHEDULES = [
    (1000, "got int; try: linear_schedule"),
    (None, "got NoneType"),
    (cosine_schedule, r"got the function that makes one; try: cosine_schedule\(\)"),
    (linear_schedule(10).alpha_bar, "got Tensor; try: the NoiseSchedule itself"),
]


@pytest.mark.parametrize(("schedule", "says"), WRONG_SCHEDULES)
def test_what_is_no_schedule_is_refused_by_name_everywhere(schedule, says):
    x, one = torch.zeros(2, 3), torch.ones(2, dtype=torch.int64)
    mixture = GaussianMixture([1.0], [[0.0, 0.0, 0.0]], [1.0])

    calls = [
        lambda: check_schedule(schedule),
        lambda: zero_terminal_snr(schedule),
        lambda: q_step(x, 1, x, schedule=schedule),
        lambda: q_sample(x, 1, x, schedule=schedule),
        lambda: q_posterior(x, x, 1, schedule=schedule),
        lambda: x0_from_eps(x, x, 1, schedule=schedule),
        lambda: min_snr_weight(one, schedule=schedule),
        lambda: bound_LT(x, schedule=schedule),
        lambda: bound_Lt(x, x, 2, x, schedule=schedule),
        lambda: bound_L0(x, x, x, schedule=schedule),
        lambda: bound_L0_density(x, x, x, schedule=schedule),
        lambda: predicts_eps(torch.nn.Identity(), schedule),
        lambda: predicts_v(torch.nn.Identity(), schedule),
        lambda: predicts_x0(torch.nn.Identity(), schedule),
        lambda: variational_bound(Denoiser(schedule, lambda xt, t: None), x),
        lambda: MixtureOracle(mixture, schedule=schedule),
        lambda: reverse_posterior(mixture, x[0], 1, schedule=schedule),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"^schedule must be a NoiseSchedule, {says}"):
            call()


def test_a_schedule_is_no_table():
    with pytest.raises(ValueError, match=r"^table must be .* schedule.alpha_bar, got NoiseSched"):
        at(linear_schedule(10), 1, torch.zeros(2))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("T", [0, -1, 2.5, True, "10", None])
def test_schedules_refuse_a_wrong_T_by_name(make, T):
    with pytest.raises(ValueError, match=r"^T must"):
        make(T)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: linear_schedule(10, beta_1=0.0), "beta_1"),
        (lambda: linear_schedule(10, beta_1=0.3, beta_T=0.2), "beta_1"),
        (lambda: linear_schedule(10, beta_T=1.0), "beta_T"),
        (lambda: linear_schedule(10, beta_1=math.nan), "beta_1"),
        (lambda: cosine_schedule(10, s=-0.1), "s must"),
        (lambda: cosine_schedule(10, s=math.nan), "s must"),
        (lambda: cosine_schedule(10, beta_max=0.0), "beta_max"),
        (lambda: cosine_schedule(10, beta_max=math.nan), "beta_max"),
        (lambda: sigmoid_schedule(10, start=1.0, end=1.0), "start"),
        (lambda: sigmoid_schedule(10, start=math.nan), "start"),
        (lambda: sigmoid_schedule(10, end=math.inf), "end"),
        (lambda: cosine_schedule(10, s=math.inf), "s must"),
        (lambda: zero_terminal_snr(linear_schedule(1)), "T >= 2"),
    ],
)
def test_schedules_refuse_wrong_numbers_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call()
