"""The U-Nets that bench.py compares: ours and three others' of the same size (±5 %)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SIZE = 28
PEERS = ("dmlib", "diffusers", "denoising-diffusion-pytorch", "smalldiffusion")
Call = Callable[[Tensor, Tensor], Tensor]


def dmlib_net() -> tuple[nn.Module, Call]:
    from dmlib.models import UNet, UNetConfig

    net = UNet(UNetConfig(widths=(32, 64, 144), blocks=2, attention=(7,)))
    return net, net


def diffusers_net() -> tuple[nn.Module, Call]:
    from diffusers import UNet2DModel

    net = UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64, 128),
        layers_per_block=2,
        norm_num_groups=8,
        attention_head_dim=32,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    return net, lambda xt, t: net(xt, t).sample


def ddpm_pytorch_net() -> tuple[nn.Module, Call]:
    from denoising_diffusion_pytorch import Unet

    net = Unet(dim=40, dim_mults=(1, 2, 4), channels=1)
    return net, net


def smalldiffusion_net() -> tuple[nn.Module, Call]:
    from smalldiffusion import Unet

    net = Unet(SIZE, 1, 1, ch=32, ch_mult=(1, 2, 4), num_res_blocks=2, attn_resolutions=(7,))
    return net, lambda xt, t: net(xt, t.to(xt.dtype))


MAKERS = dict(
    zip(PEERS, (dmlib_net, diffusers_net, ddpm_pytorch_net, smalldiffusion_net), strict=True)
)


def stub_torchvision() -> torch.library.Library:
    """torchvision's wheel beside a CPU-only torch lacks its operators, and a peer imports it."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return library
