"""Completion of clouds: what is known stays, and what is told is heard."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from dmlib.applications.point_clouds import completing, keeping, some_of, visible
from dmlib.models import CloudNet, predicts_eps, predicts_v
from dmlib.sampling import generate, sample
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddim, ddpm, dpm_solver, heun

SCHEDULE = cosine_schedule(200)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def denoiser():
    net, g = CloudNet(width=16, blocks=1, tokens=4, num_classes=4).eval(), seeded(1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=g))
    return predicts_v(net, SCHEDULE)


CLOUD = torch.randn(3, 40, 3, generator=seeded(2))
KNOWN = torch.rand(3, 40, generator=seeded(3)) < 0.4
NOISE = torch.randn(3, 40, 3, generator=seeded(4))


@pytest.mark.parametrize("rule", [ddpm(), ddim(), ddim(1.0), dpm_solver(), heun()])
def test_known_points_are_left_exactly_by_every_sampler(denoiser, rule):
    told = completing(denoiser, CLOUD, KNOWN)
    made = generate(told, NOISE, step=rule, times=7, generator=seeded(5))
    assert torch.equal(made[KNOWN], CLOUD[KNOWN])
    assert not (made == CLOUD).all(-1)[~KNOWN].any()


def test_replacement_keeps_them_and_noises_them_on_the_way(denoiser):
    rule = keeping(ddpm(), CLOUD, KNOWN)
    shots = list(sample(denoiser, NOISE, step=rule, times=5, generator=seeded(6)))
    assert torch.equal(shots[-1].xt[KNOWN], CLOUD[KNOWN])
    a, b = SCHEDULE.level(int(shots[2].t))
    z = (shots[2].xt[KNOWN] - a * CLOUD[KNOWN]) / b
    assert abs(float(z.std()) - 1) < 0.2
    assert abs(float(z.mean())) < 0.2
    plain = list(sample(denoiser, NOISE, step=ddpm(), times=5, generator=seeded(6)))
    assert_close(shots[1].xt[~KNOWN], plain[1].xt[~KNOWN])  # the others take the step as ever


def test_the_network_sees_known_points_clean_and_nothing_of_the_rest(denoiser):
    """x_t of known points and the cloud of unknown ones are read nowhere."""
    told = completing(denoiser, CLOUD, KNOWN, y=torch.tensor([0, 1, 2]))
    xt = torch.randn(3, 40, 3, generator=seeded(7))
    other_xt = torch.where(KNOWN[..., None], xt + 1, xt)
    other_cloud = torch.where(KNOWN[..., None], CLOUD, CLOUD + 1)
    guess = told(xt, 100)
    again = completing(denoiser, other_cloud, KNOWN, y=torch.tensor([0, 1, 2]))(other_xt, 100)
    assert torch.equal(guess.x0_hat, again.x0_hat)
    asked = torch.where(KNOWN[..., None], CLOUD, xt)
    v = denoiser.net(asked, 100, torch.tensor([0, 1, 2]), known=KNOWN)
    a, b = SCHEDULE.level(100)
    assert_close(guess.x0_hat[~KNOWN], (a * xt - b * v)[~KNOWN])
    assert_close(a * guess.x0_hat + b * guess.eps_hat, xt, atol=1e-5, rtol=0)


def test_completion_knows_no_order(denoiser):
    order = torch.randperm(40, generator=seeded(8))
    guess = completing(denoiser, CLOUD, KNOWN)(NOISE, 50)
    mixed = completing(denoiser, CLOUD[:, order], KNOWN[:, order])(NOISE[:, order], 50)
    assert_close(mixed.x0_hat, guess.x0_hat[:, order], atol=1e-5, rtol=0)


def test_visible_and_some_of_choose_what_they_say():
    up = torch.tensor([0.0, 0.0, 1.0])
    seen = visible(CLOUD, up, 0.3)
    assert torch.equal(seen, CLOUD[..., 2] > 0.3)
    each = visible(CLOUD, torch.eye(3), torch.tensor([0.0, 1.0, 9.0]))
    assert torch.equal(each[1], CLOUD[1, :, 1] > 1)
    assert not each[2].any()
    few = some_of(seen, 5, generator=seeded(9))
    assert few.sum(1).tolist() == [5, 5, 5]
    assert (few <= seen).all()
    assert torch.equal(some_of(seen, 40), seen)
    often = sum(some_of(seen, 5, generator=seeded(s)).double() for s in range(400)) / 400
    share = 5 / seen.sum(1, keepdim=True).double()
    assert ((often - share)[seen.expand_as(often)].abs() < 0.15).all()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda d: completing(d, CLOUD, KNOWN.double()), "known"),
        (lambda d: keeping(ddpm(), CLOUD, KNOWN[:, :3]), "known"),
        (lambda d: completing(predicts_eps(d.net, SCHEDULE), CLOUD, KNOWN), "predicts v"),
        (lambda d: some_of(KNOWN, -1), "count"),
        (lambda d: visible(CLOUD[0], torch.ones(3), 0.0), "cloud"),
    ],
)
def test_bad_arguments_are_named(denoiser, call, word):
    with pytest.raises(ValueError, match=word):
        call(denoiser)
