"""The labelled equations of the chapter on words and pictures, one by one."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from dmlib.applications.text_to_image import overlap_with_mask, word_maps
from dmlib.data import tokenize
from dmlib.guidance import guided
from dmlib.models import predicts_v
from dmlib.models.attention import CrossAttention, TextEncoder, attention_weights
from dmlib.models.text_unet import TextUNet, TextUNetConfig
from dmlib.parameterization import Guess
from dmlib.schedules import cosine_schedule
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

F64 = torch.float64
SMALL = TextUNetConfig(widths=(8, 16), emb_dim=8, text_dim=8, text_layers=1, heads=2, groups=4)


def randn(*shape: int, seed: int = 0, dtype=F64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def make_net() -> TextUNet:
    torch.manual_seed(0)
    net = TextUNet(SMALL).eval().requires_grad_(False)
    for i, p in enumerate(net.parameters()):
        if not p.any():
            p.copy_(0.2 * randn(*p.shape, seed=i, dtype=torch.float32))
    return net


def test_eq_word_embedding():
    """Without layers the transformer is a table, a place, and the last norm."""
    encoder = TextEncoder(45, length=24, dim=8, layers=0, heads=2)
    tokens = tokenize(["a red circle", "two green squares"])
    rows = [
        [encoder.embedding.weight[int(token)] + encoder.position[n] for n, token in enumerate(row)]
        for row in tokens
    ]
    c = torch.stack([torch.stack(row) for row in rows])
    assert_close(encoder(tokens)[0], encoder.norm(c))


def test_eq_message():
    """What arrives lies among the values: weights are positive and add up to 1."""
    a = attention_weights(3 * randn(5, 4), randn(6, 4, seed=1))
    assert bool((a > 0).all())
    assert_close(a.sum(1), torch.ones(5, dtype=F64))
    v = randn(6, 1, seed=2)
    assert bool(((a @ v >= v.min()) & (a @ v <= v.max())).all())


def test_eq_cross_attention():
    block = CrossAttention(8, words=6, heads=1, groups=4).double().requires_grad_(False)
    x, c, keep = randn(1, 8, 2, 3), randn(1, 4, 6, seed=1), torch.ones(1, 4, dtype=torch.bool)
    pixels, words = block.norm(x)[0].flatten(1).T, c[0]
    q, k = block.query(pixels), block.key(words)
    for m in range(6):
        powers = [math.exp(float(q[m] @ k[n]) / math.sqrt(8)) for n in range(4)]
        expected = torch.tensor([p / sum(powers) for p in powers], dtype=F64)
        assert_close(block.weights(x, c, keep)[0, 0, m], expected)
    torch.nn.init.eye_(block.out.weight)
    arrived = (block(x, c, keep) - x)[0].flatten(1).T
    assert_close(arrived, block.weights(x, c, keep)[0, 0] @ block.value(words))


def test_eq_padding_mask():
    """Masked words might as well not be there."""
    q, k = randn(5, 4), randn(6, 4, seed=1)
    keep = torch.tensor([True, False, True, True, False, False])
    a = attention_weights(q, k, keep)
    assert_close(a[:, keep], attention_weights(q, k[keep]))
    assert not a[:, ~keep].any()


def test_eq_caption_dropout():
    """Each caption of a batch is heard as it is or as the empty one, by its own lot."""
    heard = []
    net = make_net().requires_grad_(True)
    net.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[2]))
    config = TrainConfig(steps=2, warmup=1, label_dropout=0.5, weighting="v")
    training = Training(predicts_v(net, cosine_schedule(100)), config=config)
    tokens = tokenize(["a red circle", "a blue cross"] * 30)
    list(training.run((randn(60, 3, 32, 32, dtype=torch.float32), tokens) for _ in range(2)))
    for seen in heard:
        empty = (seen == tokenize([""])).all(1)
        assert 10 < int(empty.sum()) < 50
        assert torch.equal(seen[~empty], tokens[~empty])


class Said:
    """A denoiser that answers what it is told."""

    path = cosine_schedule(10)
    num_classes = None

    def __call__(self, xt, t, y=None):
        value = 0.0 if y is None else y[:, :1].to(xt)
        return Guess(xt * 0 + 2 * value, xt * 0 + value)


def test_eq_negative_prompt():
    y, against, w = torch.tensor([[7, 0]]), torch.tensor([[3, 0]]), 2.5
    told = guided(Said(), y, guidance_scale=w, against=against)(randn(4, 2), 5)
    assert_close(told.eps_hat, torch.full((4, 2), 3 + w * (7 - 3), dtype=F64))
    assert_close(told.x0_hat, 2 * told.eps_hat)
    plain = guided(Said(), y, guidance_scale=1.0, against=against)(randn(4, 2), 5)
    assert_close(plain.eps_hat, torch.full((4, 2), 7.0, dtype=F64))
    none = guided(Said(), y, guidance_scale=w)(randn(4, 2), 5)
    assert_close(none.eps_hat, torch.full((4, 2), 7 * w, dtype=F64))


def test_eq_word_map():
    net, tokens = make_net(), tokenize(["a red circle", "two green squares on a plain ground"])
    xt = randn(2, 3, 32, 32, dtype=torch.float32)
    kept = {}
    for name, block in net.named_modules():
        if isinstance(block, CrossAttention):
            block.register_forward_pre_hook(lambda m, given, name=name: kept.update({name: given}))
    maps = word_maps(net, xt, 300, tokens)
    sizes = [tuple(found.shape[2:]) for found in maps.values()]
    assert sizes == [(8, 8), (8, 8), (8, 8), (16, 16)]
    for name, found in maps.items():
        weights = net.get_submodule(name).weights(*kept[name])  # (B, heads, HW, N)
        assert_close(found[1, 4, 2, 3], weights[1, :, 2 * found.shape[3] + 3, 4].mean())
        assert_close(found.sum(1), torch.ones_like(found[:, 0]))
        assert not found[0, 4:].any()  # padding


def test_eq_map_overlap():
    mask = torch.zeros(1, 8, 8)
    mask[:, 2:6, 2:6] = 1
    word_map = 0.3 + 0.1 * mask
    assert float(overlap_with_mask(word_map, mask)) == 1
    shifted = 0.3 + 0.1 * mask.roll(2, 2)  # half on it, half beside: 8 of 24 pixels
    assert_close(float(overlap_with_mask(shifted, mask)), 8 / 24, rtol=1e-6, atol=0)
    assert float(overlap_with_mask(mask.roll(4, 2) * (1 - mask), mask)) == 0
    small = 0.3 + 0.1 * mask[:, ::2, ::2]
    assert float(overlap_with_mask(small, mask)) > 0.7
