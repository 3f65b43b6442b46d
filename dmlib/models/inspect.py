"""Look into a U-Net: its parts, what each costs, what each puts out, and how far it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dmlib.models.blocks import Downsample, ResidualBlock, SelfAttention, Upsample
from dmlib.models.embedding import Conditioning
from dmlib.models.predictions import NetDenoiser
from dmlib.models.unet import UNet

KINDS = {
    Conditioning: "conditioning",
    ResidualBlock: "residual block",
    SelfAttention: "self-attention",
    Downsample: "downsample",
    Upsample: "upsample",
}


@dataclass(frozen=True)
class Part:
    """One part of a U-Net, measured on one image.

    Args:
        name: its path in the network, for example "down.1.stages.0.attention".
        kind: "conditioning", "stem", "residual block", "self-attention", "downsample", "upsample"
            or "head".
        place: "", "down", "middle" or "up".
        shape_in: (C, H, W) of what comes in; for the conditioning (emb_dim,).
        shape_out: (C, H, W) of what goes out; for the conditioning (emb_dim,).
        parameters: how many numbers are learned in it.
        multiply_adds: products that are summed up, in convolutions and matrix products; what is
            done pixel by pixel (norms, SiLU, sums) is not counted.
    """

    name: str
    kind: str
    place: str
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    parameters: int
    multiply_adds: int


def inner_unet(net: nn.Module) -> UNet:
    """The U-Net itself, out of a network or the denoiser made of it.

    Raises:
        ValueError: net is no U-Net.
    """
    unet = net.net if isinstance(net, NetDenoiser) else net
    if not isinstance(unet, UNet):
        raise ValueError(f"net must be a UNet or a denoiser of one, got {type(unet).__name__}")
    return unet


def named_parts(net: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """(name, kind, module) of the parts, in the order in which the modules were made."""
    for name, module in inner_unet(net).named_modules():
        kinds = [kind for known, kind in KINDS.items() if isinstance(module, known)]
        if kinds or name in ("stem", "head"):
            yield name, kinds[0] if kinds else name, module


def parts(net: nn.Module) -> list[Part]:
    """Shapes, parameters and multiply-adds of all parts, in the order in which they compute.

    The counts are for one image; those of all parts add up to the network's.
    The book's equations eq-parameters and eq-multiply-adds.

    Args:
        net: a `UNet`, or the denoiser of one; its weights do not matter.

    Raises:
        ValueError: net is no U-Net.
    """
    unet = inner_unet(net)
    known = {name: (kind, module) for name, kind, module in named_parts(net)}
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def note(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(
            lambda _m, inputs, out: shapes.update(
                {name: (tuple(inputs[0].shape[1:]), tuple(out.shape[1:]))}
            )
        )

    hooks = [note(name, module) for name, (_, module) in known.items()]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            unet(_one_image(unet), 1)
    finally:
        for hook in hooks:
            hook.remove()
    flops = {
        path.partition(".")[2]: sum(n.values()) for path, n in counter.get_flop_counts().items()
    }
    return [
        _part(unet, name, *known[name], shape_in, shape_out, flops.get(name, 0))
        for name, (shape_in, shape_out) in shapes.items()
    ]


def _part(
    unet: UNet,
    name: str,
    kind: str,
    module: nn.Module,
    shape_in: tuple[int, ...],
    shape_out: tuple[int, ...],
    flops: int,
) -> Part:
    modules = [module, unet.head_norm] if kind == "head" else [module]
    return Part(
        name=name,
        kind=kind,
        place=name.partition(".")[0] if "." in name else "",
        shape_in=(unet.config.emb_dim,) if kind == "conditioning" else shape_in,
        shape_out=shape_out,
        parameters=sum(p.numel() for m in modules for p in m.parameters()),
        multiply_adds=flops // 2,  # a product and a sum
    )


def activations(
    net: nn.Module, xt: Tensor, t: int | Tensor, y: Tensor | None = None
) -> dict[str, Tensor]:
    """What each part of a U-Net puts out for given images, by the part's name.

    Args:
        net: a `UNet`, or the denoiser of one.
        xt: (B, C, H, W).
        t: int or (B,) int64.
        y: (B,) int64 or None, as the network takes it.

    Returns:
        Tensors (B, C, H, W), the conditioning's (B, emb_dim), in the order of `parts`.

    Raises:
        ValueError: net is no U-Net, or an argument does not fit it.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(lambda _m, _i, out: kept.update({name: out.detach()}))

    hooks = [keep(name, module) for name, _, module in named_parts(net)]
    try:
        with torch.no_grad():
            net(xt, t, y)
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def influence(
    net: nn.Module,
    xt: Tensor,
    t: int | Tensor,
    y: Tensor | None = None,
    *,
    pixel: tuple[int, int],
) -> Tensor:
    """How much each pixel of x_t moves one pixel of the answer: |d out[pixel] / d x_t|.

    The answer is the U-Net's own: of a denoiser that is v_hat, say, without the formula around it.
    Where this is not 0, there is the pixel's receptive field.

    Args:
        net: a `UNet`, or the denoiser of one.
        xt: (B, C, H, W).
        t: int or (B,) int64.
        y: (B,) int64 or None, as the network takes it.
        pixel: row and column of the answer's pixel.

    Returns:
        (H, W), the mean over the images, summed over channels.

    Raises:
        ValueError: net is no U-Net, pixel lies outside, or an argument does not fit the network.
    """
    unet = inner_unet(net)
    size = unet.config.image_size
    if not all(0 <= k < size for k in pixel):
        raise ValueError(f"pixel must lie in 0..{size - 1} twice, got {pixel}")
    xt = xt.detach().requires_grad_(True)
    out = unet(xt, t, y)[:, :, pixel[0], pixel[1]]
    (gradient,) = torch.autograd.grad(out.sum(), xt)
    return gradient.abs().sum(1).mean(0)


def _one_image(unet: UNet) -> Tensor:
    weight = unet.stem.weight
    size = unet.config.image_size
    shape = (1, unet.config.channels, size, size)
    return torch.zeros(shape, dtype=weight.dtype, device=weight.device)
