"""The labelled equations of the chapter on networks that are shown a picture, one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from dmlib.applications.translation import block_posterior, first_guess, psnr, shrunk
from dmlib.data import garment_mixture
from dmlib.mixture import GaussianMixture, given_measurement
from dmlib.models import predicts_v
from dmlib.parameterization import guess_from_v
from dmlib.schedules import cosine_schedule, zero_terminal_snr

F64 = torch.float64
TOY = GaussianMixture(
    torch.tensor([0.3, 0.7]), torch.tensor([[1.0, 0.2], [-0.6, 0.5]]), torch.tensor([0.3, 0.2])
)
A = torch.tensor([[0.5, 0.5]], dtype=F64)  # the mean of two pixels


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Points of the plane with the mean of their two values near y = 0.1, and p(x_0 | y)."""
    y, std = 0.1, 0.05
    line = torch.linspace(-2.5, 2.5, 401, dtype=F64)
    points = torch.cartesian_prod(line, line)
    weight = TOY.log_prob(points) - ((points.mean(1) - y) / std).square() / 2
    return points, weight.softmax(0)


def test_eq_block_mean():
    x = randn(2, 1, 8, 12)
    y = shrunk(x, 4)
    assert y.shape == (2, 1, 2, 3)
    for i in range(2):
        for r in range(2):
            for c in range(3):
                block = x[i, 0, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4]
                assert_close(y[i, 0, r, c], block.sum() / 16)


def moments(t: int, xt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, P(x_0 | x_t, y) on them, and v for each: numerical integration."""
    points, weight = grid()
    bar = cosine_schedule(100).alpha_bar.double()[t]
    a, b = bar.sqrt(), (1 - bar).sqrt()
    eps = (xt - a * points) / b
    posterior = (weight.log() - eps.square().sum(1) / 2).softmax(0)
    return points, posterior, a * eps - b * points


def test_eq_shown_loss():
    """Of all answers at (x_t, y, t) the mean of v has the least loss: its slope there is 0."""
    _, posterior, v = moments(40, torch.tensor([0.3, -0.4], dtype=F64))
    answer = (posterior[:, None] * v).sum(0).requires_grad_()
    loss = (posterior * (v - answer).square().sum(1)).sum()
    (slope,) = torch.autograd.grad(loss, answer)
    assert_close(slope, torch.zeros(2, dtype=F64), atol=1e-12, rtol=0)
    for off in ([0.1, 0.0], [0.0, -0.1]):
        other = (v - answer.detach() - torch.tensor(off)).square().sum(1)
        assert (posterior * other).sum() > loss


def test_eq_shown_best():
    """x0_hat of the mean v is the mean x_0, by integration and by the mixture's closed form."""
    xt = torch.tensor([[0.3, -0.4]], dtype=F64)
    points, posterior, v = moments(40, xt[0])
    schedule = cosine_schedule(100)
    guess = guess_from_v((posterior[:, None] * v).sum(0)[None], xt, 40, schedule=schedule)
    assert_close(guess.x0_hat[0], (posterior[:, None] * points).sum(0), atol=1e-7, rtol=0)
    bar = schedule.alpha_bar.double()[40]
    seen = torch.cat([bar.sqrt() * torch.eye(2, dtype=F64), A])
    noise = torch.tensor([(1 - bar).sqrt()] * 2 + [0.05], dtype=F64)
    both = torch.cat([xt[0], torch.tensor([0.1], dtype=F64)])
    shares, means = [], []
    for w, m, s in zip(TOY.weights.double(), TOY.means.double(), TOY.stds.double(), strict=True):
        cov = s**2 * seen @ seen.T + torch.diag(noise**2)
        off = both - seen @ m
        shares.append(w.log() - torch.logdet(cov) / 2 - off @ torch.linalg.solve(cov, off) / 2)
        means.append(m + s**2 * seen.T @ torch.linalg.solve(cov, off))
    closed = (torch.stack(shares).softmax(0)[:, None] * torch.stack(means)).sum(0)
    assert_close(guess.x0_hat[0], closed, atol=2e-4, rtol=0)


def test_eq_first_guess():
    """A perfect network at alpha_bar_T = 0: whatever x_T is, E[x_0 | y]; and it takes one call."""
    points, weight = grid()
    mean = (weight[:, None] * points).sum(0)
    schedule, calls = zero_terminal_snr(cosine_schedule(100)), []

    def net(xt, t, y):
        calls.append(t)
        return (-mean).expand_as(xt)  # v = -x_0 where all is noise

    denoiser = predicts_v(net, schedule)
    denoiser.net.config = type("Config", (), {"shape": (2,)})
    found = first_guess(
        denoiser, torch.zeros(3, 1, dtype=F64), generator=torch.Generator().manual_seed(0)
    )
    assert_close(found.double(), mean.expand(3, 2), atol=1e-6, rtol=0)
    assert len(calls) == 1


def test_eq_psnr():
    truth = torch.zeros(2, 1, 3, 3, dtype=F64)
    x = truth.clone()
    x[0] += 0.2
    x[1, 0, 0, 0] = 2.0
    expected = [20 * math.log10(2 / 0.2), 10 * math.log10(4 / (4 / 9))]
    assert_close(psnr(x, truth), torch.tensor(expected, dtype=F64))
    assert psnr(truth, truth).isinf().all()


@pytest.mark.parametrize("n", [1, 4])
def test_eq_three_decibels(n):
    """100,000 exact samples of the toy's posterior: the error is (1 + 1/n) v within 1.5 %."""
    points, weight = grid()
    mean = (weight[:, None] * points).sum(0)
    v = (weight[:, None] * (points - mean).square()).sum() / 2
    y = torch.full((100_000 * (n + 1), 1), 0.1, dtype=F64)
    exact = given_measurement(TOY, A, y, 0.05)
    draws = exact.sample(torch.Generator().manual_seed(0)).view(n + 1, 100_000, 2)
    error = (draws[1:].mean(0) - draws[0]).square().mean()
    assert_close(error, (1 + 1 / n) * v, rtol=0.015, atol=0)
    assert_close((draws[0] - mean).square().mean(), v, rtol=0.015, atol=0)


def test_eq_block_turn():
    """Q is orthonormal with a constant first row; the posterior has the means, and is exact."""
    mixture = garment_mixture()
    g = torch.Generator().manual_seed(0)
    x = mixture.repeated(3).sample(g).view(3, 1, 28, 28)
    posterior = block_posterior(mixture, shrunk(x))
    Q = posterior.turn
    assert_close(Q.mT @ Q, torch.eye(16, dtype=F64), atol=1e-12, rtol=0)
    assert_close(Q[0], torch.full((16,), 0.25, dtype=F64))
    for found in (posterior.mean(), posterior.sample(g)):
        assert_close(shrunk(found), shrunk(x), atol=1e-12, rtol=0)
    # Against a single Gaussian in full, 784 x 784: the mean of the most likely component.
    k = int(posterior.hidden.weights[0].argmax())
    V, s = mixture.axes[k], mixture.stds[0, k]
    cov = V @ torch.diag(mixture.variances[0, k]) @ V.mT + s**2 * torch.eye(784, dtype=F64)
    M = shrunk(torch.eye(784, dtype=F64).view(784, 1, 28, 28)).flatten(1).mT  # (49, 784)
    m = mixture.means[0, k]
    gain = torch.linalg.solve(M @ cov @ M.mT, M @ cov).mT
    full = m + gain @ (shrunk(x)[0].flatten() - M @ m)
    alone = type(mixture)(
        torch.ones(1, 1, dtype=F64), m[None, None], V[None],
        mixture.variances[:1, k : k + 1], s.view(1, 1),
    )  # fmt: skip
    found = block_posterior(alone, shrunk(x[:1])).mean().flatten()
    assert_close(found, full, atol=1e-9, rtol=0)
