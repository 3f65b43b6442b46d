"""Numerical checks of chapter 5's labelled equations."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from dmlib.data import ground_truth_mixture
from dmlib.guidance import guided
from dmlib.metrics import FeatureStats, frechet_distance
from dmlib.mixture import GaussianMixture
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import Guess
from dmlib.sampling import generate
from dmlib.schedules import cosine_schedule, linear_schedule
from dmlib.steps import Move, ddim, dpm_solver, heun
from dmlib.training.ema import EMA

SCHEDULE = cosine_schedule(1000)
ORACLE = MixtureOracle(ground_truth_mixture(), schedule=SCHEDULE)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


class Weight(nn.Module):
    """One number that is trained."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([value], dtype=torch.float64))


def test_eq_ema():
    """Thirty updates of EMA equal the recursion written out, with its early d_n."""
    net = Weight(0.0)
    ema, expected = EMA(net, decay=0.7), 0.0
    for n in range(1, 31):
        net.theta.data.fill_(math.sin(n))
        ema.update(net)
        d = min(0.7, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * math.sin(n)
    assert ema.net.theta.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("d", [0.5, 0.9])
def test_eq_ema_noise(d):
    """Of 4,000 averages of unit noise (seed 0); five standard errors of a variance, sqrt(2/n)."""
    average = torch.zeros(4000, dtype=torch.float64)
    for theta in noise(200, 4000):
        average = d * average + (1 - d) * theta
    expected = (1 - d) / (1 + d)
    assert abs(average.var().item() / expected - 1) < 5 * math.sqrt(2 / 4000)
    # and the series itself, without luck
    weights = (1 - d) * d ** torch.arange(2000, dtype=torch.float64)
    assert weights.square().sum().item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", [SCHEDULE, linear_schedule(1000)], ids=lambda s: s.name)
def test_eq_half_log_snr(schedule):
    bar = schedule.alpha_bar[1:]
    torch.testing.assert_close(schedule.log_snr[1:] / 2, (bar.sqrt() / (1 - bar).sqrt()).log())


def half_log_snr(t: int) -> float:
    return SCHEDULE.log_snr[t].item() / 2


def test_eq_ode_solution():
    """Along a path of small DDIM steps the integral (trapezoids) gives the path's end."""
    path, xt = [], noise(50, 1)
    for t, s in pairwise(range(600, 299, -1)):
        guess = ORACLE(xt, t)
        bar = SCHEDULE.alpha_bar[t]
        path.append((half_log_snr(t), (xt - (1 - bar).sqrt() * guess.eps_hat) / bar.sqrt()))
        if t == 600:
            start = xt
        xt = ddim()(xt, guess, None, Move(SCHEDULE, t, s))
    bar = SCHEDULE.alpha_bar[300]
    path.append((half_log_snr(300), (xt - (1 - bar).sqrt() * ORACLE(xt, 300).eps_hat) / bar.sqrt()))
    integral = sum(
        (b - a) * (math.exp(a) * x + math.exp(b) * z) / 2 for (a, x), (b, z) in pairwise(path)
    )
    sigma_s, sigma_t = (1 - bar).sqrt(), (1 - SCHEDULE.alpha_bar[600]).sqrt()
    torch.testing.assert_close(
        sigma_s / sigma_t * start + sigma_s * integral, xt, rtol=0, atol=2e-3
    )


def test_eq_dpm_solver():
    """Two steps of the solver equal the formula; the second one uses the first one's guess."""
    times, x = [700, 500, 350], noise(20, 1)
    rule, before, h_before, last = dpm_solver(), None, None, None
    for t, s in pairwise(times):
        guess = ORACLE(x, t)
        bar_t, bar_s = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[s]
        x0_hat = (x - (1 - bar_t).sqrt() * guess.eps_hat) / bar_t.sqrt()
        h = half_log_snr(s) - half_log_snr(t)
        D = x0_hat
        if before is not None:
            r = h_before / h
            D = x0_hat + (x0_hat - before) / (2 * r)
        linear = (1 - bar_s).sqrt() / (1 - bar_t).sqrt() * x
        formula = linear - bar_s.sqrt() * (math.exp(-h) - 1) * D
        x = rule(x, guess, None, Move(SCHEDULE, t, s, before=last))
        torch.testing.assert_close(x, formula)
        before, h_before, last = x0_hat, h, (t, guess)


def test_dpm_solver_and_heun_gain_an_order_on_ddim():
    """With half the step the error of a second-order rule falls faster than the first-order's."""
    xT = noise(200, 1)

    def look(x, t):
        return ORACLE(x, t)

    def end(rule, n):
        x, before = xT, None
        for t, s in pairwise(range(900, 299, -600 // n)):
            guess = ORACLE(x, t)
            x, before = rule(x, guess, None, Move(SCHEDULE, t, s, look, before)), (t, guess)
        return x

    truth = end(heun(), 300)
    gain = {}
    for rule in (ddim, dpm_solver, heun):
        a, b = ((end(rule(), n) - truth).abs().mean().item() for n in (10, 20))
        gain[rule] = a / b
    assert 1.6 < gain[ddim] < 2.6
    assert gain[dpm_solver] > 3
    assert gain[heun] > 3


def test_eq_heun():
    """The integral of eq-ode-solution over the straight line between two guesses, by quadrature.

    And in the time sigma, for one Gaussian whose slope is known, the trapezoid rule written out.
    """
    m, s2, t, t_prev = 0.7, 0.3**2, 600, 450
    oracle = MixtureOracle(GaussianMixture([1.0], [[m]], [s2**0.5]), schedule=SCHEDULE)
    (a, b), (a_s, b_s) = SCHEDULE.level(t), SCHEDULE.level(t_prev)
    xt = noise(50, 1)
    guess = oracle(xt, t)
    ahead = a_s * guess.x0_hat + b_s * guess.eps_hat
    again = oracle(ahead, t_prev).x0_hat
    low, high = math.log(a / b), math.log(a_s / b_s)
    time = torch.linspace(low, high, 20_001, dtype=torch.float64)
    line = guess.x0_hat + (time - low) / (high - low) * (again - guess.x0_hat)  # (50, times)
    formula = b_s / b * xt + b_s * torch.trapezoid(time.exp() * line, time)[:, None]
    found = heun()(xt, guess, None, Move(SCHEDULE, t, t_prev, oracle))
    torch.testing.assert_close(found, formula, rtol=1e-7, atol=1e-7)
    assert (ahead - formula).abs().max() > 1e-3  # the second look matters
    # z = x/a = x_0 + sigma eps: dz/d sigma = sigma (z - m) / (s^2 + sigma^2).
    z, sigma, sigma_s = xt / a, b / a, b_s / a_s

    def slope(z, sigma):
        return sigma * (z - m) / (s2 + sigma**2)

    euler = z + (sigma_s - sigma) * slope(z, sigma)
    mean_slope = (slope(z, sigma) + slope(euler, sigma_s)) / 2
    found = heun("sigma")(xt, guess, None, Move(SCHEDULE, t, t_prev, oracle))
    torch.testing.assert_close(found, a_s * (z + (sigma_s - sigma) * mean_slope))


HEAPS = {k: GaussianMixture([1.0], [[m]], [0.45]) for k, m in ((0, -1.0), (1, 1.5))}
BOTH = GaussianMixture([0.5, 0.5], [[-1.0], [1.5]], [0.45, 0.45])


class Exact:
    """A perfect denoiser of two classes: heap 0, heap 1, or both."""

    path, num_classes = SCHEDULE, 2

    def __call__(self, xt: torch.Tensor, t, y: torch.Tensor | None = None) -> Guess:
        if y is None:
            return MixtureOracle(BOTH, schedule=SCHEDULE)(xt, t)
        answers = [MixtureOracle(HEAPS[k], schedule=SCHEDULE)(xt, t) for k in (0, 1)]
        return Guess(*(torch.where(y[:, None] == 0, *both) for both in zip(*answers, strict=True)))


exact = Exact()


def test_eq_guidance_bayes():
    """The difference of the two scores is the gradient of the class's log probability."""
    t, bar = 400, SCHEDULE.alpha_bar[400].item()
    xt = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].requires_grad_()
    logs = [HEAPS[k].diffused(bar).log_prob(xt) for k in (0, 1)]
    (logs[1] - torch.logaddexp(*logs)).sum().backward()  # log p(y = 1 | x_t), equal priors
    with torch.no_grad():
        ones = torch.ones(9, dtype=torch.int64)
        difference = exact(xt, t, ones).eps_hat - exact(xt, t).eps_hat
    torch.testing.assert_close(xt.grad, -difference / math.sqrt(1 - bar))


@pytest.mark.parametrize("w", [0.0, 0.5, 1.0, 3.0])
def test_eq_guidance(w):
    xt, y, t = noise(6, 1), torch.tensor([0, 1, 0, 1, 1, 0]), 300
    none, some = exact(xt, t), exact(xt, t, y)
    found = guided(exact, y, guidance_scale=w)(xt, t)
    for asked, free, told in zip(found, none, some, strict=True):  # x0_hat and eps_hat
        torch.testing.assert_close(asked, free + w * (told - free))


def test_guided_samples_are_not_those_of_the_tilted_density():
    """Chapter 5: each guided score is right at its t, and yet the samples are another thing."""
    toy, schedule = ground_truth_mixture(), cosine_schedule(1000)
    heap = GaussianMixture(torch.ones(1), toy.means[1:], toy.stds[1:])
    both, right = MixtureOracle(toy, schedule=schedule), MixtureOracle(heap, schedule=schedule)
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64)[:, None]
    for w, differs in ((1.0, False), (3.0, True)):
        tilted = (toy.log_prob(grid) * (1 - w) + w * heap.log_prob(grid)).softmax(0)
        mean = float((tilted * grid[:, 0]).sum())
        x, bar = noise(5000, 1), schedule.alpha_bar
        for t, s in zip(range(1000, 0, -5), range(995, -1, -5), strict=True):
            score = (1 - w) * both.score(x, t) + w * right.score(x, t)
            x0_hat = (x + (1 - bar[t]) * score) / bar[t].sqrt()
            x = bar[s].sqrt() * x0_hat - ((1 - bar[s]) * (1 - bar[t])).sqrt() * score
        # n = 5000, std 0.35: the mean has a standard error of 0.005.
        assert (abs(float(x.mean()) - mean) > 0.15) == differs
        assert (float(x.std()) < 0.28) == differs


def test_guidance_makes_samples_more_typical():
    """Heap 1 stands at the right: with w = 3 its samples keep away from the other heap."""
    ends = {}
    for w in (1.0, 3.0):
        denoiser = guided(exact, 1, guidance_scale=w)
        ends[w] = generate(denoiser, noise(500, 1), times=40)
    assert ends[3.0].min() > ends[1.0].min() + 0.2
    assert ends[3.0].std() < ends[1.0].std()


def test_eq_frechet():
    """Against the formula with matrix roots by eigenvalues, on features with known moments."""
    a = noise(500, 4) @ noise(4, 4, seed=1)
    b = noise(600, 4, seed=2) @ noise(4, 4, seed=3) + 0.7

    def root(C: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(C)
        return vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T

    A, B = FeatureStats.of(a), FeatureStats.of(b)
    cross = root(root(A.cov) @ B.cov @ root(A.cov))
    formula = (A.mean - B.mean).square().sum() + (A.cov + B.cov - 2 * cross).trace()
    assert frechet_distance(a, b) == pytest.approx(formula.item(), rel=1e-9)
