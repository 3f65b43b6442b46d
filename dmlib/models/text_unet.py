"""A U-Net that reads: the network of chapter 4, and words that its pixels look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlib._validate import check_int, check_ints
from dmlib.models._inputs import check_inputs
from dmlib.models.attention import CrossAttention, TextEncoder
from dmlib.models.blocks import Downsample, ResidualBlock, SelfAttention, Upsample, zeroed
from dmlib.models.embedding import Conditioning


@dataclass(frozen=True)
class TextUNetConfig:
    """The shape of a U-Net that hears captions.

    Args:
        image_size: height and width of the images.
        channels: of the images.
        widths: channels at the size that is left after folding, and at half of it.
        emb_dim: length of the vector that tells the step.
        vocabulary: how many words there are; 0 is the padding, 1 the start.
        length: tokens of a caption.
        text_dim: channels of a word.
        text_layers: of the text transformer.
        heads: of all attention.
        patch: patch x patch pixels are folded into channels first.
        groups: of every GroupNorm.

    Raises:
        ValueError: the values do not fit together.
    """

    image_size: int = 32
    channels: int = 3
    widths: tuple[int, int] = (40, 80)
    emb_dim: int = 80
    vocabulary: int = 45
    length: int = 24
    text_dim: int = 64
    text_layers: int = 2
    heads: int = 4
    patch: int = 2
    groups: int = 8

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "widths", check_ints("widths", self.widths, low=1))
        for name in self.__dataclass_fields__:
            if name != "widths":
                set_(self, name, check_int(name, getattr(self, name), low=1))
        if len(self.widths) != 2 or any(w % self.groups or w % self.heads for w in self.widths):
            raise ValueError(
                f"widths must be two multiples of groups={self.groups} and heads={self.heads}, "
                f"got {self.widths}"
            )
        if self.image_size % (2 * self.patch):
            raise ValueError(f"image_size must be a multiple of {2 * self.patch}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image, (C, H, W)."""
        return (self.channels, self.image_size, self.image_size)


class ReadingStage(nn.Module):
    """A residual block; pixels look at each other, where asked; and at the words."""

    def __init__(
        self, channels_in: int, channels_out: int, config: TextUNetConfig, *, look: bool
    ) -> None:
        super().__init__()
        kinds = {"heads": config.heads, "groups": config.groups}
        self.block = ResidualBlock(
            channels_in, channels_out, emb_dim=config.emb_dim, groups=config.groups
        )
        self.attention = SelfAttention(channels_out, **kinds) if look else None
        self.reading = CrossAttention(channels_out, words=config.text_dim, **kinds)

    def forward(self, x: Tensor, emb: Tensor, words: Tensor, keep: Tensor) -> Tensor:
        """(B, C_in, H, W), the step, and the words -> (B, C_out, H, W)."""
        h = self.block(x, emb)
        if self.attention is not None:
            h = self.attention(h)
        return self.reading(h, words, keep)


class TextUNet(nn.Module):
    """v_hat = net(xt, t, tokens): a U-Net that a caption reaches by cross-attention alone.

    Source: Rombach et al. 2022, section 3.3, on the blocks of `dmlib.models.blocks`.

    Args:
        config: the shape.

    Raises:
        ValueError: config is no TextUNetConfig.
    """

    def __init__(self, config: TextUNetConfig) -> None:
        super().__init__()
        if not isinstance(config, TextUNetConfig):
            raise ValueError(f"config must be a TextUNetConfig, got {type(config).__name__}")
        self.config = config
        fine, coarse = config.widths
        side, folded = config.image_size // config.patch, config.channels * config.patch**2
        self.text = TextEncoder(
            config.vocabulary,
            length=config.length,
            dim=config.text_dim,
            layers=config.text_layers,
            heads=config.heads,
        )
        self.conditioning = Conditioning(config.emb_dim)
        self.stem = nn.Conv2d(folded, fine, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, fine, side, side))
        self.down_fine = ResidualBlock(fine, fine, emb_dim=config.emb_dim, groups=config.groups)
        self.downsample = Downsample(fine)
        self.down_coarse = ReadingStage(fine, coarse, config, look=False)
        self.middle = ReadingStage(coarse, coarse, config, look=True)
        self.up_coarse = ReadingStage(2 * coarse, coarse, config, look=True)
        self.upsample = Upsample(coarse, fine)
        self.up_fine = ReadingStage(2 * fine, fine, config, look=False)
        self.head_norm = nn.GroupNorm(config.groups, fine)
        self.head = zeroed(nn.Conv2d(fine, folded, 3, padding=1))

    @property
    def null(self) -> Tensor:
        """The empty caption as tokens, (length,) int64, heard where there is none."""
        device = self.stem.weight.device
        return (torch.arange(self.config.length, device=device) == 0).long()

    def forward(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """Predict v for xt.

        Args:
            xt: (B, C, H, W), floating point, of config.shape.
            t: int or (B,) int64.
            y: (B, length) int64, tokens, or None for the empty caption.

        Returns:
            v_hat, (B, C, H, W).

        Raises:
            ValueError: an argument does not fit the network.
        """
        y = self.null.expand(len(xt), -1) if y is None else y
        if tuple(xt.shape[1:]) != self.config.shape or y.shape != (len(xt), self.config.length):
            raise ValueError(
                f"xt must be (B, *{self.config.shape}) and y (B, {self.config.length}), "
                f"got {tuple(xt.shape)} and {tuple(y.shape)}"
            )
        t, _ = check_inputs(self, xt, t, None, num_classes=None)
        emb = self.conditioning(t)
        heard = self.text(y)  # words (B, N, text_dim), keep (B, N)
        fine = self.stem(F.pixel_unshuffle(xt, self.config.patch)) + self.position
        fine = self.down_fine(fine, emb)
        coarse = self.down_coarse(self.downsample(fine), emb, *heard)
        h = self.middle(coarse, emb, *heard)
        h = self.up_coarse(torch.cat([h, coarse], dim=1), emb, *heard)
        h = self.up_fine(torch.cat([self.upsample(h), fine], dim=1), emb, *heard)
        return F.pixel_shuffle(self.head(F.silu(self.head_norm(h))), self.config.patch)
