"""Numerical checks of chapter 4's labelled equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlib.models import UNet, UNetConfig
from dmlib.models.blocks import ResidualBlock, SelfAttention, Upsample, attend
from dmlib.models.embedding import Conditioning, sinusoidal_embedding
from dmlib.models.inspect import parts


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def random_weights(module: nn.Module, seed: int = 9) -> nn.Module:
    """The module in float64, no parameter of it 0."""
    module = module.double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(0.3 * noise(*p.shape, seed=seed + i))
    return module


def silu(u: Tensor) -> Tensor:
    return u / (1 + (-u).exp())


def group_norm(x: Tensor, w: Tensor, b: Tensor, groups: int) -> Tensor:
    """Group by group in a loop, as the formula has it."""
    out = torch.empty_like(x)
    size = x.shape[1] // groups
    for n in range(len(x)):
        for g in range(groups):
            part = x[n, g * size : (g + 1) * size]
            mean, variance = part.mean(), ((part - part.mean()) ** 2).mean()
            out[n, g * size : (g + 1) * size] = (part - mean) / (variance + 1e-5).sqrt()
    return w[None, :, None, None] * out + b[None, :, None, None]


def test_eq_conv_size():
    for H in (7, 13, 14, 28):
        for k, s, p in ((3, 1, 1), (3, 2, 1), (1, 1, 0), (3, 1, 0), (2, 2, 0)):
            out = nn.Conv2d(1, 1, k, stride=s, padding=p)(torch.zeros(1, 1, H, H))
            assert out.shape[-1] == (H + 2 * p - k) // s + 1


def test_transposed_convolution_covers_evenly_where_its_stride_divides_the_kernel():
    for k, even in ((2, True), (3, False), (4, True), (5, False)):
        ones = torch.ones(1, 1, 6, 6)
        covered = F.conv_transpose2d(ones, torch.ones(1, 1, k, k), stride=2)[0, 0, 4:-4, 4:-4]
        assert (covered.unique().numel() == 1) == even
        assert k != 2 or covered.unique().item() == 1  # that of Ronneberger et al.: exactly once


def test_eq_silu():
    u = noise(100, seed=1) * 5
    torch.testing.assert_close(F.silu(u), u * torch.sigmoid(u))
    torch.testing.assert_close(F.silu(u), silu(u))


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_eq_group_norm(groups):
    norm, x = random_weights(nn.GroupNorm(groups, 8)), 2 + 3 * noise(3, 8, 5, 4, seed=2)
    torch.testing.assert_close(norm(x), group_norm(x, norm.weight, norm.bias, groups))


@pytest.mark.parametrize("channels_out", [16, 24])
def test_eq_residual_block(channels_out):
    """Both lines of the equation, with every norm, SiLU and shortcut written out."""
    block = random_weights(ResidualBlock(16, channels_out, emb_dim=6))
    x, emb = noise(2, 16, 5, 5, seed=3), noise(2, 6, seed=4)
    inner = silu(group_norm(x, block.norm_1.weight, block.norm_1.bias, 8))
    h = F.conv2d(inner, block.conv_1.weight, block.conv_1.bias, padding=1)
    both = emb @ block.scale_shift.weight.T + block.scale_shift.bias
    scale, shift = both[:, :channels_out, None, None], both[:, channels_out:, None, None]
    u = (1 + scale) * group_norm(h, block.norm_2.weight, block.norm_2.bias, 8) + shift
    shortcut = x
    if channels_out != 16:
        shortcut = F.conv2d(x, block.shortcut.weight, block.shortcut.bias)
    out = shortcut + F.conv2d(silu(u), block.conv_2.weight, block.conv_2.bias, padding=1)
    torch.testing.assert_close(block(x, emb), out)


def test_eq_time_embedding():
    t, dim = torch.tensor([0, 1, 17, 400, 1000]), 64
    k = torch.arange(dim // 2, dtype=torch.float64)
    angle = t[:, None] * 10_000 ** (-k / (dim / 2))
    expected = torch.cat([angle.cos(), angle.sin()], 1)
    # The library computes the angle in float32: 1000 radians carry an error of 6e-5.
    torch.testing.assert_close(sinusoidal_embedding(t, dim).double(), expected, rtol=0, atol=1e-4)


def test_eq_embedding_product():
    """The product of two embeddings is a function of the difference of the steps alone."""
    t, s, dim = torch.tensor([10, 500, 993]), torch.tensor([3, 493, 986]), 64
    products = (sinusoidal_embedding(t, dim) * sinusoidal_embedding(s, dim)).double().sum(1)
    k = torch.arange(dim // 2, dtype=torch.float64)
    expected = (7 * 10_000 ** (-k / (dim / 2))).cos().sum()
    torch.testing.assert_close(products, expected.expand(3), rtol=0, atol=1e-3)


def test_eq_conditioning():
    net = random_weights(Conditioning(8, num_classes=3))
    t, y = torch.tensor([5, 900]), torch.tensor([2, 3])
    (w_1, b_1), (w_2, b_2) = ((m.weight, m.bias) for m in (net.time[0], net.time[2]))
    e = sinusoidal_embedding(t, 8).double()
    emb = silu(silu(e @ w_1.T + b_1) @ w_2.T + b_2 + net.label.weight[y])
    torch.testing.assert_close(net(t, y), emb)


def test_eq_skip():
    """A convolution of the two stacked maps is the sum of a convolution of each."""
    below, skip = noise(2, 5, 6, 6, seed=5), noise(2, 3, 6, 6, seed=6)
    w = noise(4, 8, 3, 3, seed=7)
    whole = F.conv2d(torch.cat([below, skip], 1), w, padding=1)
    apart = F.conv2d(below, w[:, :5], padding=1) + F.conv2d(skip, w[:, 5:], padding=1)
    torch.testing.assert_close(whole, apart)


def test_eq_attention():
    """Pixel by pixel: weights from exponentials of scaled products, then the weighted mean."""
    q, k, v = noise(3, 10, 4, seed=8)
    rows = []
    for i in range(10):
        weights = torch.stack([(q[i] @ k[j] / math.sqrt(4)).exp() for j in range(10)])
        rows.append(((weights / weights.sum())[:, None] * v).sum(0))
    torch.testing.assert_close(attend(q, k, v), torch.stack(rows))


def test_eq_dot_variance():
    """Var(q k) = D for independent standard normal numbers: n = 200,000, seed 10."""
    for D in (4, 64):
        q, k = noise(2, 200_000, D, seed=10)
        # The standard error of the variance is about D sqrt(3 / n) = 0.4 % of D.
        assert (q * k).sum(1).var().item() == pytest.approx(D, rel=0.02)


def reach(layers: list[tuple[int, int]]) -> int:
    """The equation: layers are (kernel, stride)."""
    return 1 + sum((k - 1) * math.prod(s for _, s in layers[:i]) for i, (k, _) in enumerate(layers))


@pytest.mark.parametrize(
    "layers", [[(3, 1)] * 4, [(3, 1), (3, 2), (3, 1), (3, 1)], [(2, 2), (3, 1), (3, 2), (3, 1)]]
)
def test_eq_receptive_field(layers):
    """Where the gradient of one output with respect to the input is not 0."""
    net = nn.Sequential(
        *(nn.Conv1d(1, 1, k, stride=s, padding=0, bias=False) for k, s in layers)
    ).double()
    for p in net.parameters():
        nn.init.ones_(p)
    x = noise(1, 1, 101, seed=11).requires_grad_(True)
    out = net(x)
    (gradient,) = torch.autograd.grad(out[0, 0, out.shape[2] // 2], x)
    assert int((gradient != 0).sum()) == reach(layers)


def test_eq_parameters():
    for k, c_in, c_out in ((3, 4, 6), (1, 5, 2)):
        conv = nn.Conv2d(c_in, c_out, k)
        assert sum(p.numel() for p in conv.parameters()) == k**2 * c_in * c_out + c_out


CONFIG = UNetConfig(image_size=16, widths=(16, 24), blocks=1, attention=(8,), emb_dim=16)


def test_eq_multiply_adds():
    """Of the convolutions that stand alone, as `parts` measured them."""
    found = {p.kind: p for p in parts(UNet(CONFIG))}
    for kind in ("stem", "downsample", "head"):
        (c_in, _, _), (c_out, H, W) = found[kind].shape_in, found[kind].shape_out
        assert found[kind].multiply_adds == 3**2 * c_in * c_out * H * W


def test_eq_attention_cost():
    attention = next(p for p in parts(UNet(CONFIG)) if p.kind == "self-attention")
    C, H, W = attention.shape_out
    N = H * W
    assert attention.multiply_adds == 4 * N * C**2 + 2 * N**2 * C


def test_eq_upsample():
    layer = random_weights(Upsample(4, 3))
    x = noise(2, 4, 5, 5, seed=12)
    h, out = layer.conv(x), layer(x)
    for i, j in ((0, 0), (3, 8), (9, 9)):
        torch.testing.assert_close(out[:, :, i, j], h[:, :, i // 2, j // 2])


def test_attention_layer_is_the_equation_per_head():
    """Heads split the channels; the layer adds W_o of all heads to its input."""
    layer = random_weights(SelfAttention(8, heads=2))
    x = noise(1, 8, 3, 3, seed=13)
    tokens = layer.norm(x).flatten(2)[0].T  # (9, 8)
    q, k, v = (tokens @ layer.qkv.weight.T + layer.qkv.bias).split(8, dim=1)
    heads = [attend(q[:, s], k[:, s], v[:, s]) for s in (slice(0, 4), slice(4, 8))]
    out = torch.cat(heads, 1) @ layer.out.weight.T + layer.out.bias
    torch.testing.assert_close(layer(x), x + out.T.view(1, 8, 3, 3))
