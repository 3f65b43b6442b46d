"""The U-Net: down to a coarse view of the whole image, up again with the details at hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlib._validate import check_classes, check_int, check_ints, check_real
from dmlib.models._inputs import check_inputs
from dmlib.models.blocks import Downsample, ResidualBlock, SelfAttention, Stage, Upsample, zeroed
from dmlib.models.embedding import Conditioning


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a U-Net.

    Args:
        image_size: height and width of the images; one number, or (H, W) where they differ.
        channels: of the images.
        widths: channels of the feature maps, one entry a level; between levels the size is halved.
        blocks: residual blocks a level, on the way down and again on the way up.
        attention: sizes (heights) of feature maps that get self-attention (the middle always has
            it); None for the smallest map (and a tuple once it is made).
        heads: of the self-attention.
        emb_dim: length of the conditioning vector.
        num_classes: None for an unconditional network; the null class is num_classes.
        patch: fold patch x patch pixels into channels first: four times cheaper with 2.
        groups: of every GroupNorm.
        dropout: probability in every residual block.

    Raises:
        ValueError: the values do not fit together; the message names the first that does not.
    """

    image_size: int | tuple[int, int] = 28
    channels: int = 1
    widths: tuple[int, ...] = (64, 128, 128)
    blocks: int = 2
    attention: tuple[int, ...] | None = None
    heads: int = 4
    emb_dim: int = 128
    num_classes: int | None = None
    patch: int = 1
    groups: int = 8
    dropout: float = 0.0

    def __post_init__(self) -> None:
        # JSON has lists only and knows no numbers of numpy: a card's configuration comes back
        # equal to the one that went in.
        set_ = object.__setattr__
        set_(self, "image_size", _size(self.image_size))
        for name in ("channels", "blocks", "heads", "emb_dim", "patch", "groups"):
            set_(self, name, check_int(name, getattr(self, name), low=1))
        set_(self, "widths", check_ints("widths", self.widths, low=1))
        if not self.widths:
            raise ValueError("widths must have at least one entry")
        if self.attention is None:
            set_(self, "attention", self.sizes[-1:])
        set_(self, "attention", check_ints("attention", self.attention))
        set_(self, "num_classes", check_classes(self.num_classes))
        set_(self, "dropout", check_real("dropout", self.dropout, low=0, high=1, open_high=True))
        for width in self.widths:
            if width % self.groups or width % self.heads:
                raise ValueError(
                    f"widths must be multiples of groups={self.groups} and heads={self.heads}, "
                    f"got {width}"
                )
        self._check_sizes()
        if self.emb_dim % 2:
            raise ValueError(f"emb_dim must be even, got {self.emb_dim}")

    def _check_sizes(self) -> None:
        step = self.patch * 2 ** (len(self.widths) - 1)
        _, *sides = self.shape
        if any(side % step for side in sides):
            fits = " x ".join(str(-(-side // step) * step) for side in sorted(set(sides)))
            raise ValueError(
                f"image_size must be a multiple of {step} (patch={self.patch}, then halved "
                f"{len(self.widths) - 1} times), got {self.image_size}; try: fewer widths, "
                f"or pad the images to {fits}"
            )
        for size in self.attention:
            if size not in self.sizes:
                raise ValueError(
                    f"attention must name sizes of feature maps, {self.sizes}, got {size}; "
                    "try: None for the smallest"
                )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Height (and width, of square images) of the feature maps, level by level."""
        return tuple(self.shape[1] // self.patch // 2**i for i in range(len(self.widths)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image, (C, H, W)."""
        size = self.image_size
        return (self.channels, *(size if isinstance(size, tuple) else (size, size)))


def _size(value: object) -> int | tuple[int, int]:
    """A whole number, or (H, W); the same twice is one number."""
    if not isinstance(value, (tuple, list)):
        return check_int("image_size", value, low=1)
    sides = check_ints("image_size", value, low=1)
    if len(sides) != 2:
        raise ValueError(f"image_size must be one number or (H, W), got {value!r}")
    return sides[0] if sides[0] == sides[1] else sides


class UNet(nn.Module):
    """eps_hat = net(xt, t, y): predicts the noise in an image, at any step and for any class.

    Source: Ronneberger et al. 2015, with the blocks of Ho et al. 2020, appendix B. Each block on
    the way down hands its output to its partner on the way up (a skip connection).

    Args:
        config: the shape.

    Raises:
        ValueError: config is no UNetConfig.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        if not isinstance(config, UNetConfig):
            raise ValueError(f"config must be a UNetConfig, got {type(config).__name__}")
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        folded = config.channels * config.patch**2
        self.conditioning = Conditioning(config.emb_dim, num_classes=config.num_classes)
        self.stem = nn.Conv2d(folded, first, 3, padding=1)
        self.down = nn.ModuleList(_down_level(config, i) for i in range(len(config.widths)))
        self.middle = nn.ModuleList(
            [_stage(config, last, last, attend=True), _stage(config, last, last, attend=False)]
        )
        levels = reversed(range(len(config.widths)))
        self.up = nn.ModuleList(_up_level(config, i) for i in levels)
        self.head_norm = nn.GroupNorm(config.groups, first)
        self.head = zeroed(nn.Conv2d(first, folded, 3, padding=1))

    @property
    def num_classes(self) -> int | None:
        """Number of classes and index of the null class; None if the network knows none."""
        return self.config.num_classes

    def forward(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """Predict the noise in xt.

        Args:
            xt: (B, C, H, W), floating point, of config.shape.
            t: int or (B,) int64.
            y: (B,) int64 in 0..num_classes, or None for the null class.

        Returns:
            eps_hat, (B, C, H, W).

        Raises:
            ValueError: an argument does not fit the network.
        """
        self._check_image(xt)
        t, y = check_inputs(self, xt, t, y, num_classes=self.config.num_classes)
        emb = self.conditioning(t, y)  # (B, emb_dim)
        h = self.stem(F.pixel_unshuffle(xt, self.config.patch))
        skips = []
        for level in self.down:
            if level.resize is not None:
                h = level.resize(h)
            for stage in level.stages:
                h = stage(h, emb)
                skips.append(h)
        for stage in self.middle:
            h = stage(h, emb)
        for level in self.up:
            if level.resize is not None:
                h = level.resize(h)
            for stage in level.stages:
                h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        eps_hat = self.head(F.silu(self.head_norm(h)))
        return F.pixel_shuffle(eps_hat, self.config.patch)

    def _check_image(self, xt: Tensor) -> None:
        if not isinstance(xt, Tensor):
            raise ValueError(f"xt must be a torch.Tensor, got {type(xt).__name__}")
        c, h, w = self.config.shape
        if xt.ndim != 4 or tuple(xt.shape[1:]) != (c, h, w):
            raise ValueError(
                f"xt must have shape (B, {c}, {h}, {w}) as in the network's config, "
                f"got {tuple(xt.shape)}"
            )


class Level(nn.Module):
    """All stages at one resolution, and the change of resolution before them."""

    def __init__(self, resize: Downsample | Upsample | None, stages: list[Stage]) -> None:
        super().__init__()
        self.resize = resize
        self.stages = nn.ModuleList(stages)


def _stage(config: UNetConfig, channels_in: int, channels_out: int, *, attend: bool) -> Stage:
    block = ResidualBlock(
        channels_in,
        channels_out,
        emb_dim=config.emb_dim,
        groups=config.groups,
        dropout=config.dropout,
    )
    if not attend:
        return Stage(block, None)
    return Stage(block, SelfAttention(channels_out, heads=config.heads, groups=config.groups))


def _down_level(config: UNetConfig, i: int) -> Level:
    before, width = config.widths[max(i - 1, 0)], config.widths[i]
    attend = config.sizes[i] in config.attention
    inputs = [before] + [width] * (config.blocks - 1)
    stages = [_stage(config, c, width, attend=attend) for c in inputs]
    return Level(Downsample(before) if i else None, stages)


def _up_level(config: UNetConfig, i: int) -> Level:
    width = config.widths[i]
    attend = config.sizes[i] in config.attention
    stages = [_stage(config, 2 * width, width, attend=attend) for _ in range(config.blocks)]
    deepest = i == len(config.widths) - 1
    return Level(None if deepest else Upsample(config.widths[i + 1], width), stages)
