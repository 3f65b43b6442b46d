"""Laws of attention to words, against PyTorch's and diffusers' own, and of the network with it."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch.nn import functional as F
from torch.testing import assert_close

import dmlib as dm
from dmlib.data import tokenize
from dmlib.models.attention import CrossAttention, TextEncoder, attention_weights
from dmlib.models.text_unet import TextUNet, TextUNetConfig
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

F64 = torch.float64
SMALL = TextUNetConfig(widths=(8, 16), emb_dim=8, text_dim=8, text_layers=1, heads=2, groups=4)
TEXTS = ["a red circle", "two small blue squares on a plain ground", ""]


def randn(*shape: int, seed: int = 0, dtype=F64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def awake(net: torch.nn.Module, seed: int = 3) -> torch.nn.Module:
    """Give the parts that start at 0 values, so that everything takes part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return net


def make_net() -> TextUNet:
    torch.manual_seed(0)
    return awake(TextUNet(SMALL)).eval()


KEEP = torch.tensor([[True, True, False, True], [True, False, False, False]])


def test_attention_is_that_of_pytorch():
    q, k, v = randn(2, 3, 5, 8), randn(2, 3, 4, 8, seed=1), randn(2, 3, 4, 8, seed=2)
    for keep in (None, KEEP[:, None, None, :]):
        theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
        assert_close(attention_weights(q, k, keep) @ v, theirs, rtol=1e-12, atol=1e-12)


def test_cross_attention_is_that_of_diffusers():
    torch.manual_seed(0)
    ours = awake(CrossAttention(16, words=6, heads=4, groups=4)).double()
    theirs = Attention(
        16, cross_attention_dim=6, heads=4, dim_head=4, norm_num_groups=4, bias=True,
        residual_connection=True, eps=1e-5,
    ).double()  # fmt: skip
    pairs = {
        theirs.group_norm: ours.norm, theirs.to_q: ours.query, theirs.to_k: ours.key,
        theirs.to_v: ours.value, theirs.to_out[0]: ours.out,
    }  # fmt: skip
    for there, here in pairs.items():
        there.load_state_dict(here.state_dict())
    x, words = randn(2, 16, 3, 5), randn(2, 4, 6, seed=1)
    mask = torch.zeros(2, 1, 4, dtype=F64).masked_fill(~KEEP[:, None], -torch.inf)
    expected = theirs(x, encoder_hidden_states=words, attention_mask=mask)
    assert_close(ours(x, words, KEEP), expected, rtol=1e-10, atol=1e-10)


def test_padding_is_not_heard_whatever_it_holds():
    block = awake(CrossAttention(16, words=6, heads=4, groups=4)).double()
    x, words = randn(2, 16, 3, 5), randn(2, 4, 6, seed=1)
    other = torch.where(KEEP[..., None], words, 100 * randn(2, 4, 6, seed=2))
    assert torch.equal(block(x, words, KEEP), block(x, other, KEEP))
    assert not torch.equal(block(x, words, KEEP), block(x, 2 * words, KEEP))
    weights = block.weights(x, words, KEEP)
    assert_close(weights.sum(-1), torch.ones(2, 4, 15, dtype=F64))
    assert not weights.permute(0, 3, 1, 2)[~KEEP].any()


def test_words_hear_each_other_and_their_order():
    torch.manual_seed(0)
    encoder = awake(TextEncoder(45, length=24, dim=8, layers=2, heads=2)).double()
    one, keep = encoder(tokenize(["a red circle left of a blue square"]))
    two, _ = encoder(tokenize(["a red circle left of a white square"]))
    swapped, _ = encoder(tokenize(["a blue circle left of a red square"]))
    assert keep.sum() == 9
    changed = (one - two).abs().amax(2)[0]
    assert bool((changed[:9] > 1e-4).all())  # every word has heard of it
    assert bool(((one[0, 3] - swapped[0, 3]).abs() > 1e-3).any())


def test_no_caption_is_the_empty_caption_to_the_bit():
    net, xt, t = make_net(), randn(3, 3, 32, 32, dtype=torch.float32), torch.tensor([1, 500, 999])
    assert torch.equal(net(xt, t), net(xt, t, tokenize([""] * 3)))
    assert torch.equal(net.null, tokenize([""])[0])
    assert not torch.equal(net(xt, t), net(xt, t, tokenize(TEXTS)))


def test_each_picture_hears_its_own_caption_alone():
    net, xt, t = make_net(), randn(3, 3, 32, 32, dtype=torch.float32), torch.tensor([1, 500, 999])
    together = net(xt, t, tokenize(TEXTS))
    for i in range(3):
        alone = net(xt[i : i + 1], t[i : i + 1], tokenize(TEXTS[i : i + 1]))
        assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_every_weight_of_the_network_takes_part():
    net = make_net().train()
    out = net(randn(2, 3, 32, 32, dtype=torch.float32), torch.tensor([3, 700]), tokenize(TEXTS[:2]))
    (out * randn(*out.shape, seed=5, dtype=torch.float32)).sum().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_the_shipped_shape_has_fewer_than_a_million_weights():
    with torch.device("meta"):
        net = TextUNet(TextUNetConfig())
    assert sum(p.numel() for p in net.parameters()) < 1_000_000


def test_training_drops_whole_captions_in_their_share():
    """What is heard in training: captions as they are, or empty; a share p of the latter."""
    heard = []

    class Listening(TextUNet):
        def forward(self, xt, t, y=None):
            heard.append(y)
            return super().forward(xt, t, y)

    torch.manual_seed(0)
    net = Listening(SMALL)
    config = TrainConfig(steps=4, warmup=1, weighting="v", label_dropout=0.3)
    training = Training(dm.predicts_v(net, dm.cosine_schedule(100)), config=config)
    tokens = tokenize([TEXTS[0]] * 100)
    list(training.run((randn(100, 3, 32, 32, dtype=torch.float32), tokens) for _ in range(4)))
    seen = torch.cat(heard)
    empty = (seen == net.null).all(1)
    assert bool((empty | (seen == tokens[0]).all(1)).all())
    assert abs(float(empty.double().mean()) - 0.3) < 5 * (0.21 / 400) ** 0.5


def test_training_refuses_captions_of_another_shape_by_name():
    training = Training(
        dm.predicts_v(TextUNet(SMALL), dm.cosine_schedule(100)), config=TrainConfig(steps=1)
    )
    batch = (randn(2, 3, 32, 32, dtype=torch.float32), torch.zeros(2, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^y must be of int64, \(2, 24\), or None"):
        list(training.run([batch]))


@pytest.mark.parametrize(
    ("change", "word"),
    [({"widths": (8,)}, "widths"), ({"widths": (9, 16)}, "widths"), ({"image_size": 30}, "image")],
)
def test_shapes_that_do_not_fit_are_refused(change, word):
    with pytest.raises(ValueError, match=rf"^{word}"):
        TextUNetConfig(**change)
    with pytest.raises(ValueError, match=r"^channels must be a multiple"):
        CrossAttention(10, words=4, heads=4)


def test_pictures_and_captions_of_another_shape_are_refused():
    net = make_net()
    with pytest.raises(ValueError, match=r"^xt must be"):
        net(torch.zeros(1, 3, 28, 28), 5)
    with pytest.raises(ValueError, match=r"^xt must be"):
        net(torch.zeros(1, 3, 32, 32), 5, tokenize(["a circle"] * 2))
