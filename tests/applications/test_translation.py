"""Networks that are shown a picture: what they are shown, and what comes back."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from dmlib.applications.translation import (
    block_posterior,
    enlarged,
    first_guess,
    outline,
    psnr,
    shrunk,
    translate,
)
from dmlib.assets import ASSETS
from dmlib.checkpoint import load_pictures
from dmlib.data import garment_mixture, to_unit, unseen_garments
from dmlib.models import UNetConfig, predicts_v
from dmlib.models.picture_unet import PictureUNet
from dmlib.schedules import cosine_schedule
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

SMALL = UNetConfig(image_size=8, widths=(8,), blocks=1, heads=2, emb_dim=8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> PictureUNet:
    torch.manual_seed(0)
    made = PictureUNet(SMALL).eval()
    torch.nn.init.normal_(made.unet.head.weight, std=0.1)
    return made


def test_shrunk_undoes_enlarged_and_keeps_the_mean():
    x = torch.randn(2, 3, 8, 12, generator=generator())
    for factor in (1, 2, 4):
        assert_close(shrunk(enlarged(x, factor), factor), x)
        assert_close(shrunk(x, factor).mean(), x.mean())
    assert (enlarged(x, 2)[:, :, 1::2, 1::2] == x).all()


def test_outline_draws_the_border_of_a_square_and_nothing_inside():
    x = -torch.ones(1, 1, 12, 12)
    x[:, :, 3:9, 3:9] = 1
    lines = outline(x)[0, 0]
    inside, outside = lines[5:7, 5:7], lines[:2]
    assert (inside == -1).all()
    assert (outside == -1).all()
    assert (lines[3:9, 3] == 1).all()
    assert (lines[3, 3:9] == 1).all()
    assert set(lines.unique().tolist()) == {-1.0, 1.0}


def test_outline_is_steepness_of_either_direction():
    ramp = torch.linspace(-1, 1, 9).expand(9, 9)[None, None]  # a slope of 0.25 a pixel
    assert (outline(ramp, edge=0.24)[..., 1:-1] == 1).all()
    assert (outline(ramp, edge=0.26) == -1).all()
    assert (outline(ramp.mT, edge=0.24)[..., 1:-1, :] == 1).all()


def test_network_sees_what_is_given_and_answers_in_the_shape_of_xt():
    model, xt = net(), torch.randn(3, 1, 8, 8, generator=generator())
    given = torch.randn(3, 1, 8, 8, generator=generator(1))
    answer = model(xt, 5, given)
    assert answer.shape == xt.shape
    assert not torch.allclose(answer, model(xt, 5, given.flip(3)))
    assert_close(model(xt, 5), model(xt, 5, torch.zeros_like(given)))
    assert_close(model(xt, 5, given)[1:2], model(xt[1:2], 5, given[1:2]))


@pytest.mark.parametrize("given", [torch.zeros(2, 1, 8, 8), torch.zeros(3, 2, 8, 8)])
def test_network_refuses_what_does_not_fit(given):
    with pytest.raises(ValueError, match=r"y \(3, 1, 8, 8\), got"):
        net()(torch.zeros(3, 1, 8, 8), 5, given)


@pytest.mark.parametrize("config", [None, UNetConfig(image_size=8, widths=(8,), num_classes=3)])
def test_network_with_classes_is_refused(config):
    with pytest.raises(ValueError, match="UNetConfig without classes"):
        PictureUNet(config)


def test_training_takes_pictures_for_a_condition_and_learns_to_use_them():
    """x_0 is what is given: after some steps the loss is far below that without a condition."""
    torch.manual_seed(0)
    model = predicts_v(PictureUNet(SMALL), cosine_schedule(50))
    config = TrainConfig(steps=60, learning_rate=3e-3, warmup=5, label_dropout=0.1, weighting="v")

    def batches():
        g = generator()
        while True:
            x0 = torch.randn(16, 1, 8, 8, generator=g)
            yield x0, x0

    losses = [record.loss for record in Training(model, config=config).run(batches())]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_training_refuses_pictures_of_another_size():
    model = predicts_v(PictureUNet(SMALL), cosine_schedule(50))
    training = Training(model, config=TrainConfig(steps=1, warmup=0))
    x0 = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"y must be of float32, \(2, 1, 8, 8\), or None, got"):
        next(training.run([(x0, x0[:, :, :4])]))


def test_samples_depend_on_the_noise_and_the_first_guess_takes_one_call():
    model = predicts_v(net(), cosine_schedule(50)).eval()
    given = torch.rand(2, 1, 8, 8, generator=generator()) * 2 - 1
    first = translate(model, given, generator=generator(1), times=4)
    assert_close(first, translate(model, given, generator=generator(1), times=4))
    assert not torch.allclose(first, translate(model, given, generator=generator(2), times=4))
    assert first.abs().max() <= 1
    assert first_guess(model, given, generator=generator()).shape == given.shape


def test_exact_samples_have_twice_the_error_of_the_mean():
    """300 pictures of the mixture: 2 within 4 % (the spread over 20 seeds is 0.8 %)."""
    mixture, g = garment_mixture(), generator()
    x = mixture.repeated(300).sample(g).view(-1, 1, 28, 28)
    exact = block_posterior(mixture, shrunk(x))
    mean, sample = ((found - x).square().mean() for found in (exact.mean(), exact.sample(g)))
    assert float(sample / mean) == pytest.approx(2, rel=0.04)


def test_block_posterior_refuses_what_is_no_block_mean():
    with pytest.raises(ValueError, match="block means of 784 pixels, got"):
        block_posterior(garment_mixture(), torch.zeros(1, 1, 5, 7))


@pytest.mark.parametrize("task", ["super_resolution", "outlines"])
def test_shipped_networks_answer_as_their_cards_say(task):
    """On 100 garments: PSNR of the first guess and of samples within 0.5 dB of the card's."""
    model, card = load_pictures(ASSETS / f"{task}_unet.safetensors")
    x = to_unit(unseen_garments()).view(-1, 1, 28, 28)
    given = outline(x) if task == "outlines" else enlarged(shrunk(x))
    guess = first_guess(model, given, generator=generator()).clamp(-1, 1)
    sample = translate(model, given, generator=generator(), times=20)
    table = card["measured"]["table"]
    assert float(psnr(guess, x).mean()) == pytest.approx(table["first guess"]["psnr"], abs=0.5)
    assert float(psnr(sample, x).mean()) == pytest.approx(table["one sample"]["psnr"], abs=0.5)
    assert sum(p.numel() for p in model.parameters()) == card["parameters"] < 700_000
    # Shown the wrong picture, it draws that one.
    other = translate(model, given.roll(1, 0), generator=generator(), times=20)
    assert psnr(other, x).mean() < psnr(sample, x).mean() - 3
