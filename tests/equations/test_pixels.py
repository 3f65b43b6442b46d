"""The labelled equations of the chapter on which pixel is what, one by one."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.testing import assert_close

from dmlib.applications.segmentation import (
    PixelClassifier,
    confusion,
    iou,
    mean_iou,
    pixel_features,
)
from dmlib.models import UNet, UNetConfig, predicts_v
from dmlib.schedules import cosine_schedule

F64 = torch.float64


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def linear(row: torch.Tensor, n: int) -> torch.Tensor:
    """(h,) -> (n,): linear between the cells' centres, constant beyond the outer ones."""
    at = ((torch.arange(n, dtype=F64) + 0.5) * len(row) / n - 0.5).clamp(0, len(row) - 1)
    left = at.floor().long().clamp(max=len(row) - 2)
    share = at - left
    return (1 - share) * row[left] + share * row[left + 1]


def test_eq_pixel_features():
    """By hand: noise, a hook of our own, and the map enlarged row by row and column by column."""
    config = UNetConfig(image_size=8, channels=3, widths=(8, 16), blocks=1, emb_dim=8, heads=2)
    torch.manual_seed(0)
    net = UNet(config).double().eval()
    for weight in net.parameters():  # the zeroed layers must speak, too
        torch.nn.init.normal_(weight, std=0.2)
    denoiser, x0, eps = predicts_v(net, cosine_schedule(50)), randn(2, 3, 8, 8), randn(2, 3, 8, 8)
    t = torch.tensor([7, 31])
    bar = denoiser.path.alpha_bar.double()[t].view(-1, 1, 1, 1)
    seen = {}
    for name in ("down.1.stages.0", "up.1.stages.0"):
        net.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: seen.update({name: out})
        )
    net(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, t)
    coarse, fine = seen["down.1.stages.0"], seen["up.1.stages.0"]
    assert coarse.shape[2:] == (4, 4)
    by_hand = torch.zeros(2, 16, 8, 8, dtype=F64)
    for i in range(2):
        for c in range(16):
            tall = torch.stack([linear(column, 8) for column in coarse[i, c].T], 1)
            by_hand[i, c] = torch.stack([linear(row, 8) for row in tall])
    found = pixel_features(denoiser, x0, t, eps, blocks=list(seen))
    assert_close(found, torch.cat([by_hand, fine], 1), rtol=1e-6, atol=1e-6)


def test_eq_pixel_classifier():
    """The same scores as a convolution of one pixel on features that are normalised before."""
    mean, std, f = randn(5), randn(5, seed=1).abs() + 0.1, randn(2, 5, 3, 4, seed=2)
    net = PixelClassifier(mean, std, classes=3).double()
    torch.nn.init.normal_(net.linear.weight)
    torch.nn.init.normal_(net.linear.bias)
    normed = (f - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    expected = F.conv2d(normed, net.linear.weight[:, :, None, None], net.linear.bias)
    assert_close(net(f), expected)


PREDICTED = torch.tensor([[0, 0, 1, 1], [2, 0, 4, 1]])
TRUE = torch.tensor([[0, 0, 1, 2], [2, 1, 0, 1]])


def test_eq_iou():
    """By sets of pixels; class 3 is nowhere, class 4 is only called."""
    found = iou(confusion(PREDICTED, TRUE))
    pixels = list(zip(PREDICTED.flatten().tolist(), TRUE.flatten().tolist(), strict=True))
    for k in range(5):
        called = {i for i, (p, _) in enumerate(pixels) if p == k}
        is_so = {i for i, (_, t) in enumerate(pixels) if t == k}
        if called | is_so:
            assert float(found[k]) == len(called & is_so) / len(called | is_so)
        else:
            assert found[k].isnan()
    assert found[4] == 0


def test_eq_miou():
    """2/4, 2/4, 1/2 and 0/1, the mean over the four classes that are anywhere."""
    assert_close(mean_iou(confusion(PREDICTED, TRUE)), torch.tensor(1.5 / 4, dtype=F64))
