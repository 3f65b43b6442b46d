"""Laws of the denoisers that are made of networks: each prediction tells the same of x_t."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from dmlib.checkpoint import load_shipped
from dmlib.guidance import conditioned
from dmlib.mixture import GaussianMixture
from dmlib.models import MLP, NetDenoiser, UNet, UNetConfig, predicts_eps, predicts_v, predicts_x0
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import (
    eps_from_v,
    eps_from_x0,
    v_from_eps,
    v_from_x0,
    x0_from_eps,
    x0_from_v,
)
from dmlib.sampling import generate, sample
from dmlib.schedules import cosine_schedule, linear_schedule, zero_terminal_snr
from dmlib.steps import ddpm, dpm_solver

SCHEDULE = cosine_schedule(100)
UNET = UNetConfig(
    image_size=8, widths=(16, 24), blocks=1, attention=(4,), emb_dim=16, num_classes=3
)
MAKERS = {"eps": predicts_eps, "v": predicts_v, "x0": predicts_x0}
every_prediction = pytest.mark.parametrize("says", MAKERS)


def make_unet() -> UNet:
    """A network of which no part is zero."""
    torch.manual_seed(0)
    net = UNet(UNET)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return net


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Wave(nn.Module):
    """A network as others write it: no config, no num_classes, no checks, (xt, t) alone."""

    def forward(self, xt, t):
        return torch.sin(xt + t.view(-1, *(1,) * (xt.ndim - 1)))


@pytest.mark.parametrize("net", [Wave(), MLP(2, width=8, num_classes=3)], ids=["own", "mlp"])
@every_prediction
def test_any_network_becomes_a_denoiser_by_the_textbooks_conversions(net, says):
    denoiser, xt = MAKERS[says](net, SCHEDULE), noise(4, 2)
    t = torch.tensor([1, 7, 50, 90])
    answer = net(xt, t)
    to_x0 = {"eps": x0_from_eps, "v": x0_from_v, "x0": lambda x, *_, **__: x}[says]
    to_eps = {"eps": lambda x, *_, **__: x, "v": eps_from_v, "x0": eps_from_x0}[says]
    guess = denoiser(xt, t)
    torch.testing.assert_close(guess.x0_hat, to_x0(answer, xt, t, schedule=SCHEDULE))
    torch.testing.assert_close(guess.eps_hat, to_eps(answer, xt, t, schedule=SCHEDULE))
    assert denoiser.num_classes == getattr(net, "num_classes", None)
    assert (denoiser.path, denoiser.net, denoiser.predicts) == (SCHEDULE, net, says)


@every_prediction
def test_a_guess_adds_up_to_xt(says):
    """x_t = a_t x0_hat + b_t eps_hat, whatever the network says."""
    denoiser, xt = MAKERS[says](make_unet().double(), SCHEDULE), noise(3, 1, 8, 8).double()
    t, y = torch.tensor([1, 40, 99]), torch.tensor([0, 1, 2])
    a, b = SCHEDULE.mix(t, xt)
    guess = denoiser(xt, t, y)
    torch.testing.assert_close(a * guess.x0_hat + b * guess.eps_hat, xt)
    assert (guess.x0_hat - denoiser(xt, t).x0_hat).abs().max() > 1e-4  # the class is heard


@every_prediction
def test_the_oracle_seen_through_a_prediction_is_the_oracle(says):
    law = GaussianMixture([0.3, 0.7], [[-1.5, 0.0], [1.0, 0.5]], [0.25, 0.35])
    oracle = MixtureOracle(law, schedule=SCHEDULE)
    nets = {
        "eps": lambda xt, t: oracle(xt, t).eps_hat,
        "v": lambda xt, t: v_from_x0(oracle(xt, t).x0_hat, xt, t, schedule=SCHEDULE),
        "x0": lambda xt, t: oracle(xt, t).x0_hat,
    }
    denoiser = MAKERS[says](nets[says], SCHEDULE)
    xt = noise(4, 2).double()
    for t in (1, 30, 100):
        for found, exact in zip(denoiser(xt, t), oracle(xt, t), strict=True):
            torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-7)


def test_v_keeps_x0_hat_tame_where_all_is_noise():
    """x0_hat = a x_t - b v_hat to float32's last digits; found from eps_hat it has lost them."""
    schedule, xt = cosine_schedule(1000), noise(3, 1, 8, 8)
    denoiser = predicts_v(make_unet(), schedule)
    a, b = schedule.level(1000)
    guess = denoiser(xt, 1000)
    v_hat = denoiser.net(xt, torch.full((3,), 1000))
    exact = a * xt.double() - b * v_hat.double()
    assert (guess.x0_hat - exact).abs().max() < 1e-6
    detour = x0_from_eps(guess.eps_hat, xt, 1000, schedule=schedule)
    assert (detour - exact).abs().max() > 1e-4


def test_v_and_x0_answer_at_zero_terminal_snr_and_eps_is_refused_there():
    schedule, xt = zero_terminal_snr(SCHEDULE), noise(4, 2)
    v = predicts_v(Wave(), schedule)(xt, 100)
    answer = Wave()(xt, torch.full((4,), 100))
    torch.testing.assert_close(v.x0_hat, -answer)  # x_t is all noise: v = -x_0
    torch.testing.assert_close(v.eps_hat, xt)
    x0 = predicts_x0(Wave(), schedule)(xt, 100)
    torch.testing.assert_close(x0.x0_hat, answer)
    torch.testing.assert_close(x0.eps_hat, xt)
    with pytest.raises(ValueError, match=r"^schedule must have alpha_bar_T > 0 .*try: predicts_v"):
        predicts_eps(Wave(), schedule)


@pytest.mark.parametrize(("says", "low"), [("eps", 1), ("v", 0), ("x0", 1)])
def test_a_denoiser_refuses_a_wrong_t_by_name(says, low):
    denoiser, xt = MAKERS[says](Wave(), SCHEDULE), noise(4, 2)
    outside = (-1, low - 1, 101, torch.full((4,), 101), torch.full((4,), low - 1))
    none = (5.0, True, None, [1, 2, 3, 4], torch.ones(4), torch.ones(3).long())
    for t in (*outside, *none):
        with pytest.raises(ValueError, match=r"^t must "):
            denoiser(xt, t)
    for same in (5, np.int64(5), torch.tensor(5)):  # Wave itself takes a tensor (B,) alone
        for a, b in zip(denoiser(xt, same), denoiser(xt, torch.full((4,), 5)), strict=True):
            assert torch.equal(a, b)
    assert denoiser(xt[:0], 5).x0_hat.shape == (0, 2)


def test_a_wrong_answer_or_a_wrong_path_is_refused_by_name():
    xt = noise(4, 2)
    with pytest.raises(ValueError, match=r"^net must answer in the shape of xt, \(4, 2\), got \(4"):
        predicts_v(lambda xt, t: xt[:, :1], SCHEDULE)(xt, 5)
    with pytest.raises(ValueError, match=r"^net must answer .* got tuple"):
        predicts_v(lambda xt, t: (xt, xt), SCHEDULE)(xt, 5)
    for make in MAKERS.values():
        for path in (100, None, cosine_schedule, SCHEDULE.alpha_bar):
            with pytest.raises(ValueError, match=r"^schedule must be a NoiseSchedule"):
                make(Wave(), path)
        with pytest.raises(ValueError, match=r"^net must be a plain network, got a denoiser"):
            make(predicts_v(Wave(), SCHEDULE), SCHEDULE)
        with pytest.raises(ValueError, match=r"^net must be a network, got str"):
            make("net", SCHEDULE)


def test_the_path_is_no_weight_and_follows_the_network():
    denoiser = predicts_v(make_unet(), SCHEDULE)
    assert set(denoiser.state_dict()) == {f"net.{k}" for k in denoiser.net.state_dict()}
    assert denoiser.double().path is SCHEDULE
    assert denoiser(noise(2, 1, 8, 8).double(), 100).x0_hat.dtype == torch.float64


def test_a_denoiser_goes_along_its_own_path_only():
    """The walk asks the denoiser for its path; nobody can hand it another."""
    denoiser, card = load_shipped()
    assert card["T"] == denoiser.path.T
    seen = [snapshot.t for snapshot in sample(denoiser, noise(1, 1, 28, 28), times=3)]
    assert (seen[0], seen[-1]) == (card["T"], 0)
    with pytest.raises(TypeError, match="schedule"):
        sample(denoiser, noise(1, 1, 28, 28), schedule=linear_schedule(1000))
    with pytest.raises(ValueError, match=r"^times must be an integer in 1\.\.1000"):
        sample(denoiser, noise(1, 1, 28, 28), times=card["T"] + 1)
    with pytest.raises(ValueError, match=r"^net must be a plain network"):
        predicts_v(denoiser, linear_schedule(1000))
    with pytest.raises(ValueError, match=r"^denoiser must carry its path"):
        sample(denoiser.net, noise(1, 1, 28, 28))


# Networks in 16 bits


class Exact16(nn.Module):
    """The best network for data N(m, s^2): it computes in the dtype of its weight, as nets do."""

    def __init__(self, says: str, mean: float, std: float, schedule) -> None:
        super().__init__()
        law = GaussianMixture([1.0], [[mean]], [std])
        self.oracle, self.says = MixtureOracle(law, schedule=schedule), says
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, xt, t):
        assert xt.dtype == self.weight.dtype
        guess = self.oracle(xt.double(), t)
        answer = {
            "eps": guess.eps_hat,
            "x0": guess.x0_hat,
            "v": v_from_eps(guess.eps_hat, xt.double(), t, schedule=self.oracle.path),
        }[self.says]
        return self.weight * answer.to(xt.dtype)


MEAN, STD = 0.5, 0.4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("says", "rule"),
    [("v", ddpm), ("v", dpm_solver), ("x0", ddpm), ("x0", dpm_solver), ("eps", ddpm)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_16_bit_network_samples_as_in_float32(says, rule, dtype):
    """On an exact Gaussian, 4,000 samples of the same noise (seeds 1, 2): within 1 %.

    Not eps with the ODE's rules: they trust the first x0_hat, and there the rounding of eps_hat is
    divided by sqrt(alpha_bar_T) = 5e-5. Noise of the later steps makes DDPM forget it.
    """
    ends = {}
    schedule = cosine_schedule(1000)
    for kind in (torch.float32, dtype):
        net = Exact16(says, MEAN, STD, schedule).to(kind)
        generator = torch.Generator().manual_seed(2)
        x0 = generate(
            MAKERS[says](net, schedule), noise(4000, 1), step=rule(), times=50, generator=generator
        )
        assert x0.dtype == torch.float32
        ends[kind] = x0
    assert abs(ends[dtype].mean() - ends[torch.float32].mean()) < 0.01 * MEAN
    assert abs(ends[dtype].std() / ends[torch.float32].std() - 1) < 0.01
    assert not torch.equal(ends[dtype], ends[torch.float32])  # it did compute in 16 bits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@every_prediction
def test_around_a_16_bit_network_no_digit_of_xt_is_lost(says, dtype):
    """The network sees x_t rounded; the guess adds up to the x_t that was asked about."""
    denoiser, xt = MAKERS[says](Exact16(says, MEAN, STD, SCHEDULE).to(dtype), SCHEDULE), noise(9, 1)
    for t in (1, 40, 90):
        guess = denoiser(xt, t)
        assert {guess.x0_hat.dtype, guess.eps_hat.dtype} == {torch.float32}
        a, b = SCHEDULE.level(t)
        torch.testing.assert_close(a * guess.x0_hat + b * guess.eps_hat, xt, rtol=1e-5, atol=1e-5)


# Measured: 0.0002 and 0.003 (rms over pixels in [-1, 1]), as many with 50 steps or DPM-Solver.
LIMITS = {torch.float16: 0.001, torch.bfloat16: 0.01}


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
def test_the_shipped_network_in_16_bits_draws_the_same_pictures(dtype):
    """One sample of five classes, DDIM with 20 steps, the same noise (seed 1)."""
    y, ends = torch.arange(5), {}
    for kind in (torch.float32, dtype):
        denoiser, _ = load_shipped()
        denoiser = conditioned(denoiser.to(kind), y)
        ends[kind] = generate(denoiser, noise(5, 1, 28, 28), times=20)
    apart = (ends[dtype] - ends[torch.float32]).square().mean().sqrt().item()
    assert math.isfinite(apart)
    assert 0 < apart < LIMITS[dtype]


def test_net_denoiser_says_what_it_is():
    denoiser = predicts_v(make_unet(), SCHEDULE)
    assert isinstance(denoiser, NetDenoiser)
    assert denoiser.config == UNET
    assert predicts_v(Wave(), SCHEDULE).config is None
