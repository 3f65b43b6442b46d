"""Laws of the exact denoisers: quadrature, autograd and Bayes know the answer, too."""

import math
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from dmlib.data import ground_truth_mixture_2d
from dmlib.forward import q_posterior, q_sample
from dmlib.mixture import GaussianMixture, given_measurement, reverse_posterior
from dmlib.oracle import ConditionalOracle, FiniteOracle, MixtureOracle
from dmlib.schedules import NoiseSchedule, linear_schedule, zero_terminal_snr

F64 = torch.float64


def toy() -> GaussianMixture:
    """The book's ground truth: 0.3 N(-1.5, 0.25^2) + 0.7 N(1, 0.35^2)."""
    return GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.25, 0.35])


def plane() -> GaussianMixture:
    return GaussianMixture([0.2, 0.5, 0.3], [[-1.0, 0.5], [1.0, 1.0], [0.0, -2.0]], [0.2, 0.5, 0.3])


def grid(low: float = -8.0, high: float = 8.0, n: int = 40001):
    x = torch.linspace(low, high, n, dtype=F64)
    return x, float(x[1] - x[0])


def normal(x, mean, variance):
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The mixture


def test_mixture_density_is_the_weighted_sum_and_integrates_to_one():
    x, dx = grid()
    p = toy().log_prob(x[:, None]).exp()
    assert_close(p, 0.3 * normal(x, -1.5, 0.25**2) + 0.7 * normal(x, 1.0, 0.35**2))
    assert abs(float(p.sum()) * dx - 1) < 1e-12


def test_mixture_moments_equal_quadrature():
    x, dx = grid()
    p = toy().log_prob(x[:, None]).exp() * dx
    mean = (p * x).sum()
    assert_close(toy().mean()[0], mean)
    assert_close(toy().cov()[0, 0], (p * (x - mean) ** 2).sum())


def test_mixture_samples_have_its_moments():
    n = 200_000
    x = plane().sample(n, seeded(0))
    # Five standard errors; the largest variance is about 2, its fourth moment about 10.
    assert_close(x.mean(0), plane().mean(), atol=5 * math.sqrt(2 / n), rtol=0)
    assert_close(x.T.cov(), plane().cov(), atol=5 * math.sqrt(10 / n), rtol=0)


def test_mixture_samples_follow_the_generator_only():
    torch.manual_seed(1)
    a = plane().sample(5, seeded(3))
    torch.manual_seed(2)
    assert torch.equal(a, plane().sample(5, seeded(3)))


@pytest.mark.parametrize("mixture", [toy(), plane()])
def test_mixture_score_is_the_gradient_of_log_prob(mixture):
    x = (3 * torch.randn(50, mixture.D, dtype=F64, generator=seeded(0))).requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x).sum(), x)
    assert_close(mixture.score(x), gradient)


def test_mixture_posterior_is_bayes():
    x = torch.tensor([[0.1]], dtype=F64)
    parts = [0.3 * normal(x[0], -1.5, 0.25**2), 0.7 * normal(x[0], 1.0, 0.35**2)]
    assert_close(toy().posterior(x), torch.stack(parts, 1) / sum(parts))


@pytest.mark.parametrize("alpha_bar_t", [0.0, 0.3, 0.999, 1.0])
def test_diffused_mixture_is_the_convolution(alpha_bar_t):
    if alpha_bar_t == 1.0:
        points = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
        assert_close(toy().diffused(1.0).log_prob(points), toy().log_prob(points))
        return
    x0, dx = grid()
    p0 = toy().log_prob(x0[:, None]).exp()
    for point in (-1.2, 0.0, 0.7):
        kernel = normal(point, math.sqrt(alpha_bar_t) * x0, 1 - alpha_bar_t)
        got = toy().diffused(alpha_bar_t).log_prob(torch.tensor([[point]], dtype=F64)).exp()
        assert_close(got[0], (p0 * kernel).sum() * dx)


# The exact denoiser


@pytest.mark.parametrize("t", [1, 20, 300, 1000])
def test_mixture_oracle_equals_quadrature(t):
    schedule = linear_schedule()
    x0, _ = grid()
    p0 = toy().log_prob(x0[:, None]).exp()
    a = float(schedule.alpha_bar[t])
    oracle = MixtureOracle(toy(), schedule=schedule)
    for point in (-1.6, -0.3, 0.2, 1.1):
        joint = p0 * normal(point, math.sqrt(a) * x0, 1 - a)
        mean = (joint * x0).sum() / joint.sum()
        xt = torch.tensor([[point]], dtype=F64)
        assert_close(oracle(xt, t).x0_hat[0, 0], mean, rtol=1e-9, atol=1e-9)
        eps = (joint * (point - math.sqrt(a) * x0) / math.sqrt(1 - a)).sum() / joint.sum()
        assert_close(oracle(xt, t).eps_hat[0, 0], eps, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("t", [1, 50, 1000])
def test_mixture_oracle_score_is_the_gradient_of_the_diffused_log_prob(t):
    schedule = linear_schedule()
    xt = torch.randn(20, 2, dtype=F64, generator=seeded(0)).requires_grad_()
    law = plane().diffused(schedule.alpha_bar[t])
    (gradient,) = torch.autograd.grad(law.log_prob(xt).sum(), xt)
    assert_close(MixtureOracle(plane(), schedule=schedule).score(xt.detach(), t), gradient)


def test_finite_oracle_is_bayes_over_the_data():
    schedule = linear_schedule(10, beta_1=0.05, beta_T=0.5)
    data = torch.randn(7, 3, dtype=F64, generator=seeded(0))
    xt = torch.randn(4, 3, dtype=F64, generator=seeded(1))
    t = torch.tensor([1, 3, 6, 10])
    oracle = FiniteOracle(data, schedule=schedule)
    a = schedule.alpha_bar[t][:, None, None]
    density = torch.exp(-((xt[:, None] - a.sqrt() * data) ** 2).sum(-1) / (2 * (1 - a[..., 0])))
    weights = density / density.sum(1, keepdim=True)
    assert_close(oracle.posterior(xt, t), weights)
    assert_close(oracle(xt, t).x0_hat, weights @ data)


@pytest.mark.parametrize("t", [1, 5, 10])
def test_finite_oracle_score_is_the_gradient_of_log_prob(t):
    schedule = linear_schedule(10, beta_1=0.05, beta_T=0.5)
    oracle = FiniteOracle(torch.randn(9, 4, dtype=F64, generator=seeded(0)), schedule=schedule)
    xt = torch.randn(6, 4, dtype=F64, generator=seeded(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(oracle.log_prob(xt, t).sum(), xt)
    assert_close(oracle.score(xt.detach(), t), gradient)
    eps_hat = -math.sqrt(1 - float(schedule.alpha_bar[t])) * gradient
    assert_close(oracle(xt.detach(), t).eps_hat, eps_hat)


def test_finite_oracle_log_prob_integrates_to_one():
    schedule = linear_schedule(10, beta_1=0.05, beta_T=0.5)
    oracle = FiniteOracle(torch.tensor([[-1.0], [0.5], [2.0]], dtype=F64), schedule=schedule)
    x, dx = grid()
    assert abs(float(oracle.log_prob(x[:, None], 4).exp().sum()) * dx - 1) < 1e-12


def test_finite_oracle_is_the_limit_of_a_mixture_of_spikes():
    schedule = linear_schedule(100)
    data = torch.tensor([[-1.0, 0.0], [0.5, 0.5], [2.0, -1.0]], dtype=F64)
    spikes = GaussianMixture(torch.full((3,), 1 / 3), data, torch.full((3,), 1e-7))
    xt = torch.randn(10, 2, dtype=F64, generator=seeded(0))
    finite = FiniteOracle(data, schedule=schedule)
    assert_close(finite(xt, 60), MixtureOracle(spikes, schedule=schedule)(xt, 60))


@pytest.mark.parametrize("chunk", [1, 7, 33, 1000])
@pytest.mark.parametrize("t", [1, 500, 1000])
def test_finite_oracle_in_chunks_equals_the_whole(chunk, t):
    schedule = linear_schedule()
    data = torch.randn(100, 1, 4, 4, dtype=F64, generator=seeded(0))
    eps = torch.randn(5, 1, 4, 4, dtype=F64, generator=seeded(1))
    xt = q_sample(data[:5], t, eps, schedule=schedule)
    whole = FiniteOracle(data, schedule=schedule, chunk=100)
    parts = FiniteOracle(data, schedule=schedule, chunk=chunk)
    assert_close(parts(xt, t).x0_hat, whole(xt, t).x0_hat, rtol=1e-12, atol=1e-12)
    assert_close(parts.log_prob(xt, t), whole.log_prob(xt, t), rtol=1e-10, atol=1e-10)
    assert_close(whole(xt, t).x0_hat.flatten(1), whole.posterior(xt, t) @ data.flatten(1))


def test_finite_oracle_far_from_all_data_is_still_finite():
    # Every weight underflows unless the running maximum is subtracted: the nearest point wins.
    data = torch.tensor([[-1.0], [1.0]])
    oracle = FiniteOracle(data, schedule=linear_schedule(), chunk=1)
    assert_close(oracle(torch.tensor([[-500.0], [500.0]]), 1).x0_hat, data)


def test_finite_oracle_with_little_noise_returns_the_image_and_with_all_noise_the_mean():
    schedule = zero_terminal_snr(linear_schedule())
    data = torch.rand(50, 1, 28, 28, generator=seeded(0)) * 2 - 1
    oracle = FiniteOracle(data, schedule=schedule)
    eps = torch.randn(8, 1, 28, 28, generator=seeded(1))
    assert_close(oracle(q_sample(data[:8], 1, eps, schedule=schedule), 1).x0_hat, data[:8])
    last = oracle(eps, 1000).x0_hat
    assert_close(last, data.double().mean(0, keepdim=True).float().expand_as(last))
    assert_close(oracle(eps, 1000).eps_hat, eps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_oracles_answer_in_the_shape_of_xt_and_float32_at_least(dtype):
    schedule = linear_schedule()
    image = torch.randn(3, 1, 2, 2, generator=seeded(0)).to(dtype)
    mixture = GaussianMixture([0.5, 0.5], [[0.0] * 4, [1.0] * 4], [0.3, 0.4])
    data = torch.randn(6, 4, generator=seeded(1))
    t = torch.tensor([1, 500, 1000])
    for oracle in (
        MixtureOracle(mixture, schedule=schedule),
        FiniteOracle(data, schedule=schedule),
    ):
        exact = oracle(image.double(), t).eps_hat
        flat = oracle(image.flatten(1), t).eps_hat.view_as(image)
        for answer in (oracle(image, t).eps_hat, flat):
            assert answer.dtype == torch.promote_types(dtype, torch.float32)
            assert_close(answer, exact.to(answer.dtype), rtol=1e-5, atol=1e-5)


def test_oracle_takes_each_sample_at_its_own_t():
    schedule = linear_schedule()
    oracle = MixtureOracle(plane(), schedule=schedule)
    xt = torch.randn(3, 2, dtype=F64, generator=seeded(0))
    one_by_one = [oracle(xt[i : i + 1], t).eps_hat for i, t in enumerate((1, 77, 1000))]
    assert_close(oracle(xt, torch.tensor([1, 77, 1000])).eps_hat, torch.cat(one_by_one))


PEAK = """
import resource
import torch
from dmlib.oracle import FiniteOracle
from dmlib.schedules import linear_schedule

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

torch.set_num_threads(1)
bare = peak()
data = torch.empty(60000, 1, 28, 28).uniform_(-1, 1)
oracle = FiniteOracle(data, schedule=linear_schedule())
oracle(torch.randn(16, 1, 28, 28), 500)
print(bare, peak())
"""


def test_sixty_thousand_images_fit_in_memory():
    """60,000 x 784 in float32 are 180 MiB; all else the oracle may take is 160 MiB."""
    answer = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    bare, peak = (int(mib) for mib in answer.stdout.split())
    assert peak - bare < 180 + 160, f"{peak - bare} MiB above a bare process of {bare} MiB"


# The exact reverse step


def test_reverse_posterior_satisfies_bayes_on_a_grid():
    schedule = linear_schedule(20, beta_1=0.01, beta_T=0.6)
    x, dx = grid()
    for t in (1, 2, 10, 20):
        law = reverse_posterior(toy(), torch.tensor([0.2], dtype=F64), t, schedule=schedule)
        prior = toy().diffused(schedule.alpha_bar[t - 1]).log_prob(x[:, None]).exp()
        beta_t = float(schedule.beta[t])
        joint = prior * normal(0.2, math.sqrt(1 - beta_t) * x, beta_t)
        density = law.log_prob(x[:, None]).exp()
        assert abs(float(density.sum()) * dx - 1) < 1e-10
        assert_close(density, joint / (joint.sum() * dx), rtol=1e-8, atol=1e-10)


def test_reverse_posterior_averages_q_posterior_over_the_clean_data():
    # E[x_{t-1} | x_t] = mu_tilde(E[x_0 | x_t], x_t), because mu_tilde is linear in x_0.
    schedule = linear_schedule()
    xt = torch.tensor([[0.3, -0.4]], dtype=F64)
    x0_hat = MixtureOracle(plane(), schedule=schedule)(xt, 400).x0_hat
    mean = reverse_posterior(plane(), xt[0], 400, schedule=schedule).mean()
    assert_close(mean, q_posterior(x0_hat, xt, 400, schedule=schedule)[0][0])


def two_step_schedule(beta_2: float) -> NoiseSchedule:
    """alpha_bar_1 = 0.8 always; only the last step's size changes."""
    return NoiseSchedule(torch.tensor([0.0, 0.2, beta_2], dtype=F64))


def test_reverse_posterior_approaches_a_gaussian_as_beta_shrinks():
    x, dx = grid()
    distances = []
    for beta_2 in (0.8, 0.4, 0.1, 0.02, 0.004):
        law = reverse_posterior(toy(), torch.zeros(1), 2, schedule=two_step_schedule(beta_2))
        p = law.log_prob(x[:, None]).exp()
        matched = normal(x, float(law.mean()), float(law.cov()))
        distances.append(float((p - matched).abs().sum()) * dx / 2)
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.2
    assert distances[-1] < 0.005


# Bad input


@pytest.mark.parametrize(
    ("weights", "means", "stds", "name"),
    [
        ([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0], "weights"),
        ([1.5, -0.5], [[0.0], [1.0]], [1.0, 1.0], "weights"),
        ([], [[0.0]], [1.0], "weights"),
        ([1.0], [0.0], [1.0], "means"),
        ([0.5, 0.5], [[0.0]], [1.0, 1.0], "means"),
        ([1.0], [[math.nan]], [1.0], "means"),
        ([1.0], [[0.0]], [0.0], "stds"),
        ([1.0], [[0.0]], [1.0, 2.0], "stds"),
    ],
)
def test_mixture_refuses_bad_parameters_by_name(weights, means, stds, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        GaussianMixture(weights, means, stds)


@pytest.mark.parametrize("kind", ["mixture", "finite"])
@pytest.mark.parametrize(
    ("xt", "t", "name"),
    [
        (torch.zeros(2, 3), 1, "xt"),
        (torch.zeros(2), 1, "xt"),
        (torch.zeros(2, 2, dtype=torch.int64), 1, "xt"),
        (torch.full((2, 2), math.inf), 1, "xt"),
        (torch.zeros(2, 2), 0, "t"),
        (torch.zeros(2, 2), 1001, "t"),
        (torch.zeros(2, 2), torch.tensor([1.0, 2.0]), "t"),
        (torch.zeros(2, 2), torch.tensor([1, 2, 3]), "t"),
    ],
)
def test_oracles_refuse_bad_input_by_name(kind, xt, t, name):
    schedule = linear_schedule()
    oracle = {
        "mixture": MixtureOracle(plane(), schedule=schedule),
        "finite": FiniteOracle(torch.zeros(3, 2), schedule=schedule),
    }[kind]
    for call in (oracle, oracle.score):
        with pytest.raises(ValueError, match=f"^{name} must"):
            call(xt, t)


def test_oracles_pass_an_empty_batch_through():
    oracle = FiniteOracle(torch.zeros(3, 1, 2, 2), schedule=linear_schedule())
    assert oracle(torch.zeros(0, 1, 2, 2), 3).x0_hat.shape == (0, 1, 2, 2)


def test_finite_oracle_refuses_empty_data_and_bad_chunk():
    for data in ([1.0], torch.zeros(0, 2), torch.zeros(3), torch.zeros(3, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"^data must"):
            FiniteOracle(data, schedule=linear_schedule())
    with pytest.raises(ValueError, match=r"^chunk must"):
        FiniteOracle(torch.zeros(3, 2), schedule=linear_schedule(), chunk=0)


def _grid_answer(mixture, A, y, std, xt, a, b):
    """E[x_0 | x_t, y] by summing over a grid of the plane, which is exact to many digits."""
    axis = torch.linspace(-5, 5, 801, dtype=torch.float64)
    x0 = torch.cartesian_prod(axis, axis)
    log_weight = (
        mixture.log_prob(x0)
        - ((y - x0 @ A.mT) ** 2).sum(1) / (2 * std**2)
        - ((xt - a * x0) ** 2).sum(1) / (2 * b**2)
    )
    return log_weight.softmax(0) @ x0


@pytest.mark.parametrize(
    "A",
    [[[1.0, 0.0]], [[0.6, -1.3]], [[1.0, 0.4], [-0.3, 0.8]], [[1.0, 0.0], [0.5, 1.0], [0.2, 1.0]]],
)
def test_conditional_oracle_equals_brute_force(A):
    A = torch.tensor(A, dtype=torch.float64)
    mixture, schedule, std = ground_truth_mixture_2d(), linear_schedule(1000), 0.4
    g = torch.Generator().manual_seed(0)
    xt = torch.randn(3, 2, dtype=torch.float64, generator=g)
    y = torch.randn(3, len(A), dtype=torch.float64, generator=g)
    oracle = ConditionalOracle(mixture, A, y, std, schedule=schedule)
    for t in (20, 300, 1000):
        a, b = schedule.level(t)
        rows = [_grid_answer(mixture, A, y[i], std, xt[i], a, b) for i in range(3)]
        assert_close(oracle(xt, t).x0_hat, torch.stack(rows), rtol=0, atol=1e-8)


def test_conditional_posterior_equals_brute_force_and_its_own_samples():
    A, std = torch.tensor([[0.6, -1.3]], dtype=torch.float64), 0.4
    mixture, y = ground_truth_mixture_2d(), torch.tensor([0.5], dtype=torch.float64)
    posterior = given_measurement(mixture, A, y, std)
    axis = torch.linspace(-5, 5, 801, dtype=torch.float64)
    x0 = torch.cartesian_prod(axis, axis)
    log_joint = mixture.log_prob(x0) - ((y - x0 @ A.mT) ** 2).sum(1) / (2 * std**2)
    density = log_joint.softmax(0) / (axis[1] - axis[0]) ** 2
    assert_close(posterior.log_prob(x0).exp(), density, rtol=0, atol=1e-8)
    mean = log_joint.softmax(0) @ x0
    assert_close(posterior.mean()[0], mean, rtol=0, atol=1e-8)
    n = 40_000
    many = given_measurement(mixture, A, y.expand(n, 1), std)
    drawn = many.sample(torch.Generator().manual_seed(1))
    spread = (log_joint.softmax(0) @ (x0 - mean) ** 2).sqrt()
    assert bool(((drawn.mean(0) - mean).abs() < 5 * spread / n**0.5).all())
    assert_close(drawn.std(0), spread, rtol=5 / (2 * n) ** 0.5 * 1.5, atol=0)


def test_conditional_score_is_the_gradient_of_the_diffused_posterior():
    A, std, t = torch.tensor([[0.6, -1.3]], dtype=torch.float64), 0.4, 300
    mixture, y = ground_truth_mixture_2d(), torch.tensor([[0.5]], dtype=torch.float64)
    schedule = linear_schedule(1000)
    xt = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    xt.requires_grad_()
    there = given_measurement(mixture, A, y, std).mixed(*schedule.level(t))
    (gradient,) = torch.autograd.grad(there.log_prob(xt).sum(), xt)
    oracle = ConditionalOracle(mixture, A, y, std, schedule=schedule)
    assert_close(oracle.score(xt.detach(), t), gradient)


@pytest.mark.parametrize(
    ("A", "y", "std", "message"),
    [
        (torch.ones(1, 3), torch.ones(1), 0.1, "A must have shape"),
        (torch.ones(1, 2), torch.ones(2), 0.1, "y must have shape"),
        (torch.ones(1, 2), torch.ones(1), 0.0, "std must be"),
    ],
)
def test_conditional_oracle_refuses_bad_input(A, y, std, message):
    with pytest.raises(ValueError, match=message):
        ConditionalOracle(ground_truth_mixture_2d(), A, y, std, schedule=linear_schedule(10))


def test_conditional_oracle_wants_as_many_rows_as_y():
    A, y = torch.ones(1, 2), torch.ones(3, 1)
    oracle = ConditionalOracle(ground_truth_mixture_2d(), A, y, 0.1, schedule=linear_schedule(10))
    with pytest.raises(ValueError, match="xt must have 3 rows"):
        oracle(torch.zeros(2, 2), 5)
