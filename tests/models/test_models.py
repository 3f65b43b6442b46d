"""Laws of the networks: nothing in them is dead, and nothing wrong goes in unnoticed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dmlib.models import MLP, UNet, UNetConfig
from dmlib.models.blocks import ResidualBlock, SelfAttention, attend
from dmlib.models.embedding import Conditioning, sinusoidal_embedding

SMALL = UNetConfig(
    image_size=8, channels=1, widths=(16, 24), blocks=2, attention=(4,), emb_dim=16, num_classes=3
)


def awake(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give the parts that start at 0 values, so that everything takes part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    return net


def make_net(config: UNetConfig = SMALL) -> UNet:
    torch.manual_seed(0)
    return awake(UNet(config))


def make_input(B: int = 3, config: UNetConfig = SMALL) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(1)
    xt = torch.randn((B, config.channels, config.image_size, config.image_size), generator=g)
    return xt, torch.tensor([1, 40, 900])[:B], torch.tensor([0, 1, 2])[:B]


NETS = {
    "unet": (lambda: make_net(), make_input()),
    "unet with patch": (lambda: make_net(replace(SMALL, patch=2, attention=(4,))), make_input()),
    "mlp": (
        lambda: (torch.manual_seed(0), awake(MLP(2, width=16, num_classes=3)))[1],
        (torch.randn((3, 2), generator=torch.Generator().manual_seed(2)), *make_input()[1:]),
    ),
}


@pytest.fixture(params=NETS)
def pair(request):
    make, inputs = NETS[request.param]
    return make(), inputs


def test_every_parameter_gets_gradient(pair):
    net, (xt, t, _) = pair
    y = torch.tensor([0, 1, 2])
    net(xt, t, y).square().sum().backward()
    null = net(xt, t)  # the last row of the class embedding
    null.square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


def test_untrained_net_predicts_zero():
    xt, t, y = make_input()
    assert not UNet(SMALL)(xt, t, y).any()


def test_overfits_one_batch():
    torch.manual_seed(0)
    net = UNet(replace(SMALL, blocks=1))
    xt, t, y = make_input()
    g = torch.Generator().manual_seed(3)
    eps = torch.randn(xt.shape, generator=g)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0)
    for _ in range(250):
        loss = (net(xt, t, y) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-3  # 1 at the start: the variance of eps


@pytest.mark.parametrize("patch", [1, 2])
def test_cutting_each_skip_changes_the_output(patch):
    config = replace(SMALL, patch=patch, attention=(4,))
    net, (xt, t, y) = make_net(config), make_input()
    whole = net(xt, t, y)
    stages = [(level, i) for level in range(2) for i in range(config.blocks)]
    for level, i in stages:
        block = net.up[level].stages[i].block
        width = config.widths[-1 - level]

        def cut(_, inputs, width=width):
            h, skip = inputs[0].split([inputs[0].shape[1] - width, width], dim=1)
            return torch.cat([h, torch.zeros_like(skip)], dim=1), inputs[1]

        hook = block.register_forward_pre_hook(cut)
        assert (net(xt, t, y) - whole).abs().max() > 1e-4, (level, i)
        hook.remove()


def test_each_skip_comes_from_the_partner_of_its_block():
    net, (xt, t, y) = make_net(), make_input()
    sent, received = [], []
    for level in net.down:
        for stage in level.stages:
            stage.register_forward_hook(lambda *a: sent.append(a[2]))
    for level in net.up:
        for stage in level.stages:
            stage.register_forward_pre_hook(lambda _, a: received.append(a[0]))
    net(xt, t, y)
    for down, up in zip(reversed(sent), received, strict=True):
        torch.testing.assert_close(up[:, -down.shape[1] :], down, rtol=0, atol=0)


def test_time_matters_and_so_does_the_class(pair):
    net, (xt, t, y) = pair
    base = net(xt, t, y)
    assert (net(xt, t + 5, y) - base).abs().max() > 1e-4
    assert (net(xt, t, (y + 1) % 3) - base).abs().max() > 1e-4


def test_no_class_is_the_null_class(pair):
    net, (xt, t, y) = pair
    null = torch.full_like(y, net.num_classes)
    torch.testing.assert_close(net(xt, t), net(xt, t, null), rtol=0, atol=0)
    assert (net(xt, t) - net(xt, t, y)).abs().max() > 1e-4


def test_images_of_a_batch_do_not_see_each_other(pair):
    net, (xt, t, y) = pair
    net, xt = net.double(), xt.double()
    alone = torch.cat([net(xt[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(xt, t, y), alone)


def test_one_t_for_all_equals_a_t_each(pair):
    net, (xt, _, y) = pair
    torch.testing.assert_close(net(xt, 7, y), net(xt, torch.tensor([7, 7, 7]), y))


def test_memory_format_does_not_change_the_result():
    net, (xt, t, y) = make_net().double(), make_input()
    plain = net(xt.double(), t, y)
    last = net.to(memory_format=torch.channels_last)
    got = last(xt.double().contiguous(memory_format=torch.channels_last), t, y)
    torch.testing.assert_close(got, plain)


def test_embedding_is_the_formula():
    t, dim = torch.tensor([0, 1, 17, 1000]), 8
    got = sinusoidal_embedding(t, dim)
    for i, step in enumerate(t.tolist()):
        for k in range(dim // 2):
            omega = 10_000 ** (-k / (dim // 2))
            assert got[i, k].item() == pytest.approx(math.cos(omega * step), abs=1e-4)
            assert got[i, dim // 2 + k].item() == pytest.approx(math.sin(omega * step), abs=1e-4)


def test_embedding_tells_all_steps_apart():
    e = sinusoidal_embedding(torch.arange(1001), 64)
    distance = torch.cdist(e, e) + 10 * torch.eye(1001)
    assert distance.min() > 0.1


def test_attention_equals_torchs():
    q, k, v = torch.randn((3, 2, 4, 9, 8), dtype=torch.float64)
    expected = nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend(q, k, v), expected)


def test_attention_treats_pixels_as_a_set():
    torch.manual_seed(0)
    layer = awake(SelfAttention(16)).double()
    x = torch.randn((2, 16, 3, 3), dtype=torch.float64)
    order = torch.randperm(9)
    moved = x.flatten(2)[:, :, order].unflatten(2, (3, 3))
    expected = layer(x).flatten(2)[:, :, order].unflatten(2, (3, 3))
    torch.testing.assert_close(layer(moved), expected)


def test_new_residual_block_is_its_shortcut():
    block = ResidualBlock(16, 16, emb_dim=8)
    x, emb = torch.randn(2, 16, 4, 4), torch.randn(2, 8)
    torch.testing.assert_close(block(x, emb), x, rtol=0, atol=0)


def test_28_pixels_work_with_and_without_patch():
    assert UNetConfig(patch=2, widths=(16, 16)).sizes == (14, 7)
    assert UNetConfig(widths=(16, 16, 16)).sizes == (28, 14, 7)
    for config in (
        UNetConfig(patch=2, widths=(16, 16)),
        UNetConfig(widths=(8, 8, 8), attention=(7, 14)),
    ):
        xt = torch.randn(1, 1, 28, 28)
        assert torch.isfinite(UNet(config)(xt, 3)).all()


def test_config_survives_json():
    assert UNetConfig(**json.loads(json.dumps(asdict(SMALL)))) == SMALL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 30}, r"image_size must be a multiple of 4 .*got 30.*pad the images to 32"),
        ({"widths": (16, 24, 32, 32, 32)}, "image_size must be a multiple of 16"),
        ({"attention": (5,)}, r"attention must name sizes .*\(8, 4\), got 5"),
        ({"widths": (16, 20)}, "widths must be multiples of groups=8"),
        ({"widths": ()}, "widths must have at least one"),
        ({"blocks": 0}, "blocks must be an integer >= 1, got 0"),
        ({"emb_dim": 7}, "emb_dim must be even"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"num_classes": 0}, "num_classes must be None or an integer >= 1, got 0"),
        ({"num_classes": 10.0}, "num_classes must be None or an integer >= 1, got 10.0$"),
        ({"num_classes": True}, "num_classes must be None or an integer >= 1, got True"),
        ({"image_size": True}, "image_size must be an integer >= 1, got True"),
        ({"attention": 4}, r"attention must be a tuple of integers, got 4; try: \(4,\)"),
        ({"attention": ("4",)}, r"attention\[0\] must be an integer, got '4'$"),
        ({"attention": True}, "attention must be a tuple of integers, got True"),
        ({"widths": 64}, r"widths must be a tuple of integers, got 64; try: \(64,\)"),
        ({"widths": "64"}, "widths must be a tuple of integers, got '64'"),
        ({"widths": (16.0, 24)}, r"widths\[0\] must be an integer >= 1, got 16.0$"),
        ({"dropout": None}, r"dropout must be a number, in \[0, 1\), got None"),
    ],
)
def test_impossible_shape_is_refused_by_name(change, message):
    if change.get("image_size") == 30:
        change = {**change, "patch": 2, "attention": ()}
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{"attention": (4,), **change})


def test_by_default_the_smallest_map_attends():
    assert UNetConfig() == UNetConfig(attention=(7,))
    assert UNetConfig(image_size=32, channels=3).attention == (8,)
    assert UNetConfig(widths=[16, 16], patch=2) == UNetConfig(
        widths=(16, 16), patch=2, attention=[7]
    )
    assert UNetConfig(image_size=np.int64(32)).attention == (8,)
    assert json.loads(json.dumps(asdict(UNetConfig(widths=(16,)))))["attention"] == [28]
    with pytest.raises(ValueError, match=r"attention must name sizes .* try: None for the small"):
        UNetConfig(image_size=32, attention=(7,))
    with pytest.raises(ValueError, match="config must be a UNetConfig, got dict"):
        UNet({"image_size": 28})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MLP(2.0), "dim must be an integer >= 1, got 2.0$"),
        (lambda: MLP(0), "dim must be an integer >= 1, got 0"),
        (lambda: MLP("2"), "dim must be an integer >= 1, got '2'$"),
        (lambda: MLP(2, width=7), "width must be even, got 7; try: 8"),
        (lambda: MLP(2, depth=0), "depth must be an integer >= 1, got 0"),
        (lambda: MLP(2, num_classes=-1), "num_classes must be None or an integer >= 1, got -1"),
        (lambda: MLP(2, num_classes=0), "num_classes must be None or an integer >= 1, got 0"),
        (lambda: MLP(2, num_classes=3.0), "num_classes must be None .* got 3.0$"),
        (lambda: Conditioning(3), "dim must be even, got 3; try: 4"),
        (lambda: Conditioning(4, num_classes=-1), "num_classes must be None or an integer >= 1"),
    ],
)
def test_impossible_parts_are_refused_by_name(make, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        make()


def test_wrong_input_is_refused_by_name(pair):
    net, (xt, t, y) = pair
    wrong = [
        ("xt", (xt[..., :-1], t, y)),
        ("xt", (xt[0], t, y)),
        ("xt", (xt.numpy(), t, y)),
        ("xt", (xt.half(), t, y)),
        ("xt", (xt.double(), t, y)),
        ("xt", ((xt * 100).to(torch.uint8), t, y)),
        ("t", (xt, t.float(), y)),
        ("t", (xt, t[:2], y)),
        ("t", (xt, None, y)),
        ("t", (xt, True, y)),
        ("t", (xt, t[None], y)),
        ("y", (xt, t, y + 2)),
        ("y", (xt, t, y - 1)),
        ("y", (xt, t, y.float())),
        ("y", (xt, t, "shirt")),
        ("y", (xt, t, y[:1])),
    ]
    for name, arguments in wrong:
        with pytest.raises(ValueError, match=f"^{name} "):
            net(*arguments)


def test_numpys_integers_are_steps_and_classes(pair):
    net, (xt, _, _) = pair
    assert torch.equal(net(xt, np.int64(7), np.int32(1)), net(xt, 7, 1))


@pytest.mark.parametrize("name", ["t", "y"])
def test_a_list_of_steps_or_classes_is_told_what_to_try(pair, name):
    net, (xt, t, y) = pair
    given = {"t": t, "y": y} | {name: [0, 1, 2]}
    with pytest.raises(ValueError, match=rf"^{name} must .* try: torch.tensor\({name}\)"):
        net(xt, **given)


def test_label_without_class_embedding_is_refused():
    net = UNet(replace(SMALL, num_classes=None))
    xt, t, y = make_input()
    assert net(xt, t).shape == xt.shape
    with pytest.raises(ValueError, match=r"^y was given"):
        net(xt, t, y)


def test_empty_batch_is_refused(pair):
    net, (xt, t, y) = pair
    with pytest.raises(ValueError, match=r"^xt must hold at least one"):
        net(xt[:0], t[:0], y[:0])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fuzz_right_answer_or_value_error(data):
    net = FUZZED
    shape = data.draw(st.lists(st.sampled_from([0, 1, 2, 8]), min_size=0, max_size=4))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float16, torch.float64, torch.int64]))
    if data.draw(st.booleans()):
        shape = [data.draw(st.integers(0, 2)), 1, 8, 8]
    xt = torch.zeros(shape, dtype=dtype)
    if xt.numel() and xt.is_floating_point():
        xt.view(-1)[0] = data.draw(st.sampled_from([0.5, math.nan, math.inf, -3.0]))
    B = shape[0] if shape else 0
    t = data.draw(st.sampled_from([0, 5, -1, torch.ones(B).long(), torch.ones(B), None, "1"]))
    y = data.draw(st.sampled_from([None, 0, 3, 4, -1, torch.zeros(B).long(), torch.zeros(B), []]))
    refused = ""
    try:
        out = net(xt, t, y)
    except ValueError as error:
        refused = str(error).split()[0]
    if refused:
        assert refused in {"xt", "t", "y"}
        return
    assert out.shape == xt.shape
    assert torch.isfinite(out).all() or not torch.isfinite(xt).all()


FUZZED = awake(UNet(replace(SMALL, blocks=1)))


def test_strided_input_gives_the_same():
    net, (xt, t, y) = make_net().double(), make_input()
    xt = xt.double()
    strided = xt.repeat_interleave(2, dim=3)[..., ::2]
    assert not strided.is_contiguous()
    torch.testing.assert_close(net(strided, t, y), net(xt, t, y))


def test_attention_refuses_heads_that_do_not_share_the_channels():
    with pytest.raises(ValueError, match="channels must be a multiple of heads = 3, got 16"):
        SelfAttention(16, heads=3)
