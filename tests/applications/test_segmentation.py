"""Features of a denoiser, classifiers on them, and the score: each against what it must be."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from dmlib.applications.segmentation import (
    CLASSES,
    Labelling,
    block_outputs,
    class_map,
    confusion,
    fit_pixels,
    fit_unet,
    iou,
    mean_iou,
    pixel_features,
    untrained,
    windows,
)
from dmlib.data import draw_scenes
from dmlib.models import UNet, UNetConfig, predicts_v
from dmlib.schedules import cosine_schedule

CONFIG = UNetConfig(
    image_size=32, channels=3, widths=(8, 16), blocks=1, emb_dim=8, heads=2, patch=2
)
SCENES = draw_scenes(12, generator=torch.Generator().manual_seed(0))
X0, TRUE = SCENES.images, class_map(SCENES)


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    return predicts_v(UNet(CONFIG), cosine_schedule(50)).eval()


def test_class_map_is_the_shape_under_the_pixel():
    """Object by object; the ground is where no object covers half."""
    for masks, shapes, true in zip(SCENES.masks, SCENES.shape, TRUE, strict=True):
        expected = torch.zeros(32, 32, dtype=torch.int64)
        for mask, shape in zip(masks, shapes, strict=True):
            expected[mask >= 0.5] = int(shape) + 1
        assert torch.equal(true, expected)
    assert set(TRUE.unique().tolist()) == set(range(len(CLASSES)))


def test_colour_tells_nothing_of_the_class():
    """Of object pixels the mean colour is the same for all shapes, up to chance."""
    scenes = draw_scenes(1500, generator=torch.Generator().manual_seed(1))
    true = class_map(scenes)
    means = torch.stack([scenes.images.movedim(1, -1)[true == k].mean(0) for k in range(1, 5)])
    # About 900 objects a shape, colours with a spread of 0.7: a mean is off by 0.03 or less.
    assert float((means - means.mean(0)).abs().max()) < 0.1


def test_a_frozen_network_is_left_as_it_was(denoiser):
    before = [p.clone() for p in denoiser.parameters()]
    f = pixel_features(denoiser, X0, 20, torch.randn(X0.shape), blocks=["middle.0"])
    assert not f.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(before, denoiser.parameters(), strict=True))
    assert not any(m._forward_hooks for m in denoiser.modules())


def test_features_depend_on_noise_and_time_and_hooks_go_after_an_error(denoiser):
    eps, blocks = torch.randn(X0.shape), ["up.1.stages.0", "down.0.stages.0"]
    one = pixel_features(denoiser, X0, 20, eps, blocks=blocks)
    assert one.shape == (12, 16, 32, 32)
    assert not torch.allclose(one, pixel_features(denoiser, X0, 21, eps, blocks=blocks))
    assert not torch.allclose(one, pixel_features(denoiser, X0, 20, -eps, blocks=blocks))
    with pytest.raises(ValueError, match="xt must"):
        block_outputs(denoiser, X0[:, :1], 20, blocks)
    assert not any(m._forward_hooks for m in denoiser.modules())
    with pytest.raises(ValueError, match="blocks must name parts"):
        block_outputs(denoiser, X0, 20, ["middle.7"])


def test_order_of_blocks_is_the_order_asked_for(denoiser):
    eps = torch.randn(X0.shape)
    a, b = "down.0.stages.0", "up.1.stages.0"
    first, second = (pixel_features(denoiser, X0, 9, eps, blocks=[n]) for n in (a, b))
    both = pixel_features(denoiser, X0, 9, eps, blocks=[b, a])
    assert_close(both, torch.cat([second, first], 1))


def test_windows_are_the_pixels_around():
    f = windows(X0, 3).unflatten(1, (3, 3, 3))  # colour, row, column of the window
    assert_close(f[:, :, 1, 1], X0)
    assert_close(f[:, :, 0, 2, 1:, :-1], X0[:, :, :-1, 1:])
    assert f[:, :, 0, :, 0].abs().max() == 0
    assert_close(windows(X0, 1), X0)
    with pytest.raises(ValueError, match="side must be odd"):
        windows(X0, 4)


def test_a_classifier_learns_what_is_there_to_learn():
    """Features that tell the class, among loud ones that do not; new scenes are called rightly."""
    generator = torch.Generator().manual_seed(2)

    def features(true):
        told = torch.nn.functional.one_hot(true, 5).movedim(-1, 1).float()
        noise = torch.randn(len(true), 5, 32, 32, generator=generator)
        return torch.cat([0.01 * (told + 0.1 * noise), 100 * noise], 1)

    classifier = fit_pixels(features(TRUE[:8]), TRUE[:8], seed=0)
    called = classifier(features(TRUE[8:])).argmax(1)
    assert float(mean_iou(confusion(called, TRUE[8:]))) > 0.9
    assert not any(p.requires_grad for p in classifier.parameters())
    again = fit_pixels(features(TRUE[:8]), TRUE[:8], seed=0)
    assert again.linear.weight.shape == classifier.linear.weight.shape
    with pytest.raises(ValueError, match="classes must be"):
        fit_pixels(features(TRUE[:8]), TRUE[:7], seed=0)


def test_a_seed_fixes_the_classifier():
    f = windows(X0, 3)
    one, two, other = (fit_pixels(f, TRUE, seed=s, steps=5).linear.weight for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_unet_from_nothing_learns_its_scenes():
    net = fit_unet(CONFIG, X0[:4], TRUE[:4], seed=0, steps=60)
    found = confusion(net(X0[:4]).argmax(1), TRUE[:4])
    everything_ground = mean_iou(confusion(0 * TRUE[:4], TRUE[:4]))
    assert float(mean_iou(found)) > float(everything_ground) + 0.05
    assert Labelling(CONFIG)(X0[:2]).shape == (2, 5, 32, 32)


def test_untrained_has_other_weights_everywhere_and_the_same_shape(denoiser):
    other, same = untrained(denoiser, seed=3), untrained(denoiser, seed=3)
    pairs = zip(denoiser.parameters(), other.parameters(), same.parameters(), strict=True)
    for mine, theirs, again in pairs:
        assert torch.equal(theirs, again)
        if mine.ndim > 1:  # norms start as 1 and 0, in both
            assert not torch.equal(mine, theirs)
            assert theirs.abs().max() > 0
    eps = torch.randn(X0.shape)
    f = pixel_features(other, X0, 1, eps, blocks=["up.1.stages.0"])
    assert f.std((0, 2, 3)).min() > 1e-3


def test_confusion_counts_every_pixel_once():
    generator = torch.Generator().manual_seed(4)
    predicted, true = torch.randint(0, 5, (2, 3, 9, 9), generator=generator)
    counts = confusion(predicted, true)
    assert counts.sum() == predicted.numel()
    for i in range(5):
        for j in range(5):
            assert counts[i, j] == ((true == i) & (predicted == j)).sum()


def test_score_is_one_for_the_truth_and_knows_corners():
    assert mean_iou(confusion(TRUE, TRUE)) == 1
    all_ground = confusion(0 * TRUE, TRUE)
    share = (TRUE == 0).double().mean()
    assert_close(mean_iou(all_ground), share / 5)
    only = confusion(torch.tensor([0, 0]), torch.tensor([0, 0]))
    assert iou(only)[0] == 1
    assert iou(only)[1:].isnan().all()
    assert mean_iou(only) == 1
