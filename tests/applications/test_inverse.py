"""Restoring: each method against what it must be exactly somewhere, and against the posterior."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from dmlib.applications.inverse import (
    Measurement,
    around_the_guess,
    at_the_guess,
    ddnm,
    dps,
    invert,
    pushed,
    repaint,
    replacement,
    sdedit,
    slerp,
)
from dmlib.continuous import DiffusionPath
from dmlib.data import ground_truth_mixture, ring_of_heaps
from dmlib.mixture import GaussianMixture
from dmlib.oracle import ConditionalOracle, MixtureOracle
from dmlib.parameterization import Denoiser, Guess
from dmlib.sampling import generate
from dmlib.schedules import cosine_schedule, linear_schedule
from dmlib.steps import Move, ddim, ddpm

F64 = torch.float64
SCHEDULE = linear_schedule(100, beta_1=1e-3, beta_T=0.15)
A = torch.tensor([[1.0, 0.5, -0.3], [0.2, -1.0, 0.7]], dtype=F64)
NORMAL = GaussianMixture([1.0], torch.zeros(1, 3), [1.0])
HEAPS = GaussianMixture([0.25, 0.75], [[1.0, -1.0, 0.5], [-0.5, 0.75, 0.25]], [0.5, 0.75])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=generator(seed))


def likelihood_of(mixture, measurement, schedule):
    """The exact log p(y | x_t) by another way: log p(x_t, y) - log p(x_t), as joint normals."""

    def joint(x, t, both):
        a, b = schedule.level(int(t))
        D, M = mixture.D, len(measurement.A)
        logs = []
        for w, m, s in zip(mixture.weights, mixture.means, mixture.stds, strict=True):
            to = (
                torch.cat([a * torch.eye(D, dtype=F64), measurement.A])
                if both
                else (a * torch.eye(D, dtype=F64))
            )
            noise = [b**2] * D + ([measurement.std**2] * M if both else [])
            cov = s**2 * to @ to.mT + torch.diag(torch.tensor(noise, dtype=F64))
            point = torch.cat([x, measurement.y.expand(len(x), M)], 1) if both else x
            normal = torch.distributions.MultivariateNormal(to @ m, cov)
            logs.append(w.log() + normal.log_prob(point))
        return torch.stack(logs).logsumexp(0)

    return lambda x, t, guess: joint(x, t, True) - joint(x, t, False)


@pytest.mark.parametrize("t", [1, 30, 99])
def test_pushed_by_the_exact_likelihood_is_the_conditional_oracle(t):
    measurement = Measurement(A, randn(1, 2, seed=3), 0.3)
    oracle = MixtureOracle(HEAPS, schedule=SCHEDULE)
    xt = randn(5, 3)
    found = pushed(oracle, likelihood_of(HEAPS, measurement, SCHEDULE))(xt, t)
    exact = ConditionalOracle(HEAPS, A, measurement.y, 0.3, schedule=SCHEDULE)(xt, t)
    assert_close(found.x0_hat, exact.x0_hat, rtol=0, atol=1e-8)
    assert_close(found.eps_hat, exact.eps_hat, rtol=0, atol=1e-8)


@pytest.mark.parametrize("data_std", [1.0, 0.4])
def test_pseudo_inverse_guidance_is_exact_for_normal_data(data_std):
    data = GaussianMixture([1.0], torch.zeros(1, 3), torch.tensor([data_std], dtype=F64))
    measurement = Measurement(A, randn(5, 2, seed=3), 0.3)
    likelihood = around_the_guess(measurement, SCHEDULE, data_std=data_std)
    xt = randn(5, 3)
    for t in (1, 30, 99):
        found = pushed(MixtureOracle(data, schedule=SCHEDULE), likelihood)(xt, t)
        exact = ConditionalOracle(data, A, measurement.y, 0.3, schedule=SCHEDULE)(xt, t)
        assert_close(found, exact, rtol=0, atol=1e-9)


def test_the_likelihood_at_the_guess_is_right_where_x0_is_known_and_too_steep_where_not():
    measurement = Measurement(A, randn(5, 2, seed=3), 0.3)
    xt = randn(5, 3)
    base = MixtureOracle(NORMAL, schedule=SCHEDULE)
    exact = ConditionalOracle(NORMAL, A, measurement.y, 0.3, schedule=SCHEDULE)
    push = {}
    for t in (1, 60):
        plain, known = base(xt, t).eps_hat, exact(xt, t).eps_hat
        found = pushed(base, at_the_guess(measurement))(xt, t).eps_hat
        push[t] = float(((found - plain) * (known - plain)).sum() / (known - plain).square().sum())
    assert abs(push[1] - 1) < 0.03
    assert push[60] > 5


def test_dps_goes_down_the_slope_of_the_misfit():
    """For normal data x0_hat = a x_t, so that the slope is known: -a A^T r / ||r||."""
    measurement = Measurement(A, randn(5, 2, seed=3), 0.3)
    base, xt, noise, t = (
        MixtureOracle(NORMAL, schedule=SCHEDULE),
        randn(5, 3),
        randn(5, 3, seed=1),
        40,
    )
    move = Move(SCHEDULE, t, t - 1, base)
    plain = ddpm()(xt, base(xt, t), noise, move)
    found = dps(ddpm(), measurement, scale=0.7)(xt, base(xt, t), noise, move)
    a, _ = SCHEDULE.level(t)
    r = measurement.y - a * xt @ A.mT
    assert_close(found, plain + 0.7 * a * (r @ A) / r.norm(dim=1, keepdim=True))


def test_the_papers_dps_is_twice_the_codes():
    """zeta / ||r|| times the slope of ||r||^2 is 2 zeta times the slope of ||r||."""
    x = randn(4, 3).requires_grad_()
    r = (randn(4, 2, seed=1) - x @ A.mT).norm(dim=1)
    (of_norm,) = torch.autograd.grad(r.sum(), x, retain_graph=True)
    (of_square,) = torch.autograd.grad(r.square().sum(), x)
    assert_close(of_square / r.detach()[:, None], 2 * of_norm)


def test_replaced_values_have_the_level_of_x_prev():
    """Mean a y and variance b^2, in what is seen; with noisy y, its noise is part of b^2."""
    x0, n, t = torch.tensor([[0.7, -0.2, 0.4]], dtype=F64), 40_000, 60
    mask = torch.tensor([True, False, True])
    a, b = SCHEDULE.level(t - 1)
    for std in (0.0, 0.4):
        y = x0 + std * randn(n, 3, seed=5)
        rule = replacement(ddpm(), Measurement.seen(y, mask, std))
        xt, noise = randn(n, 3, seed=1), randn(n, 3, seed=2)
        guess = Guess(torch.zeros(n, 3, dtype=F64), xt)
        move = Move(SCHEDULE, t, t - 1)
        found, plain = rule(xt, guess, noise, move), ddpm()(xt, guess, noise, move)
        assert_close(found[:, 1], plain[:, 1])
        seen = found[:, mask]
        bound = 5 * b / math.sqrt(n)
        assert float((seen.mean(0) - a * x0[0, mask]).abs().max()) < bound
        assert float((seen.std(0) - b).abs().max()) < bound


def test_replacement_ends_at_y_and_stops_below_the_noise_of_y():
    x0, xt = randn(4, 3), randn(4, 3, seed=1)
    mask = torch.tensor([True, False, True])
    guess = Guess(torch.zeros(4, 3, dtype=F64), xt)
    end = Move(SCHEDULE, 1, 0)
    found = replacement(ddim(), Measurement.seen(x0, mask))(xt, guess, None, end)
    assert_close(found[:, mask], x0[:, mask])
    found = replacement(ddim(), Measurement.seen(x0, mask, 0.5))(xt, guess, None, end)
    assert_close(found, ddim()(xt, guess, None, end))


def test_repaint_goes_up_by_the_forward_process():
    """With nothing but the repeats: x_t that is noised again has q(x_t | x_prev)'s moments."""
    n, t = 40_000, 60
    seen = []

    def look(x, t):
        seen.append(x)
        return Guess(torch.zeros_like(x), torch.zeros_like(x))

    mask = torch.tensor([True, False])
    known = Measurement.seen(torch.full((n, 2), 0.5, dtype=F64), mask)
    rule = repaint(ddim(), known, repeats=3, generator=generator())
    xt = randn(n, 2, seed=1)
    move = Move(SCHEDULE, t, t - 1, look)
    rule(xt, Guess(torch.ones_like(xt), torch.zeros_like(xt)), randn(n, 2, seed=2), move)
    assert len(seen) == 2  # and the walk's own look: three in all
    (a, b), (a_prev, b_prev) = SCHEDULE.level(t), SCHEDULE.level(t - 1)
    up = seen[0]
    bound = 5 / math.sqrt(n)
    # seen: a y in mean and b in spread; behind the hole x_prev = a_prev, so a and one step's noise
    assert abs(float(up[:, 0].mean()) - a * 0.5) < bound
    assert abs(float(up[:, 0].std()) - b) < bound
    assert abs(float(up[:, 1].mean()) - a) < bound
    assert abs(float(up[:, 1].std()) - math.sqrt(SCHEDULE.beta[t])) < bound
    assert a_prev > a
    assert b_prev < b


def test_repaint_once_is_replacement_and_the_last_step_is_taken_once():
    known = Measurement.seen(randn(4, 3), torch.tensor([True, False, True]))
    xt, noise = randn(4, 3, seed=1), randn(4, 3, seed=2)
    guess = Guess(torch.zeros(4, 3, dtype=F64), xt)

    def never(x, t):
        raise AssertionError("it looks again")

    for repeats, t in ((1, 50), (4, 1)):
        move = Move(SCHEDULE, t, t - 1, never)
        found = repaint(ddpm(), known, repeats=repeats)(xt, guess, noise, move)
        assert_close(found, replacement(ddpm(), known)(xt, guess, noise, move))
    # b_prev is 0.06 here, less than the noise of y, so nothing is put in and nothing repeated
    noisy = Measurement.seen(randn(4, 3), torch.tensor([True, False, True]), 0.2)
    move = Move(SCHEDULE, 3, 2, never)
    found = repaint(ddpm(), noisy, repeats=4)(xt, guess, noise, move)
    assert_close(found, ddpm()(xt, guess, noise, move))


def test_what_is_put_in_is_measured_and_the_rest_is_left():
    y, x = randn(4, 2), randn(4, 3, seed=1)
    measurement = Measurement(A, y)
    found = measurement.put_in(x, y)
    assert_close(measurement.residual(found), torch.zeros(4, 2, dtype=F64), rtol=0, atol=1e-12)
    hidden = torch.linalg.svd(A)[2][2]  # what A does not see
    assert_close((found - x) @ hidden, torch.zeros(4, dtype=F64), rtol=0, atol=1e-12)


def test_ddnm_fits_a_measurement_without_noise():
    y, xt = randn(4, 2), randn(4, 3, seed=1)
    base = MixtureOracle(HEAPS, schedule=SCHEDULE)
    guess = ddnm(base, Measurement(A, y))(xt, 50)
    assert_close(guess.x0_hat @ A.mT, y)
    assert_close(guess.eps_hat, base(xt, 50).eps_hat)


def test_seen_picks_the_pixels_of_the_mask():
    x0, mask = randn(2, 1, 3, 3), torch.rand(1, 3, 3, generator=generator(4)) < 0.5
    measurement = Measurement.seen(x0, mask, 0.1)
    assert_close(measurement.y, x0[:, mask])
    assert_close(measurement.residual(x0), torch.zeros_like(measurement.y))
    assert_close(measurement.put_in(0 * x0, measurement.y), torch.where(mask, x0, 0 * x0))


def test_no_method_but_the_exact_one_samples_the_posterior_of_the_ring():
    """Eight measurements, n = 200 particles each; shares of heaps by the nearest one."""
    ring, n = ring_of_heaps(), 200
    look = torch.tensor([[1.0, 0.0]], dtype=F64)
    y = ring.sample(8, generator(0)) @ look.mT + 0.05 * randn(8, 1, seed=3)
    y = y.repeat_interleave(n, 0)
    known, schedule = Measurement(look, y, 0.05), cosine_schedule(1000)
    exact = ConditionalOracle(ring, look, y, 0.05, schedule=schedule)
    base = MixtureOracle(ring, schedule=schedule)

    def distance(x):
        heap = torch.cdist(x, ring.means).argmin(1).view(8, n)
        share = torch.nn.functional.one_hot(heap, 8).double().mean(1)
        return float((share - exact.posterior.weights[::n]).abs().sum(1).mean() / 2)

    xT, g = randn(len(y), 2, seed=1), generator(2)
    assert distance(exact.posterior.sample(g)) < 0.03
    assert distance(generate(exact, xT, step=ddpm(), times=60, generator=g)) < 0.03
    for rule in (replacement(ddpm(), known), repaint(ddpm(), known, repeats=3, generator=g)):
        assert distance(generate(base, xT, step=rule, times=60, generator=g)) > 0.2
    rule = dps(ddpm(), known)
    assert distance(generate(base, xT, step=rule, times=60, generator=g)) > 0.2
    push = pushed(base, around_the_guess(known, schedule))
    assert distance(generate(push, xT, step=ddpm(), times=60, generator=g)) > 0.2


def test_sdedit_from_the_end_forgets_and_from_the_start_keeps():
    """Two heaps at -3 and 3: a start at t = 1 keeps the heap, one at T draws it anew."""
    heaps = GaussianMixture([0.5, 0.5], [[-3.0], [3.0]], [0.2, 0.2])
    oracle, x0 = MixtureOracle(heaps, schedule=SCHEDULE), torch.full((2000, 1), 3.0, dtype=F64)
    kept = sdedit(oracle, x0, start=5, steps=5, generator=generator())
    assert float((kept > 0).double().mean()) == 1
    new = sdedit(oracle, x0, start=100, steps=100, generator=generator())
    assert abs(float((new > 0).double().mean()) - 0.5) < 5 * 0.5 / math.sqrt(2000)


def test_sdedit_starts_at_the_kernel():
    asked = []

    def look(xt, t):
        asked.append((int(t[0]), xt))
        return Guess(torch.zeros_like(xt), torch.zeros_like(xt))

    x0 = torch.full((20_000, 1), 2.0, dtype=F64)
    sdedit(Denoiser(SCHEDULE, look), x0, start=40, steps=4, generator=generator())
    a, b = SCHEDULE.level(40)
    assert [t for t, _ in asked] == [40, 30, 20, 10]
    assert abs(float(asked[0][1].mean()) - 2 * a) < 5 * b / math.sqrt(20_000)
    assert abs(float(asked[0][1].std()) - b) < 5 * b / math.sqrt(20_000)


@pytest.mark.parametrize("path", [SCHEDULE, DiffusionPath()], ids=["steps", "continuous"])
def test_inversion_finds_the_noise_of_the_exact_map_and_comes_back(path):
    """In one dimension the flow carries quantile to quantile, upwards too (eq-quantile-map)."""
    toy, u = ground_truth_mixture(), torch.linspace(0.04, 0.94, 19, dtype=F64)  # 0.3 is the gap
    oracle, x0 = MixtureOracle(toy, schedule=path), toy.quantile(u)
    xT = invert(oracle, x0, times=100)
    assert_close(xT, toy.mixed(*path.level(path.end)).quantile(u), rtol=0, atol=0.08)
    assert_close(generate(oracle, xT, times=100), x0, rtol=0, atol=0.1)


def test_inversion_by_two_steps_is_what_the_formula_says():
    """For data N(0, 1) x0_hat = a x and eps_hat = b x, on the way up as well."""
    x0, (a, b), (a_end, b_end) = randn(4, 3), SCHEDULE.level(50), SCHEDULE.level(100)
    first = a * x0 + b * (b * a * x0)
    exact = a_end * (a * first) + b_end * (b * first)
    assert_close(invert(MixtureOracle(NORMAL, schedule=SCHEDULE), x0, times=2), exact)


def test_slerp_keeps_the_length_and_halves_the_angle():
    x, y = randn(3, 1, 20, 20), randn(3, 1, 20, 20, seed=1)
    x, y = (z / z.flatten(1).norm(dim=1).view(3, 1, 1, 1) for z in (x, y))
    middle = slerp(x, y, 0.5)
    assert_close(middle.flatten(1).norm(dim=1), torch.ones(3, dtype=F64))
    assert_close(middle, (x + y) / (x + y).flatten(1).norm(dim=1).view(3, 1, 1, 1))
    assert_close(slerp(x, y, 0.0), x)
    assert_close(slerp(x, y, 1.0), y)
    assert_close(slerp(x, x, 0.3), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Measurement(A, randn(4, 3)), "A must be"),
        (lambda: Measurement(A, randn(4, 2), -1.0), "std must be"),
        (lambda: Measurement.seen(randn(2, 3), torch.ones(3)), "mask must be bool"),
        (lambda: Measurement.seen(randn(2, 3), torch.zeros(3).bool()), "mask must be True"),
        (lambda: Measurement(A, randn(4, 2)).residual(randn(4, 5)), "x must have 3 values"),
        (lambda: at_the_guess(Measurement(A, randn(4, 2))), "std must be"),
        (lambda: repaint(ddpm(), Measurement(A, randn(4, 2)), repeats=0), "repeats must be"),
        (lambda: dps(ddpm(), Measurement(A, randn(4, 2)), scale=math.inf), "scale must be"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
