"""The labelled equations of the chapter on changing, filling and restoring, one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from dmlib.applications.inverse import (
    Measurement,
    around_the_guess,
    at_the_guess,
    dps,
    pushed,
    repaint,
    replacement,
    slerp,
)
from dmlib.data import ground_truth_mixture
from dmlib.mixture import GaussianMixture, LowRankMixture, given_measurement
from dmlib.oracle import ConditionalOracle, LowRankOracle, MixtureOracle
from dmlib.parameterization import Guess
from dmlib.schedules import linear_schedule
from dmlib.steps import Move, ddim

F64 = torch.float64
SCHEDULE, TOY = linear_schedule(100, beta_1=1e-3, beta_T=0.15), ground_truth_mixture()
C, Y, STD, T = 0.8, 0.3, 0.4, 40  # y = C x_0 + STD n
A, ONE = torch.tensor([[C]], dtype=F64), torch.tensor([[Y]], dtype=F64)
X0 = torch.linspace(-6, 6, 24001, dtype=F64)
XT = torch.linspace(-1.5, 1.5, 7, dtype=F64)[:, None]


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def normal(x, mean, std):
    return torch.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


def integral(values):
    return values.sum(-1) * float(X0[1] - X0[0])


def likelihood_at(xt):
    """p(y | x_t) by summing over x_0; xt (N, 1)."""
    a, b = SCHEDULE.level(T)
    prior = TOY.log_prob(X0[:, None]).exp() * normal(xt, a * X0, b)  # (N, grid)
    return integral(normal(Y, C * X0, STD) * prior) / integral(prior)


def test_eq_measurement():
    """The residual of what was measured is noise of the stated spread."""
    matrix, x0, n = randn(2, 3), randn(20_000, 3, seed=1), randn(20_000, 2, seed=2)
    r = Measurement(matrix, x0 @ matrix.mT + 0.3 * n, 0.3).residual(x0)
    assert_close(r, 0.3 * n)


def test_eq_measured_posterior():
    product = TOY.log_prob(X0[:, None]).exp() * normal(Y, C * X0, STD)
    found = given_measurement(TOY, A, ONE, STD).log_prob(X0[:, None]).exp()
    assert_close(found, product / integral(product), rtol=0, atol=1e-9)


def test_eq_score_split():
    """The conditional oracle's score is the prior's and the slope of log p(y | x_t)."""
    prior = MixtureOracle(TOY, schedule=SCHEDULE).score(XT, T)
    both = ConditionalOracle(TOY, A, ONE, STD, schedule=SCHEDULE).score(XT, T)
    h = 1e-4
    slope = (likelihood_at(XT + h).log() - likelihood_at(XT - h).log()) / (2 * h)
    assert_close(both[:, 0], prior[:, 0] + slope, rtol=0, atol=1e-5)


def test_eq_likelihood_at_t():
    """Against samples: of pairs (x_0, x_t) near one x_t, how y falls."""
    x0 = TOY.sample(400_000, torch.Generator().manual_seed(0))
    a, b = SCHEDULE.level(T)
    xt = a * x0 + b * randn(len(x0), 1, seed=1)
    for place in (-0.5, 0.4):
        near = x0[(xt - place).abs() < 0.02]
        values = normal(Y, C * near, STD)
        bound = 5 * float(values.std()) / math.sqrt(len(values)) + 0.01
        exact = float(likelihood_at(torch.tensor([[place]], dtype=F64)))
        assert abs(float(values.mean()) - exact) < bound


def test_eq_posterior_mixture():
    """Each heap on its own by Bayes' rule on a grid: its share, mean and variance."""
    found = given_measurement(TOY, A, ONE, STD)
    parts = TOY.weights[:, None] * normal(X0, TOY.means, TOY.stds[:, None]) * normal(Y, C * X0, STD)
    mass = integral(parts)
    mean = integral(parts * X0) / mass
    variance = integral(parts * X0**2) / mass - mean**2
    turn = float(found.axes)  # the axis may point to the left
    assert_close(found.weights[0], mass / mass.sum(), rtol=0, atol=1e-9)
    assert_close(turn * found.means[0, :, 0], mean, rtol=0, atol=1e-9)
    assert_close(found.variances[0, :, 0], variance, rtol=0, atol=1e-9)


def test_eq_push():
    """A push g changes the score by g, and what is said still makes up x_t."""
    prior, direction = MixtureOracle(TOY, schedule=SCHEDULE), 0.7
    found = pushed(prior, lambda xt, t, guess: direction * xt[:, 0])(XT, T)
    a, b = SCHEDULE.level(T)
    assert_close(-found.eps_hat / b, prior.score(XT, T) + direction)
    assert_close(a * found.x0_hat + b * found.eps_hat, XT)


def test_eq_at_the_guess():
    guess = MixtureOracle(TOY, schedule=SCHEDULE)(XT, T)
    found = at_the_guess(Measurement(A, ONE, STD))(XT, T, guess)
    exact = normal(Y, C * guess.x0_hat[:, 0], STD).log()
    assert_close(found - found[0], exact - exact[0])


def test_eq_around_the_guess():
    """For normal data of variance s^2 it is log p(y | x_t), up to a constant."""
    s, x = 0.75, randn(5, 3)
    data = GaussianMixture([1.0], torch.zeros(1, 3), [s])
    matrix, y = randn(2, 3, seed=1), randn(1, 2, seed=2)
    a, b = SCHEDULE.level(T)
    left = b**2 * s**2 / (a**2 * s**2 + b**2)
    mean = a * s**2 / (a**2 * s**2 + b**2) * x @ matrix.mT
    cov = left * matrix @ matrix.mT + STD**2 * torch.eye(2, dtype=F64)
    exact = torch.distributions.MultivariateNormal(mean, cov).log_prob(y)
    likelihood = around_the_guess(Measurement(matrix, y, STD), SCHEDULE, data_std=s)
    found = likelihood(x, T, MixtureOracle(data, schedule=SCHEDULE)(x, T))
    assert_close(found - found[0], exact - exact[0])


def test_eq_put_in():
    """Of all x' with A x' = y it is the nearest to x, by a constrained least squares."""
    matrix, x, y = randn(2, 4), randn(3, 4, seed=1), randn(3, 2, seed=2)
    found = Measurement(matrix, y).put_in(x, y)
    solved = torch.linalg.lstsq(matrix, (y - x @ matrix.mT).mT, driver="gelsd").solution.mT
    assert_close(found, x + solved)


def test_eq_replacement():
    x, noise = randn(3, 4), randn(3, 4, seed=1)
    mask = torch.tensor([True, False, True, False])
    known = Measurement.seen(randn(3, 4, seed=2), mask, STD)
    guess = Guess(randn(3, 4, seed=3), randn(3, 4, seed=4))
    move = Move(SCHEDULE, T, T - 1)
    found = replacement(ddim(), known)(x, guess, noise, move)
    a, b = SCHEDULE.level(T - 1)
    seen = a * known.y + math.sqrt(b**2 - a**2 * STD**2) * noise[:, mask]
    assert_close(found[:, mask], seen)
    assert_close(found[:, ~mask], ddim()(x, guess, noise, move)[:, ~mask])


def test_eq_repaint():
    """What it looks at again is the step's end, noised by the schedule's own beta_t."""
    looked, n = [], 100_000

    def look(x, t):
        looked.append((x, t))
        return Guess(torch.zeros_like(x), torch.zeros_like(x))

    known = Measurement.seen(torch.zeros(n, 2, dtype=F64), torch.tensor([True, False]))
    guess = Guess(torch.ones(n, 2, dtype=F64), torch.zeros(n, 2, dtype=F64))
    rule = repaint(ddim(), known, repeats=2, generator=torch.Generator().manual_seed(0))
    rule(randn(n, 2), guess, randn(n, 2, seed=1), Move(SCHEDULE, T, T - 1, look))
    ((x, t),) = looked
    free = x[:, 1]  # x_prev is a_prev there
    a_prev, _ = SCHEDULE.level(T - 1)
    beta = float(SCHEDULE.beta[T])
    assert t == T
    assert abs(float(free.mean()) - math.sqrt(1 - beta) * a_prev) < 5 * math.sqrt(beta / n)
    assert abs(float(free.std()) / math.sqrt(beta) - 1) < 5 / math.sqrt(2 * n)


def test_eq_dps():
    """The slope by differences, for each sample on its own."""
    prior, known, scale, h = (
        MixtureOracle(TOY, schedule=SCHEDULE),
        Measurement(A, ONE, STD),
        0.6,
        1e-5,
    )
    guess, move = prior(XT, T), Move(SCHEDULE, T, T - 1, prior)
    found = dps(ddim(), known, scale=scale)(XT, guess, None, move)

    def misfit(x):
        return (Y - C * prior(x, T).x0_hat).abs()

    slope = (misfit(XT + h) - misfit(XT - h)) / (2 * h)
    assert_close(found, ddim()(XT, guess, None, move) - scale * slope, rtol=0, atol=1e-6)


def test_eq_slerp():
    """In the plane: the angle goes evenly from one to the other, the length stays."""
    x, y = torch.tensor([[2.0, 0.0]], dtype=F64), torch.tensor([[0.0, 2.0]], dtype=F64)
    for share in (0.0, 0.25, 0.8, 1.0):
        angle = share * math.pi / 2
        exact = torch.tensor([[2 * math.cos(angle), 2 * math.sin(angle)]], dtype=F64)
        assert_close(slerp(x, y, share), exact)


def low_rank(K=3, D=7, R=2):
    """A small mixture, and its covariances (K, D, D) written out."""
    axes = torch.linalg.qr(randn(K, D, R))[0]
    variances, stds = randn(1, K, R, seed=1) ** 2 + 0.1, randn(1, K, seed=2).abs() + 0.2
    weights, means = randn(1, K, seed=3).softmax(1), randn(1, K, D, seed=4)
    within = (axes * variances[0, :, None]) @ axes.mT
    C = within + stds[0, :, None, None] ** 2 * torch.eye(D, dtype=F64)
    return LowRankMixture(weights, means, axes, variances, stds), C


def log_parts(mixture, C, x, rows=slice(None), b2=0.0):
    """log (w_k N(x; m_k, C_k + b2 I)), (N, K), of the values `rows`, by torch."""
    wide = C[:, rows][:, :, rows] + b2 * torch.eye(x.shape[1], dtype=F64)
    normals = MultivariateNormal(mixture.means[0][:, rows], wide)
    return normals.log_prob(x[:, None]) + mixture.weights[0].log()


def test_eq_low_rank():
    """The density against torch's own with the covariance written out; moments of the samples."""
    mixture, C = low_rank()
    x = randn(6, 7, seed=5)
    assert_close(mixture.log_prob(x), log_parts(mixture, C, x).logsumexp(1))
    assert_close(mixture.posterior(x), log_parts(mixture, C, x).softmax(1))
    n = 40_000
    drawn = mixture.repeated(n).sample(torch.Generator().manual_seed(0))
    error = mixture.std() / math.sqrt(n)
    assert ((drawn.mean(0) - mixture.mean()[0]).abs() < 5 * error).all()
    assert_close(drawn.std(0), mixture.std()[0], rtol=0.03, atol=0)


def test_eq_low_rank_guess():
    """The exact guess, by the gradient of the diffused density (Tweedie), t different in each row.

    x_0_hat = (x_t + b^2 grad log q(x_t)) / a, with q written out by torch.
    """
    mixture, C = low_rank()
    t, xt = torch.tensor([1, 40, 100]), randn(3, 7, seed=6).requires_grad_()
    guess = LowRankOracle(mixture, schedule=SCHEDULE)(xt.detach(), t)
    for row, step in enumerate(t.tolist()):
        a, b = SCHEDULE.level(step)
        there = LowRankMixture(
            mixture.weights, a * mixture.means, mixture.axes, mixture.variances, mixture.stds
        )
        log_q = log_parts(there, a**2 * C, xt[row : row + 1], b2=b**2).logsumexp(1).sum()
        (score,) = torch.autograd.grad(log_q, xt)
        expected = (xt.detach()[row] + b**2 * score[row]) / a
        assert_close(guess.x0_hat[row], expected, rtol=1e-7, atol=1e-7)
        assert_close(a * guess.x0_hat[row] + b * guess.eps_hat[row], xt.detach()[row])


@pytest.mark.parametrize("std", [0.0, 0.3])
def test_eq_low_rank_seen(std):
    """p(hidden | y) p(y) = p(hidden, y) at points, with the blocks of the covariance by torch."""
    mixture, C = low_rank()
    seen = torch.tensor([1, 1, 0, 1, 0, 0, 1], dtype=torch.bool)
    y, hidden = randn(4, 4, seed=7), randn(4, 3, seed=8)
    noisy = C + torch.diag_embed(seen.double() * std**2)
    whole = torch.empty(4, 7, dtype=F64)
    whole[:, seen], whole[:, ~seen] = y, hidden
    joint = log_parts(mixture, noisy, whole).logsumexp(1)
    alone = log_parts(mixture, noisy, y, rows=seen).logsumexp(1)
    posterior = mixture.given_seen(seen, y, std)
    assert_close(posterior.log_prob(hidden), joint - alone)
    shares = log_parts(mixture, noisy, y, rows=seen).softmax(1)
    assert_close(posterior.weights, shares)
