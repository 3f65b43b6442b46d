"""Faults found in well-known teaching code, each one by its name: none of them is here.

Every law compares the library with numbers worked out by hand from T = 2, beta = (1/2, 1/2):
alpha = (1/2, 1/2), alpha_bar = (1/2, 1/4). Two more faults have their laws elsewhere, because
they need a network: a skip connection that is computed and never used (test_models.py,
test_cutting_each_skip_changes_the_output), and an average that lags behind the optimizer's step
inside the training loop (test_training.py, test_average_follows_the_step_just_taken). And
test_sampling_exact.py shows that whole samplers with such faults are told from right ones.
"""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from dmlib.bound import variational_bound
from dmlib.data import fashion_sample, to_unit
from dmlib.forward import q_posterior, q_sample, q_step
from dmlib.models import predicts_eps
from dmlib.parameterization import guess_from_eps
from dmlib.schedules import NoiseSchedule
from dmlib.steps import Move, ddim, ddpm
from dmlib.training.batches import sample, shuffled
from dmlib.training.ema import EMA

F64 = torch.float64
HALVES = NoiseSchedule(torch.tensor([0.0, 0.5, 0.5], dtype=F64))
ONE, ZERO = torch.ones(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64)


def close(tensor: torch.Tensor, value: float) -> bool:
    return float(tensor) == pytest.approx(value, rel=1e-12, abs=1e-12)


def ddpm_step(xt, eps_hat, noise, *, t, schedule, t_prev=None, variance="beta_tilde"):
    """One step of ddpm() with the noise that is guessed."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    move = Move(schedule, t, t - 1 if t_prev is None else t_prev)
    return ddpm(variance)(xt, guess, noise, move)


def ddim_step(xt, eps_hat, noise, *, t, t_prev, schedule, eta=0.0):
    """One step of ddim(eta) with the noise that is guessed."""
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    return ddim(eta)(xt, guess, noise, Move(schedule, t, t_prev))


def test_no_noise_is_added_at_the_last_step():
    loud = 1e9 * ONE
    for variance in ("beta", "beta_tilde"):
        # (1 - (1/2) / sqrt(1/2) * 0) / sqrt(1/2) = sqrt(2)
        x0 = ddpm_step(ONE, ZERO, loud, t=1, schedule=HALVES, variance=variance)
        assert close(x0, math.sqrt(2))
    assert close(ddim_step(ONE, ZERO, loud, t=2, t_prev=0, schedule=HALVES, eta=1.0), 2.0)


def test_the_mean_divides_by_root_alpha_t_not_by_root_alpha_bar_t():
    # x_2 = 1, eps_hat = 0: 1 / sqrt(alpha_2) = sqrt(2); the fault gives 1 / sqrt(1/4) = 2.
    assert close(ddpm_step(ONE, ZERO, ZERO, t=2, schedule=HALVES), math.sqrt(2))
    # x_2 = 0, eps_hat = 1: -(beta_2 / sqrt(1 - alpha_bar_2)) / sqrt(alpha_2) = -sqrt(2/3).
    assert close(ddpm_step(ZERO, ONE, ZERO, t=2, schedule=HALVES), -math.sqrt(2 / 3))


def test_alpha_bar_is_the_product_up_to_t_not_up_to_T():
    assert HALVES.alpha_bar.tolist() == [1.0, 0.5, 0.25]
    assert close(q_sample(ONE, 1, ZERO, schedule=HALVES), math.sqrt(1 / 2))
    assert close(q_sample(ONE, 2, ZERO, schedule=HALVES), 1 / 2)


def test_noise_has_the_weight_root_beta_not_beta():
    quarter = NoiseSchedule(torch.tensor([0.0, 0.25], dtype=F64))
    assert close(q_step(ZERO, 1, ONE, schedule=quarter), 0.5)
    # At t = 2, alpha_bar_1 = 1/2: beta_tilde = 1/3, beta = 1/2.
    noise = ddpm_step(ZERO, ZERO, ONE, t=2, schedule=HALVES, variance="beta")
    assert close(noise, math.sqrt(1 / 2))
    noise = ddpm_step(ZERO, ZERO, ONE, t=2, schedule=HALVES)
    assert close(noise, math.sqrt(1 / 3))


def test_posterior_variance_has_1_minus_alpha_bar_before_in_its_numerator():
    """(1 - alpha_bar_1) / (1 - alpha_bar_2) beta_2 = (1/2) / (3/4) 1/2 = 1/3.

    Faults: 1 - alpha_1 = 1/2 gives 1/3 here, too, so a second schedule tells them apart:
    beta = (1/2, 1/2, 3/4), alpha_bar_3 = 1/16: (3/4) / (15/16) 3/4 = 3/5.
    """
    assert close(q_posterior(ONE, ONE, 2, schedule=HALVES)[1], 1 / 3)
    three = NoiseSchedule(torch.tensor([0.0, 0.5, 0.5, 0.75], dtype=F64))
    assert close(q_posterior(ONE, ONE, 3, schedule=three)[1], 3 / 5)
    assert close(ddpm_step(ZERO, ZERO, ONE, t=3, schedule=three) ** 2, 3 / 5)
    assert close(ddim_step(ZERO, ZERO, ONE, t=3, t_prev=2, schedule=three, eta=1.0) ** 2, 3 / 5)


def test_images_reach_the_network_in_minus_one_to_one():
    images, _ = fashion_sample()
    assert (int(images.min()), int(images.max())) == (0, 255)
    assert_close(to_unit(images[:50]).aminmax(), (torch.tensor(-1.0), torch.tensor(1.0)))
    batch, _ = next(shuffled(*sample(), batch_size=200))
    assert (float(batch.min()), float(batch.max())) == (-1.0, 1.0)
    assert batch.dtype == torch.float32
    # And what is in [0, 1] is caught where grey levels matter.
    unscaled = images[:2, None].double() / 255
    with pytest.raises(ValueError, match=r"^x0 must hold grey levels"):
        variational_bound(predicts_eps(lambda xt, t: xt, HALVES), unscaled)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))
        self.register_buffer("alpha_bar", HALVES.alpha_bar.clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))


def test_the_average_leaves_the_tables_alone():
    net = Net()
    ema = EMA(net, decay=0.9)
    for step in range(5):
        net.steps += 1
        ema.update(net)
        assert torch.equal(ema.net.alpha_bar, HALVES.alpha_bar)
        assert int(ema.net.steps) == step + 1


def test_the_average_weighs_the_newest_weights_first_and_does_not_lag():
    """Weights 0, then 1 and 2, decay 0 and then 1/4 at most: d_1 = 2/11, d_2 = 1/4."""
    net = Net()
    ema = EMA(net, decay=0.25)
    net.w.data.fill_(1.0)
    ema.update(net)
    assert float(ema.net.w) == pytest.approx(9 / 11)  # the fault of order: 2/11
    net.w.data.fill_(2.0)
    ema.update(net)
    # The fault of lag averages 0 and 1 here.
    assert float(ema.net.w) == pytest.approx(9 / 11 / 4 + 2 * 3 / 4)


def test_the_sample_gives_images_with_channels_and_integer_labels():
    images, labels = sample()
    assert images.shape == (2000, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert torch.equal(images[:, 0], fashion_sample()[0])
