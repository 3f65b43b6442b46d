"""What the checks of the U-Net's chapter say of the network is what dmlib's network does."""

from __future__ import annotations

import math

import pytest
import torch

from dmlib.book.chapters.unet.build import EMBEDDING
from dmlib.book.chapters.unet.count import SKIP_SHAPES
from dmlib.book.chapters.unet.derive import FIRST_LOSS, RECEPTIVE_FIELD
from dmlib.book.chapters.unet.open import _cost
from dmlib.book.checks.engine import judge
from dmlib.forward import q_sample
from dmlib.models import UNet, UNetConfig, predicts_v
from dmlib.models.inspect import parts
from dmlib.schedules import cosine_schedule

CONFIGS = [
    UNetConfig(image_size=8, widths=(4, 8), attention=(), groups=2, heads=2, emb_dim=6, blocks=3),
    UNetConfig(image_size=16, widths=(8, 4, 8), attention=(4,), groups=4, heads=2, emb_dim=8),
]
PATCHED = UNetConfig(
    image_size=16, widths=(8, 12), patch=2, blocks=1, attention=(8,), emb_dim=4, groups=4, heads=2
)


def runs(config, watched, note):
    """Run the network once and note what goes through the watched layers."""
    net = UNet(config)
    for layer in watched(net):
        layer.register_forward_hook(lambda layer, _inputs, output: note(layer, output))
    size = config.image_size
    with torch.no_grad():
        net(torch.zeros(1, config.channels, size, size), 1)
    return net


@pytest.mark.parametrize("config", [*CONFIGS, PATCHED], ids=lambda c: str(c.widths))
def test_cost_is_what_the_chapters_tool_measures(config):
    measured = parts(UNet(config))
    expected = [sum(p.parameters for p in measured), sum(p.multiply_adds for p in measured)]
    assert list(_cost(config)) == expected


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


def test_known_mistake_is_recognised_in_float32():
    def k_over_d(t, dim):
        omega = torch.exp(-math.log(10_000) * torch.arange(dim // 2) / dim)
        angle = t[:, None].float() * omega
        return torch.cat([angle.cos(), angle.sin()], 1)

    for seed in range(20):
        verdict = judge(EMBEDDING, k_over_d, seed=seed, seconds=10)
        assert verdict.mistake == "dim in place of dim/2 in the exponent"


def test_first_loss_is_that_of_a_fresh_network():
    schedule, t = cosine_schedule(100), 40
    net = predicts_v(UNet(CONFIGS[0]).double(), schedule)
    generator = torch.Generator().manual_seed(0)
    x0 = 0.7 * torch.randn(4000, 1, 8, 8, generator=generator, dtype=torch.float64)
    eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        eps_hat = net(q_sample(x0, t, eps, schedule=schedule), t).eps_hat
    expected = sum(FIRST_LOSS.reference(float(schedule.alpha_bar[t]), 0.49).values())
    # 256,000 pixels: the mean of a square is off by less than 4 sqrt(2 / n) of it, 1.1 %.
    assert ((eps - eps_hat) ** 2).mean().item() == pytest.approx(expected, rel=0.011)


def test_way_down_sees_as_far_as_the_gradient_reaches():
    config = UNetConfig(
        image_size=64, widths=(4, 4), attention=(), groups=1, heads=1, emb_dim=4, blocks=1
    )
    net = UNet(config).double()
    for module in net.modules():  # a norm looks at the whole map: it is not counted
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.GroupNorm):
                setattr(module, name, torch.nn.Identity())
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 0.2)
    image = torch.zeros(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    h, emb = net.stem(image), torch.zeros(1, 4, dtype=torch.float64)
    for level in net.down:
        h = h if level.resize is None else level.resize(h)
        for stage in level.stages:
            h = stage(h, emb)
    (gradient,) = torch.autograd.grad(h[0, 0, 16, 16], image)
    rows = (gradient[0, 0] != 0).any(1).sum()
    assert int(rows) == RECEPTIVE_FIELD.reference(2, 1)
