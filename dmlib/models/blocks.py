"""The parts of the U-Net, each small enough to be read on one screen."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def zeroed(module: nn.Module) -> nn.Module:
    """Set all parameters of `module` to 0, so that a block starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut; the conditioning scales and shifts in between.

    h = Conv(SiLU(GroupNorm(x))),
    out = Shortcut(x) + Conv(SiLU((1 + scale(emb)) GroupNorm(h) + shift(emb))).
    Source: Ho et al. 2020, appendix B; scale and shift: Dhariwal & Nichol 2021, section 3
    (AdaGN); the book's equation eq-residual-block.

    Args:
        channels_in, channels_out: multiples of `groups`.
        emb_dim: length of the conditioning vector.
        groups: of the GroupNorm.
        dropout: probability, before the second convolution.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        emb_dim: int,
        groups: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups, channels_in)
        self.conv_1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.scale_shift = nn.Linear(emb_dim, 2 * channels_out)
        self.norm_2 = nn.GroupNorm(groups, channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """(B, C_in, H, W) and (B, emb_dim) -> (B, C_out, H, W)."""
        h = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = self.scale_shift(emb)[:, :, None, None].chunk(2, dim=1)  # (B, C_out, 1, 1)
        # In place: torch.addcmul takes twice as long here, and a new tensor costs memory.
        h = (self.norm_2(h) * (1 + scale)).add_(shift)
        return self.shortcut(x) + self.conv_2(self.dropout(F.silu(h)))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v over the last two axes, each (..., N, D).

    Source: Vaswani et al. 2017, eq. 1; the book's equation eq-attention.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    # For the few tokens of a small image the CPU kernel of the call above needs, in bfloat16
    # and with its backward pass, 8 times as long as these three operations.
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v


class SelfAttention(nn.Module):
    """Every pixel looks at every other pixel: softmax(Q K^T / sqrt(D)) V around a shortcut.

    Source: Vaswani et al. 2017, eq. 1, on the pixels of a feature map as in Ho et al. 2020,
    appendix B; the book's equation eq-attention.

    Args:
        channels: multiple of `heads` and of `groups`.
        heads: that look for different things.
        groups: of the GroupNorm.

    Raises:
        ValueError: channels is not a multiple.
    """

    def __init__(self, channels: int, *, heads: int = 4, groups: int = 8) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads = {heads}, got {channels}")
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        _, C, H, W = x.shape
        # Contiguous, (B, HW, C): a compiler would repeat the weights B times for a strided view.
        tokens = self.norm(x).flatten(2).transpose(1, 2).contiguous()
        qkv = self.qkv(tokens).unflatten(2, (3, self.heads, C // self.heads))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, HW, C/heads)
        mixed = attend(q, k, v).transpose(1, 2).flatten(2)  # (B, HW, C)
        return x + self.out(mixed).transpose(1, 2).unflatten(2, (H, W))


class Stage(nn.Module):
    """A residual block, and self-attention after it where the resolution asks for it."""

    def __init__(self, block: ResidualBlock, attention: SelfAttention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """(B, C_in, H, W) and (B, emb_dim) -> (B, C_out, H, W)."""
        h = self.block(x, emb)
        return h if self.attention is None else self.attention(h)


class Downsample(nn.Module):
    """Halve height and width with a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H/2, W/2)."""
        return self.conv(x)


class Upsample(nn.Module):
    """Double height and width: a convolution, then every pixel becomes 2 x 2.

    The convolution comes first because it costs a quarter at the small size; the blocks that
    follow smooth the 2 x 2 steps.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, 2H, 2W)."""
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")
