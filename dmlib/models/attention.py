"""Attention from pixels to words: how a caption reaches a picture, and what reads the caption."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dmlib.models.blocks import zeroed


def attention_weights(q: Tensor, k: Tensor, keep: Tensor | None = None) -> Tensor:
    """How much each query looks at each key: softmax over the keys of q k^T / sqrt(D).

    Source: Vaswani et al. 2017, eq. 1; the book's equation eq-cross-attention.

    Args:
        q: (..., M, D), the queries.
        k: (..., N, D), the keys.
        keep: bool, broadcast to (..., M, N); a key that is not kept gets the weight 0. One at
            least must be kept.

    Returns:
        (..., M, N), >= 0; each row adds up to 1.
    """
    scores = (q / q.shape[-1] ** 0.5) @ k.transpose(-1, -2)
    if keep is not None:
        scores = scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, C) -> (B, heads, N, C/heads)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


class CrossAttention(nn.Module):
    """Every pixel looks at every word: softmax(Q K^T / sqrt(D)) V, added to the pixels.

    Queries come from the pixels, Q = W_q x; keys and values from the words, K = W_k c, V = W_v c.
    Source: Rombach et al. 2022, section 3.3; the book's equation eq-cross-attention.

    Args:
        channels: of the pixels; multiple of `heads` and of `groups`.
        words: channels of the words.
        heads: that look for different things.
        groups: of the GroupNorm.

    Raises:
        ValueError: channels is not a multiple.
    """

    def __init__(self, channels: int, *, words: int, heads: int = 4, groups: int = 8) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads = {heads}, got {channels}")
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(words, channels)
        self.value = nn.Linear(words, channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def weights(self, x: Tensor, words: Tensor, keep: Tensor) -> Tensor:
        """Where every pixel looks: (B, heads, H W, N), each row adding up to 1."""
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        q = split_heads(self.query(pixels), self.heads)
        k = split_heads(self.key(words), self.heads)
        return attention_weights(q, k, keep[:, None, None, :])

    def forward(self, x: Tensor, words: Tensor, keep: Tensor) -> Tensor:
        """(B, C, H, W), (B, N, D) and bool (B, N), the words that are none of padding."""
        v = split_heads(self.value(words), self.heads)  # (B, heads, N, C/heads)
        mixed = (self.weights(x, words, keep) @ v).transpose(1, 2).flatten(2)  # (B, HW, C)
        return x + self.out(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


class WordLayer(nn.Module):
    """One layer of the transformer: the words look at each other, then each thinks by itself.

    h = c + Attention(Norm(c)), out = h + MLP(Norm(h)).
    Source: Vaswani et al. 2017, section 3.1, with the norms first as in Radford et al. 2019.

    Args:
        dim: of a word, multiple of `heads`.
        heads: of the attention.
    """

    def __init__(self, dim: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = zeroed(nn.Linear(dim, dim))
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), zeroed(nn.Linear(4 * dim, dim))
        )

    def forward(self, words: Tensor, keep: Tensor) -> Tensor:
        """(B, N, dim) and bool (B, N) -> (B, N, dim)."""
        q, k, v = (split_heads(x, self.heads) for x in self.qkv(self.norm_1(words)).chunk(3, 2))
        mixed = attention_weights(q, k, keep[:, None, None, :]) @ v
        words = words + self.out(mixed.transpose(1, 2).flatten(2))
        return words + self.mlp(self.norm_2(words))


class TextEncoder(nn.Module):
    """A caption's tokens as vectors, each of which has read the others.

    c_n = E[token_n] + P[n], then `layers` times `WordLayer`, then a norm.

    Args:
        vocabulary: how many words there are; 0 is the padding.
        length: tokens of a caption.
        dim: of a word, multiple of `heads`.
        layers: of the transformer.
        heads: of its attention.
    """

    def __init__(
        self, vocabulary: int, *, length: int, dim: int = 64, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(torch.randn(length, dim) * 0.02)
        self.layers = nn.ModuleList(WordLayer(dim, heads=heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, length) int64 -> words (B, length, dim), and bool (B, length): no padding."""
        keep = tokens != 0
        words = self.embedding(tokens) + self.position
        for layer in self.layers:
            words = layer(words, keep)
        return self.norm(words), keep
