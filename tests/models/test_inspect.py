"""Laws of looking into a U-Net: the counts add up, and what is kept is what was computed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dmlib.models import MLP, UNet, UNetConfig, predicts_v
from dmlib.models.inspect import activations, influence, named_parts, parts
from dmlib.schedules import cosine_schedule

SMALL = UNetConfig(
    image_size=8, widths=(16, 24), blocks=2, attention=(4,), emb_dim=16, num_classes=3
)
CONFIGS = {
    "two blocks": SMALL,
    "patch": replace(SMALL, patch=2, blocks=1),
    "colour, no class": replace(SMALL, channels=3, num_classes=None, attention=()),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def awake(config: UNetConfig = SMALL) -> UNet:
    """A network of which no part is zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(config).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(p + 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return net


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_config
def test_parameters_of_the_parts_add_up(config):
    net = UNet(config)
    assert sum(p.parameters for p in parts(net)) == sum(p.numel() for p in net.parameters())


@every_config
def test_multiply_adds_of_the_parts_add_up(config):
    net = UNet(config)
    size = config.image_size
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, config.channels, size, size), 1)
    assert 2 * sum(p.multiply_adds for p in parts(net)) == counter.get_total_flops()


def test_counts_are_those_of_the_formulas():
    found = {p.name: p for p in parts(UNet(SMALL))}
    down = found["down.1.resize"]
    assert down.parameters == 3 * 3 * 16 * 16 + 16
    assert down.multiply_adds == 3 * 3 * 16 * 16 * 4 * 4
    up = found["up.1.resize"]  # its convolution comes before the doubling
    assert (up.shape_in, up.shape_out) == ((24, 4, 4), (16, 8, 8))
    assert up.multiply_adds == 3 * 3 * 24 * 16 * 4 * 4
    attention = found["middle.0.attention"]
    N, C = 16, 24
    assert attention.parameters == 2 * C + (C + 1) * 3 * C + (C + 1) * C
    assert attention.multiply_adds == 4 * N * C**2 + 2 * N**2 * C


def test_parts_stand_in_the_order_of_the_computation():
    names = [p.name for p in parts(UNet(SMALL))]
    assert names[:3] == ["conditioning", "stem", "down.0.stages.0.block"]
    assert names[-1] == "head"
    wanted = ["down.1.stages.1.attention", "middle.0.block", "middle.0.attention", "up.0"]
    places = [next(i for i, n in enumerate(names) if n.startswith(w)) for w in wanted]
    assert places == sorted(places)
    assert sorted(names) == sorted(name for name, _, _ in named_parts(UNet(SMALL)))


def test_each_part_takes_what_its_forerunner_puts_out():
    chain = [p for p in parts(UNet(SMALL)) if p.kind != "conditioning"]
    for before, part in itertools.pairwise(chain):
        takes_skip = part.place == "up" and part.kind == "residual block"
        extra = part.shape_out[0] if takes_skip else 0
        channels, *size = before.shape_out
        assert part.shape_in == (channels + extra, *size)


def test_counting_leaves_the_network_as_it_was():
    net = UNet(SMALL)
    parts(net)
    activations(net, torch.zeros(1, 1, 8, 8), 1)
    assert not any(m._forward_hooks for m in net.modules())


def test_a_network_without_memory_can_be_counted():
    with torch.device("meta"):
        there = UNet(SMALL)
    assert parts(there) == parts(UNet(SMALL))


def test_activations_are_what_the_modules_put_out():
    net, xt = awake(), noise(2, 1, 8, 8)
    kept = activations(net, xt, 5)
    assert list(kept) == [p.name for p in parts(net)]
    torch.testing.assert_close(kept["stem"], net.stem(xt))
    t, y = torch.tensor([5, 5]), torch.tensor([3, 3])
    torch.testing.assert_close(kept["conditioning"], net.conditioning(t, y))
    torch.testing.assert_close(kept["head"], net(xt, 5))


def test_influence_is_the_finite_difference():
    net, xt = awake(), noise(1, 1, 8, 8)
    map_ = influence(net, xt, 7, pixel=(2, 5))
    for i, j in ((2, 5), (0, 0), (7, 3)):
        step = torch.zeros_like(xt)
        step[0, 0, i, j] = 1e-5
        with torch.no_grad():
            change = (net(xt + step, 7) - net(xt - step, 7))[0, 0, 2, 5] / 2e-5
        torch.testing.assert_close(map_[i, j], change.abs(), rtol=1e-5, atol=1e-9)


def test_wrapped_network_is_looked_through():
    net = awake()
    wrapped = predicts_v(net, cosine_schedule(100))
    assert parts(wrapped) == parts(net)
    xt = noise(1, 1, 8, 8)
    torch.testing.assert_close(
        influence(wrapped, xt, 7, pixel=(0, 0)), influence(net, xt, 7, pixel=(0, 0))
    )
    torch.testing.assert_close(activations(wrapped, xt, 7)["head"], net(xt, 7))


@pytest.mark.parametrize("net", [MLP(2), nn.Linear(1, 1)])
def test_what_is_no_unet_is_refused(net):
    with pytest.raises(ValueError, match="net must be a UNet"):
        parts(net)


def test_pixel_outside_is_refused():
    with pytest.raises(ValueError, match=r"pixel must lie in 0\.\.7 twice, got \(8, 0\)"):
        influence(awake(), noise(1, 1, 8, 8), 1, pixel=(8, 0))
