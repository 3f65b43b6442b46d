"""U-Nets with one part taken away: what the chapter on the U-Net trains to see what parts are for.

Each function changes a network in place, so that all its weights stay and only what the part is
*for* is gone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dmlib.models import UNet
from dmlib.models.blocks import SelfAttention


def as_it_is(net: UNet) -> None:
    """The whole network."""


def without_skips(net: UNet) -> None:
    """Each block on the way up gets its own input twice, and nothing from its partner."""

    def twice(_: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, emb = inputs  # x holds what comes from below, then the skip
        below, _skip = x.chunk(2, dim=1)
        return torch.cat([below, below], dim=1), emb

    for level in net.up:
        for stage in level.stages:
            stage.register_forward_pre_hook(twice)


def without_time(net: UNet) -> None:
    """Whatever t is, the network is told t = 0."""
    net.conditioning.register_forward_pre_hook(
        lambda _, inputs: (torch.zeros_like(inputs[0]), *inputs[1:])
    )


class Alone(SelfAttention):
    """Attention in which every pixel looks at itself only: softmax(Q K^T / sqrt(D)) = I."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        _, _, v = self.qkv(tokens).chunk(3, dim=2)
        return x + self.out(v).transpose(1, 2).unflatten(2, x.shape[2:])


def without_attention(net: UNet) -> None:
    """Every attention layer becomes an `Alone` with the same weights."""
    stages = [module for module in net.modules() if getattr(module, "attention", None) is not None]
    for stage in stages:
        old = stage.attention
        stage.attention = Alone(old.out.in_features, heads=old.heads, groups=old.norm.num_groups)
        stage.attention.load_state_dict(old.state_dict())
