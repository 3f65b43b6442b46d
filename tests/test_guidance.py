"""Laws of conditioning and of classifier-free guidance."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from dmlib.guidance import conditioned, guided
from dmlib.mixture import GaussianMixture
from dmlib.models import MLP, UNet, UNetConfig, predicts_eps
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import Guess, x0_from_eps
from dmlib.sampling import generate
from dmlib.schedules import linear_schedule
from dmlib.steps import dpm_solver

F64 = torch.float64
SCHEDULE = linear_schedule()
HEAPS = ([-1.5], [1.0]), (0.25, 0.35)


class TwoHeaps:
    """The exact denoisers of a mixture's heaps: y = 0 or 1 names one, None asks for both."""

    def __init__(self) -> None:
        means, stds = HEAPS
        law = GaussianMixture([0.3, 0.7], list(means), list(stds))
        one_each = [GaussianMixture([1.0], [m], [s]) for m, s in zip(means, stds, strict=True)]
        self.both = MixtureOracle(law, schedule=SCHEDULE)
        self.each = [MixtureOracle(heap, schedule=SCHEDULE) for heap in one_each]
        self.path, self.calls = SCHEDULE, 0

    def __call__(self, xt, t, y=None):
        self.calls += 1
        if y is None:
            return self.both(xt, t)
        answers = [oracle(xt, t) for oracle in self.each]
        rows = torch.arange(len(xt))
        return Guess(*(torch.stack(half)[y, rows] for half in zip(*answers, strict=True)))


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_scale_0_is_no_class_and_scale_1_is_the_class():
    net, xt, y = TwoHeaps(), randn(6, 1), torch.tensor([0, 1, 0, 1, 1, 0])
    for scale, expected in ((0, net(xt, 300)), (1, net(xt, 300, y))):
        net.calls = 0
        got = guided(net, y, guidance_scale=scale)(xt, 300)
        assert torch.equal(got.eps_hat, expected.eps_hat)
        assert torch.equal(got.x0_hat, expected.x0_hat)
        assert net.calls == 1
    assert torch.equal(conditioned(net, y)(xt, 300).eps_hat, net(xt, 300, y).eps_hat)


@pytest.mark.parametrize("scale", [-1.0, 0.5, 3.0])
def test_guidance_is_the_formula_of_ho_and_salimans(scale):
    """Their eq. 6: (1 + w) eps(z, c) - w eps(z), with w = scale - 1."""
    net, xt, y, w = TwoHeaps(), randn(6, 1), torch.tensor([0, 1, 0, 1, 1, 0]), scale - 1
    got = guided(net, y, guidance_scale=scale)(xt, 300)
    for told, asked, free in zip(got, net(xt, 300, y), net(xt, 300), strict=True):
        assert_close(told, (1 + w) * asked - w * free)


def test_guidance_at_scale_2_follows_the_score_of_p_y_given_x_squared():
    """score_w = grad log q(x) + w grad log q(y | x): more weight on what the class alone says."""
    net, law = TwoHeaps(), TwoHeaps().both.mixture.diffused(SCHEDULE.alpha_bar[400])
    x = randn(6, 1).requires_grad_()
    log_joint = torch.log(law.weights) + torch.distributions.Normal(
        law.means[:, 0], law.stds
    ).log_prob(x)
    log_posterior = log_joint.log_softmax(1)[:, 1].sum()
    (pull,) = torch.autograd.grad(log_posterior, x)
    x = x.detach()
    root = (1 - SCHEDULE.alpha_bar[400]).sqrt()
    got = guided(net, 1, guidance_scale=2.0)(x, 400).eps_hat
    assert_close(got, -root * (law.score(x) + 2.0 * pull))


def test_conditioned_sampling_draws_from_the_class():
    xT = randn(2000, 1)
    y = torch.arange(2).repeat(1000)
    net = conditioned(TwoHeaps(), y)
    x = generate(net, xT, step=dpm_solver(), times=40)
    for k, (mean, std) in enumerate(zip((-1.5, 1.0), HEAPS[1], strict=True)):
        heap = x[y == k]
        # Five standard errors of 1,000 draws, and 0.01 for the steps.
        assert abs(float(heap.mean()) - mean) < 5 * std / math.sqrt(1000) + 0.01
        assert abs(float(heap.std()) - std) < 5 * std / math.sqrt(2000) + 0.01


def test_more_guidance_means_less_variety():
    xT = randn(400, 1)
    spread = []
    for scale in (1.0, 2.0, 4.0):
        net = guided(TwoHeaps(), 1, guidance_scale=scale)
        x = generate(net, xT, step=dpm_solver(), times=30)
        spread.append(float(x.std()))
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.97 * spread[0]


def test_guidance_works_on_the_network_with_its_null_class():
    torch.manual_seed(0)
    net = UNet(UNetConfig(widths=(8, 16), attention=(14,), groups=4, num_classes=3)).eval()
    for p in net.parameters():
        p.data += 0.02 * torch.randn_like(p)
    xt, y = torch.randn(2, 1, 28, 28), torch.tensor([2, 0])
    with torch.no_grad():
        null = net(xt, 5, torch.tensor([3, 3]))
        denoiser = predicts_eps(net, SCHEDULE)
        got = guided(denoiser, y, guidance_scale=2.5)(xt, 5).eps_hat
        assert_close(got, null + 2.5 * (net(xt, 5, y) - null))
        one_for_all = conditioned(denoiser, 2)(xt, 5).eps_hat
        assert_close(one_for_all, net(xt, 5, torch.tensor([2, 2])))


BAD_LABELS = (1.0, True, "cat", torch.tensor([1.0]), torch.tensor([True]), torch.zeros(2, 2).long())


@pytest.mark.parametrize("y", [*BAD_LABELS, None], ids=str)
def test_labels_that_are_none_are_refused_by_name(y):
    denoiser = predicts_eps(MLP(1, width=8, num_classes=3), SCHEDULE)
    with pytest.raises(ValueError, match=r"^y must"):
        conditioned(denoiser, y)
    with pytest.raises(ValueError, match=r"^y must"):
        guided(denoiser, y, guidance_scale=2.0)


def test_a_network_without_a_path_is_refused_by_name():
    for make in (conditioned, lambda n, y: guided(n, y, guidance_scale=2.0)):
        with pytest.raises(ValueError, match=r"^denoiser must carry its path .* try: "):
            make(MLP(1, width=8, num_classes=3), 0)


def test_any_condition_goes_through_not_only_classes():
    """A condition of words, say: (B, L, D), or one for all; none is None."""
    asked = []

    def net(xt, t, y=None):
        asked.append(y)
        return torch.zeros_like(xt) if y is None else y.mean((1, 2))[:, None].expand_as(xt)

    words, xt = randn(1, 4, 8), randn(3, 2)
    denoiser = predicts_eps(net, SCHEDULE)
    got = guided(denoiser, words, guidance_scale=3.0)(xt, 10).eps_hat
    assert_close(got, 3 * words.mean().expand(3, 2))
    assert asked[0] is None
    assert asked[1].shape == (3, 4, 8)
    with pytest.raises(ValueError, match=r"^y must have shape \(B, ...\), B = 3"):
        conditioned(denoiser, randn(2, 4, 8))(xt, 10)


@pytest.mark.parametrize("y", [3, 4, -1, np.int64(3), torch.tensor([0, 3]), torch.tensor([-1, 0])])
def test_no_class_and_unknown_classes_are_refused_where_the_net_says_how_many(y):
    """The null class makes guidance do nothing, in silence."""
    net = predicts_eps(MLP(1, width=8, num_classes=3), SCHEDULE)
    for make in (conditioned, lambda n, y: guided(n, y, guidance_scale=2.0)):
        with pytest.raises(ValueError, match=r"^y must be in 0..2, got values from"):
            make(net, y)
    with pytest.raises(ValueError, match="try: for no class, 3, the denoiser itself"):
        conditioned(net, 3)


def test_numpys_numbers_are_numbers():
    net, xt = TwoHeaps(), randn(3, 1)
    got = guided(net, np.int64(1), guidance_scale=np.float32(2))(xt, np.int64(5))
    assert torch.equal(got.eps_hat, guided(net, 1, guidance_scale=2.0)(xt, 5).eps_hat)


def test_guidance_of_x0_hat_is_guidance_of_eps_hat():
    xt, y = randn(6, 1), torch.tensor([0, 1, 0, 1, 1, 0])
    for wrapped in (conditioned(TwoHeaps(), y), guided(TwoHeaps(), y, guidance_scale=2.5)):
        guess = wrapped(xt, 300)
        assert_close(guess.x0_hat, x0_from_eps(guess.eps_hat, xt, 300, schedule=SCHEDULE))


def test_labels_of_another_batch_are_refused_by_name():
    for net in (
        conditioned(TwoHeaps(), torch.tensor([0, 1])),
        guided(TwoHeaps(), torch.tensor([0, 1]), guidance_scale=2.0),
    ):
        with pytest.raises(ValueError, match=r"^y must have shape \(B, ...\), B = 3"):
            net(randn(3, 1), 5)


@pytest.mark.parametrize("scale", [math.nan, math.inf, "2", None, True, torch.tensor(2.0)])
def test_a_scale_that_is_no_number_is_refused_by_name(scale):
    with pytest.raises(ValueError, match=r"^guidance_scale must"):
        guided(TwoHeaps(), 1, guidance_scale=scale)
