"""A U-Net that is shown a picture: the network of chapter 4 with more channels at its door."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from dmlib._validate import check_int
from dmlib.models.unet import UNet, UNetConfig


class PictureUNet(nn.Module):
    """v_hat = net(xt, t, y): y is a picture of the same size, laid beside xt as more channels.

    Every convolution then sees both at the same place; nothing else of the U-Net changes.
    Source: Saharia et al. 2022 (SR3), section 2.1, and Saharia et al. 2022 (Palette), section 3.

    Args:
        config: the shape of the U-Net that draws; it knows no classes.
        given: channels of y.

    Raises:
        ValueError: config is no UNetConfig or has classes, or given is no whole number >= 1.
    """

    def __init__(self, config: UNetConfig, *, given: int = 1) -> None:
        super().__init__()
        if not isinstance(config, UNetConfig) or config.num_classes is not None:
            raise ValueError(f"config must be a UNetConfig without classes, got {config!r}")
        self.config, self.given = config, check_int("given", given, low=1)
        self.unet = UNet(replace(config, channels=config.channels + self.given))

    @property
    def null(self) -> Tensor:
        """Mid-grey of (given, H, W), laid beside xt where nothing is given."""
        _, height, width = self.config.shape
        return self.unet.stem.weight.new_zeros(self.given, height, width)

    def forward(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """Predict v for xt.

        Args:
            xt: (B, C, H, W), floating point, of config.shape.
            t: int or (B,) int64.
            y: (B, given, H, W) in [-1, 1], or None for nothing.

        Returns:
            v_hat, (B, C, H, W).

        Raises:
            ValueError: an argument does not fit the network.
        """
        channels, height, width = self.config.shape
        y = self.null.to(xt.dtype).expand(len(xt), -1, -1, -1) if y is None else y
        expected = (len(xt), self.given, height, width)
        if tuple(xt.shape[1:]) != self.config.shape or tuple(y.shape) != expected:
            raise ValueError(
                f"xt must be (B, *{self.config.shape}) and y {expected}, "
                f"got {tuple(xt.shape)} and {tuple(y.shape)}"
            )
        return self.unet(torch.cat([xt, y.to(xt.dtype)], dim=1), t)[:, :channels]
