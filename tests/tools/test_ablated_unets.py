"""What the ablations take away is gone, and nothing else is."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlib.models import UNet, UNetConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "make"))
from ablated_unets import as_it_is, without_attention, without_skips, without_time

ASSET = Path(__file__).parents[2] / "dmlib" / "assets" / "unet_ablations.npz"
SMALL = UNetConfig(
    image_size=8, widths=(16, 24), blocks=1, attention=(4,), emb_dim=16, num_classes=3
)
CHANGES = (as_it_is, without_skips, without_time, without_attention)


def make(change, config=SMALL):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(config)
        for p in net.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.1)
        change(net)
    return net.double()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("change", CHANGES)
def test_all_weights_stay_and_start_alike(change):
    got, whole = make(change).state_dict(), make(as_it_is).state_dict()
    assert got.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("change", CHANGES[1:])
def test_something_is_gone(change):
    xt = noise(2, 1, 8, 8)
    assert (make(change)(xt, 50) - make(as_it_is)(xt, 50)).abs().max() > 1e-4


def test_without_time_no_t_is_heard_but_the_class_is():
    net, xt = make(without_time), noise(2, 1, 8, 8)
    torch.testing.assert_close(net(xt, 3), net(xt, 900), rtol=0, atol=0)
    one, two = (net(xt, 3, torch.tensor([k, k])) for k in (0, 1))
    assert (one - two).abs().max() > 1e-4


def test_without_skips_the_way_up_knows_the_middle_only():
    net, xt = make(without_skips), noise(2, 1, 8, 8)
    middle = []
    net.middle[1].register_forward_hook(lambda _m, _i, out: middle.append(out) or middle[0])
    # The second call is handed the first one's middle: nothing else can reach the answer.
    torch.testing.assert_close(net(xt, 50), net(noise(2, 1, 8, 8, seed=1), 50), rtol=0, atol=0)


@pytest.mark.parametrize("stage", ["down.1.stages.0", "middle.0", "up.0.stages.0"])
def test_without_attention_no_place_hears_of_another(stage):
    net = make(without_attention, replace(SMALL, groups=8))
    layer = net.get_submodule(stage).attention
    # The norm mixes places, too; what comes after it must not.
    layer.norm = torch.nn.Identity()
    x = noise(1, 24, 4, 4).requires_grad_(True)
    (gradient,) = torch.autograd.grad(layer(x)[0, :, 1, 2].sum(), x)
    moved = gradient.abs().sum(1)[0]
    assert moved[1, 2] > 0
    moved[1, 2] = 0
    assert not moved.any()


def test_shipped_results_are_those_of_their_card():
    card = json.loads(ASSET.with_suffix(".json").read_text())
    data = ASSET.read_bytes()
    assert len(data) == card["bytes"] < 300_000
    assert hashlib.sha256(data).hexdigest() == card["sha256"]
    names = [row["variant"] for row in card["variants"]]
    assert names == ["full", "no skips", "no time", "no attention", "full again"]
    assert len({row["parameters"] for row in card["variants"]}) == 1
    with np.load(ASSET, allow_pickle=False) as run:
        error, t = run["error"], run["t"]
        assert error.shape == (5, len(t))
        assert run["samples"].shape == (5, 20, 28, 28)
        assert run["loss"].shape == (5, card["train"]["steps"] // card["every"])
    for row, mean in zip(card["variants"], error.mean(1), strict=True):
        assert row["error"] == pytest.approx(mean, rel=1e-4)
        assert row["gap_to_full"] == pytest.approx(mean - error[0].mean(), abs=1e-5)


def test_the_text_of_chapter_4_tells_what_was_measured():
    """The skips count most, the time a little, attention no more than a few per cent."""
    rows = json.loads(ASSET.with_suffix(".json").read_text())["variants"]
    full, skips, time, attention, again = (row["error"] for row in rows)
    assert skips > 1.5 * full
    assert full < time < 1.3 * full
    assert abs(attention - full) < 0.05 * full
    assert abs(again - full) < 0.05 * full
