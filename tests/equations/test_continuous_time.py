"""The labelled equations of the chapter on continuous time, checked one by one."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from dmlib.continuous import (
    DiffusionPath,
    GrowingNoise,
    StraightPath,
    along,
    edm_weights,
    euler,
    velocity_from_guess,
)
from dmlib.data import ground_truth_mixture, ground_truth_mixture_2d
from dmlib.guidance import guided
from dmlib.mixture import GaussianMixture
from dmlib.models import predicts_v, predicts_velocity
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import Guess
from dmlib.sampling import generate
from dmlib.schedules import cosine_schedule
from dmlib.steps import Move, ddim, heun

F64 = torch.float64
TOY, PATH = ground_truth_mixture(), DiffusionPath()


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def density(x, s):
    return TOY.mixed(*PATH.level(s)).log_prob(x[:, None]).exp()


def score(x, s):
    return TOY.mixed(*PATH.level(s)).score(x[:, None])[:, 0]


def derivative(f, x, h=1e-4):
    return (f(x + h) - f(x - h)) / (2 * h)


GRID = torch.linspace(-2.5, 2.5, 41, dtype=F64)


def test_eq_sde():
    """Moments of one small step: mean -beta/2 x ds, variance beta ds, against the kernel's own."""
    s, ds = 0.4, 1e-5
    (a, b), (a_1, b_1) = PATH.level(s), PATH.level(s + ds)
    shrink = a_1 / a  # q(x_{s+ds} | x_s) = N(shrink x_s, b_1^2 - shrink^2 b^2)
    assert math.isclose((shrink - 1) / ds, -PATH.beta(s) / 2, rel_tol=1e-3)
    assert math.isclose((b_1**2 - shrink**2 * b**2) / ds, PATH.beta(s), rel_tol=1e-3)


def test_eq_fokker_planck():
    """Both sides by finite differences of the toy's exact density."""
    s, h = 0.3, 1e-5
    left = (density(GRID, s + h) - density(GRID, s - h)) / (2 * h)
    beta = PATH.beta(s)
    flux = derivative(lambda x: -beta / 2 * x * density(x, s), GRID)
    second = (density(GRID + 1e-3, s) - 2 * density(GRID, s) + density(GRID - 1e-3, s)) / 1e-6
    assert_close(left, -flux + beta / 2 * second, rtol=0, atol=1e-3)


def test_eq_pf_ode():
    """The oracle's velocity is f - g^2/2 score, and it alone moves the density."""
    s, beta = 0.3, PATH.beta(0.3)
    u = velocity_from_guess(MixtureOracle(TOY, schedule=PATH)(GRID[:, None], s), s, path=PATH)
    assert_close(u[:, 0], -beta / 2 * GRID - beta / 2 * score(GRID, s))
    left = (density(GRID, s + 1e-5) - density(GRID, s - 1e-5)) / 2e-5
    flow = derivative(lambda x: (-beta / 2 * x - beta / 2 * score(x, s)) * density(x, s), GRID)
    assert_close(left, -flow, rtol=0, atol=1e-3)


def test_eq_reverse_family():
    """`euler(c)` takes the drift f - (1 + c^2)/2 g^2 score backwards and adds c g sqrt(ds) z."""
    s, ds, z = 0.5, 1e-3, randn(41, 1)
    beta, x = PATH.beta(s), GRID[:, None]
    guess = MixtureOracle(TOY, schedule=PATH)(x, s)
    for c in (0.0, 0.7, 1.0, 1.5):
        drift = -beta / 2 * x - (1 + c**2) / 2 * beta * score(GRID, s)[:, None]
        expected = x - ds * drift + c * math.sqrt(beta * ds) * z
        assert_close(euler(c)(x, guess, z, Move(PATH, s, s - ds)), expected)


def test_eq_quantile_map():
    """The ODE, solved finely from s = 1, lands on F_0^-1(F_1(x))."""
    start = TOY.mixed(*PATH.level(1.0)).quantile(torch.tensor([0.1, 0.5, 0.9], dtype=F64))
    law = TOY.mixed(*PATH.level(1.0))
    x0 = generate(MixtureOracle(TOY, schedule=PATH), start, step=heun(), times=1500)
    assert_close(x0, TOY.quantile(law.cdf(start)), rtol=0, atol=1e-3)


def test_eq_ddim_ode():
    """d(x/a)/d sigma = eps_hat along the flow, and DDIM is its step of Euler."""
    s, h, x = 0.4, 1e-6, GRID[:, None]
    oracle = MixtureOracle(TOY, schedule=PATH)
    guess = oracle(x, s)
    (a, b), (a_1, b_1) = PATH.level(s), PATH.level(s + h)
    moved = x + h * velocity_from_guess(guess, s, path=PATH)
    slope = (moved / a_1 - x / a) / (b_1 / a_1 - b / a)
    assert_close(slope, guess.eps_hat, rtol=1e-4, atol=1e-4)
    a_p, b_p = PATH.level(0.2)
    by_euler = a_p * (x / a + (b_p / a_p - b / a) * guess.eps_hat)
    assert_close(ddim()(x, guess, None, Move(PATH, s, 0.2)), by_euler)


def test_eq_change_of_variables():
    """d/ds ln p_s(x_s) along the flow is minus the divergence of u."""
    s, h, x = 0.35, 1e-5, GRID[:, None]
    oracle = MixtureOracle(TOY, schedule=PATH)

    def u(x):
        return velocity_from_guess(oracle(x, s), s, path=PATH)

    after, before = x + h * u(x), x - h * u(x)
    change = density(after[:, 0], s + h).log() - density(before[:, 0], s - h).log()
    divergence = derivative(lambda x: u(x[:, None])[:, 0], GRID)
    assert_close(change / (2 * h), -divergence, rtol=1e-3, atol=1e-3)


def test_eq_hutchinson():
    """Over all four sign vectors in the plane the mean of z^T J z is the trace, exactly."""
    oracle, s = MixtureOracle(ground_truth_mixture_2d(), schedule=PATH), 0.4
    x = randn(1, 2).requires_grad_(True)

    def u(x):
        return velocity_from_guess(oracle(x, s), s, path=PATH)

    J = torch.autograd.functional.jacobian(u, x)[0, :, 0]
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=F64)
    assert_close(torch.stack([z @ J @ z for z in signs]).mean(), J.trace())


def test_eq_straight_path():
    x0, eps, s = randn(4, 2), randn(4, 2, seed=1), torch.tensor([0.0, 0.25, 0.7, 1.0], dtype=F64)
    a, b = StraightPath().mix(s, x0)
    assert_close(a * x0 + b * eps, (1 - s[:, None]) * x0 + s[:, None] * eps)


def test_eq_velocity():
    """u is the derivative of x_s with both ends held, on every path; straight: eps - x0."""
    x0, eps = randn(4, 2), randn(4, 2, seed=1)
    for path in (PATH, StraightPath(), GrowingNoise()):
        s, h = 0.4 * path.end, 1e-6 * path.end
        (a, b), (c, d) = path.level(s - h), path.level(s + h)
        numeric = ((c * x0 + d * eps) - (a * x0 + b * eps)) / (2 * h)
        u = velocity_from_guess(Guess(x0, eps), s, path=path)
        assert_close(u, numeric, rtol=1e-5, atol=1e-5)
    assert_close(velocity_from_guess(Guess(x0, eps), 0.4, path=StraightPath()), eps - x0)


def test_eq_flow_loss():
    """n = 40,000: the mean velocity has a smaller loss than any other answer tried (4 errors)."""
    line, n = StraightPath(), 40_000
    x0 = TOY.sample(n, torch.Generator().manual_seed(0))
    eps, s = randn(n, 1, seed=1), 0.6
    xs = (1 - s) * x0 + s * eps
    best = velocity_from_guess(MixtureOracle(TOY, schedule=line)(xs, s), s, path=line)
    least = (best - (eps - x0)) ** 2
    for other in (best + 0.1, 0.7 * best, 1.3 * best):
        more = (other - (eps - x0)) ** 2 - least
        assert float(more.mean()) > 4 * float(more.std()) / math.sqrt(n)
    said = predicts_velocity(lambda x, t: velocity_from_guess(
        MixtureOracle(TOY, schedule=line)(x, t / 1000), s, path=line), line)  # fmt: skip
    assert_close(said(xs, s).x0_hat, MixtureOracle(TOY, schedule=line)(xs, s).x0_hat)


def test_eq_same_path():
    """A chain so fine that its nearest t is nearly the same sigma: the guess is the exact one."""
    schedule, line, x = PATH.schedule(20_000), StraightPath(), GRID[:, None]
    there = along(MixtureOracle(TOY, schedule=schedule), line)
    for s in (0.1, 0.5, 0.9, 1.0):
        exact = MixtureOracle(TOY, schedule=line)(x, s)
        for got, expected in zip(there(x, s), exact, strict=True):
            assert_close(got, expected, rtol=0, atol=5e-2 if s == 1.0 else 2e-3)


def test_eq_edm_weights():
    """n = 200,000: input and target have variance 1, c_out is smallest; v is sigma_data = 1."""
    n, std = 200_000, 0.5
    x0, eps = std * randn(n), randn(n, seed=1)
    for sigma in (0.05, 0.5, 5.0):
        c_skip, c_out, c_in, c_noise = edm_weights(torch.tensor(sigma, dtype=F64), std)
        x = x0 + sigma * eps
        assert math.isclose(float((c_in * x).var()), 1, abs_tol=5 * math.sqrt(2 / n))
        target = (x0 - c_skip * x) / c_out
        assert math.isclose(float(target.var()), 1, abs_tol=5 * math.sqrt(2 / n))
        assert math.isclose(float(c_noise), math.log(sigma) / 4)
        for other in (c_skip - 0.05, c_skip + 0.05):
            assert float((x0 - other * x).var()) > float((x0 - c_skip * x).var())
    schedule, t = cosine_schedule(), 400
    a, b = schedule.level(t)
    xt, v = randn(5, 2), randn(5, 2, seed=1)
    c_skip, c_out, _, _ = edm_weights(torch.tensor(b / a, dtype=F64), 1.0)
    by_v = predicts_v(lambda x, t: v, schedule)(xt, t).x0_hat
    assert_close(c_skip * xt / a + c_out * -v, by_v)


def test_eq_edm_times():
    path = GrowingNoise(end=80.0)
    times, n = path.times(18), 18
    assert len(times) == n + 1
    assert times[-1] == 0.0
    high, low = 80 ** (1 / 7), 0.002 ** (1 / 7)
    expected = [(high + i / (n - 1) * (low - high)) ** 7 for i in range(n)]
    assert_close(torch.tensor(times[:-1]), torch.tensor(expected), rtol=1e-6, atol=1e-9)


def test_eq_tilted():
    """At t near 0 the guided score is the tilted density's; at half the noise it is not."""
    both = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [0.6, 0.6])
    schedule, w = cosine_schedule(), 2.0

    class Heaps:
        path = schedule
        all = MixtureOracle(both, schedule=schedule)
        right = MixtureOracle(GaussianMixture([1.0], [[1.0]], [0.6]), schedule=schedule)

        def __call__(self, xt, t, y=None):
            return (self.all if y is None else self.right)(xt, t)

    fine = torch.linspace(-9, 9, 18_001, dtype=F64)
    tilted = both.log_prob(fine[:, None]).exp() * both.posterior(fine[:, None])[:, 1] ** w

    def score_of_tilted(x, t):
        a, b = schedule.level(t)
        kernel = torch.exp(-((x[:, None] - a * fine) ** 2) / (2 * b**2)) * tilted
        return ((a * (kernel @ fine) / kernel.sum(1)) - x) / b**2

    gap = {}
    for t in (5, 500):
        _, b = schedule.level(t)
        guess = guided(Heaps(), 1, guidance_scale=w)(GRID[10:31, None], t)
        gap[t] = (-guess.eps_hat[:, 0] / b - score_of_tilted(GRID[10:31], t)).abs().max()
    assert gap[5] < 0.02
    assert gap[500] > 0.2


def test_eq_picture_bits():
    """Of a grey level, by integration: the bound holds, and is reached where q is the posterior."""
    levels = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    x1 = torch.linspace(-5, 5, 4001, dtype=torch.float64)
    dx = x1[1] - x1[0]
    p = 0.4 * normal(x1, -0.9, 0.5) + 0.6 * normal(x1, 0.6, 0.8)  # any density of x_1
    fit = normal(x1[:, None], levels, 0.6)
    level_given = fit / fit.sum(1, keepdim=True)  # P(x_0 | x_1)
    for k, x0 in enumerate(levels):
        true = (p * level_given[:, k]).sum() * dx  # P(x_0)
        exact = p * level_given[:, k] / true
        for q, gap in ((normal(x1, 0.9 * x0, 0.4), 1e-3), (exact, 0.0)):
            inside = -level_given[:, k].log() + q.log() - p.log()
            bound = (q * inside).nan_to_num().sum() * dx
            assert bound >= -true.log() + gap - 1e-9
        assert_close(bound, -true.log(), atol=1e-9, rtol=0)


def normal(x: torch.Tensor, mean: float | torch.Tensor, std: float) -> torch.Tensor:
    return torch.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
