"""What the checks of the U-Net's chapter say of the network is what dmlib's network does."""

from __future__ import annotations

import pytest
import torch

from dmlib.checks.unet.derive import SKIP_SHAPES
from dmlib.models.unet import UNet, UNetConfig

CONFIGS = [
    UNetConfig(image_size=8, widths=(4, 8), attention=(), groups=2, heads=2, emb_dim=6, blocks=3),
    UNetConfig(image_size=16, widths=(8, 4, 8), attention=(4,), groups=4, heads=2, emb_dim=8),
]


def runs(config, watched, note):
    """Run the network once and note what goes through the watched layers."""
    net = UNet(config)
    for layer in watched(net):
        layer.register_forward_hook(lambda layer, _inputs, output: note(layer, output))
    size = config.image_size
    with torch.no_grad():
        net(torch.zeros(1, config.channels, size, size), 1)
    return net


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: str(c.widths))
def test_skips_come_in_the_order_of_the_way_up(config):
    made = []
    runs(
        config,
        lambda net: [stage for level in net.down for stage in level.stages],
        lambda _layer, output: made.append(tuple(output.shape[1:3])),
    )
    # `skips.pop()` in UNet.forward: the last one made is the first one used.
    expected = SKIP_SHAPES.reference(config.image_size, config.widths, config.blocks)
    assert expected == made[::-1]
