"""A network for clouds of points that does not care in which order the points come."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlib._validate import check_classes, check_int
from dmlib.models._inputs import check_inputs
from dmlib.models.blocks import attend, zeroed
from dmlib.models.embedding import Conditioning

OCTAVES = 4  # each coordinate comes with sines and cosines of pi/2, pi, 2 pi and 4 pi times it


class CloudNet(nn.Module):
    """v_hat = net(xt, t, y) for clouds (B, N, 3): if the points change places, so do the answers.

    Points never look at each other. A few tokens, the same learned ones for every cloud, look at
    all points (attention: a weighted mean, the same in any order), talk among themselves, and each
    point looks at the tokens. So a block costs N times the number of tokens, not N squared.
    Source: attention through a few tokens: Lee et al. 2019 (Set Transformer, section 3.1), Jaegle
    et al. 2021 (Perceiver); the book's equations eq-points-to-tokens and eq-tokens-to-points.

    Args:
        width: of a point's and of a token's vector, an even multiple of heads.
        blocks: how often points and tokens exchange what they know, >= 1.
        tokens: how many, >= 1.
        heads: of every attention.
        num_classes: None for an unconditional network; the null class is num_classes.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: int = 4,
        tokens: int = 32,
        heads: int = 4,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        width, blocks = check_int("width", width, low=2), check_int("blocks", blocks, low=1)
        tokens, heads = check_int("tokens", tokens, low=1), check_int("heads", heads, low=1)
        if width % heads or width % 2:
            raise ValueError(f"width must be even and a multiple of heads={heads}, got {width}")
        self.num_classes = check_classes(num_classes)
        self.config = {
            "width": width,
            "blocks": blocks,
            "tokens": tokens,
            "heads": heads,
            "num_classes": self.num_classes,
        }
        self.conditioning = Conditioning(width, num_classes=num_classes)
        self.stem = nn.Linear(3 * (1 + 2 * OCTAVES) + 1, width)
        self.tokens = nn.Parameter(torch.randn(tokens, width) / math.sqrt(width))
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = zeroed(nn.Linear(width, 3))

    def forward(
        self, xt: Tensor, t: int | Tensor, y: Tensor | None = None, *, known: Tensor | None = None
    ) -> Tensor:
        """Predict v for each point.

        Args:
            xt: (B, N, 3), floating point; where `known` is True the clean point.
            t: int or (B,) int64.
            y: (B,) int64 in 0..num_classes, or None for the null class.
            known: (B, N), bool, which points are given; None if none is.

        Returns:
            v_hat, (B, N, 3); what it says of known points means nothing.

        Raises:
            ValueError: an argument does not fit the network.
        """
        if not isinstance(xt, Tensor) or xt.ndim != 3 or xt.shape[2] != 3:
            got = tuple(xt.shape) if isinstance(xt, Tensor) else type(xt).__name__
            raise ValueError(f"xt must have shape (B, N, 3), got {got}")
        if known is not None and (known.shape != xt.shape[:2] or known.dtype != torch.bool):
            raise ValueError(f"known must be bool {tuple(xt.shape[:2])}, got {tuple(known.shape)}")
        t, y = check_inputs(self, xt, t, y, num_classes=self.num_classes)
        flag = torch.zeros_like(xt[..., :1]) if known is None else known[..., None].to(xt)
        emb = self.conditioning(t, y)
        h = self.stem(torch.cat((waves(xt), flag), -1))  # (B, N, width)
        z = self.tokens.to(h).expand(len(xt), -1, -1)  # (B, tokens, width)
        for block in self.blocks:
            h, z = block(h, z, emb)
        return self.head(F.silu(self.norm(h)))


def waves(x: Tensor) -> Tensor:
    """Each coordinate, and sines and cosines of pi/2 2^k times it: (B, N, 3) -> (B, N, 27).

    So that a layer tells points apart that lie near each other.
    Source: Mildenhall et al. 2020, section 5.1.
    """
    octave = torch.arange(OCTAVES, dtype=x.dtype, device=x.device)
    angle = math.pi / 2 * x[..., None] * 2**octave
    return torch.cat((x, angle.sin().flatten(-2), angle.cos().flatten(-2)), -1)


class _Block(nn.Module):
    """Points to tokens, tokens among themselves, tokens to points."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.scale_shift = nn.Linear(width, 4 * width)
        self.gather, self.among = _Attention(width, heads), _Attention(width, heads)
        self.spread = _Attention(width, heads)
        self.point_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.token_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.point_map, self.token_map = _two_layers(width), _two_layers(width)

    def forward(self, h: Tensor, z: Tensor, emb: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, width), (B, tokens, width), (B, width) -> the first two anew."""
        scale_h, shift_h, scale_z, shift_z = self.scale_shift(emb)[:, None].chunk(4, -1)
        z = z + self.gather(z, h)
        z = z + self.among(z, z)
        z = z + self.token_map(self.token_norm(z) * (1 + scale_z) + shift_z)
        h = h + self.spread(h, z)
        h = h + self.point_map(self.point_norm(h) * (1 + scale_h) + shift_h)
        return h, z


class _Attention(nn.Module):
    """Each of the first looks at all of the second: softmax(Q K^T / sqrt(D)) V (eq-attention)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q, self.norm_kv = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = zeroed(nn.Linear(width, width))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        q = self.q(self.norm_q(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(self.norm_kv(seen)).unflatten(-1, (2, self.heads, -1)).unbind(2)
        mixed = attend(q, k.transpose(1, 2), v.transpose(1, 2))  # (B, heads, N, width / heads)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _two_layers(width: int) -> nn.Sequential:
    wide = nn.Linear(width, 2 * width)
    return nn.Sequential(wide, nn.SiLU(), zeroed(nn.Linear(2 * width, width)))
