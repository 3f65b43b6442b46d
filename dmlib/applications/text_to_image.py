"""From words to pictures: say what shall be seen, and see where the network looks for each word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dmlib.data.captions import tokenize
from dmlib.guidance import guided
from dmlib.models import NetDenoiser
from dmlib.models.attention import CrossAttention
from dmlib.sampling import clipped, generate
from dmlib.steps import ddim


def say(
    denoiser: NetDenoiser,
    texts: Sequence[str],
    *,
    generator: Generator,
    guidance_scale: float = 2.0,
    negative: str | None = None,
    times: int = 20,
) -> Tensor:
    """A picture for each caption, by DDIM.

    Args:
        denoiser: of a network that hears tokens, such as `load_words` gives.
        texts: B captions of the grammar of `dmlib.data.captions`.
        generator: draws x_T.
        guidance_scale: as in `guided`.
        negative: a caption to go away from, where guidance else goes away from the empty one.
        times: number of steps.

    Returns:
        (B, 3, H, W) in [-1, 1].

    Raises:
        ValueError: a word is unknown; the message names it.
    """
    config = denoiser.config
    xT = torch.randn(len(texts), *config.shape, generator=generator, device=generator.device)
    xT = xT.to(next(denoiser.parameters()).device)
    against = None if negative is None else tokenize([negative])
    heard = guided(denoiser, tokenize(texts), guidance_scale=guidance_scale, against=against)
    return generate(clipped(heard), xT, step=ddim(), times=times)


@torch.no_grad()
def word_maps(net: nn.Module, xt: Tensor, t: int | Tensor, y: Tensor) -> dict[str, Tensor]:
    """Where each cross-attention block looks for each word, averaged over its heads.

    Source: Hertz et al. 2023, section 3; the book's equation eq-word-map.

    Args:
        net: a network with `CrossAttention` in it, called net(xt, t, y).
        xt: (B, C, H, W).
        t: int or (B,) int64.
        y: (B, N) int64, tokens.

    Returns:
        By the block's name, in the order in which they compute: (B, N, h, w), the weight that each
        pixel gives each token; over the tokens they add up to 1.
    """
    maps: dict[str, Tensor] = {}

    def watch(name: str, module: CrossAttention) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            weights = module.weights(*inputs).mean(1)  # (B, HW, N)
            maps[name] = weights.transpose(1, 2).unflatten(2, out.shape[2:])

        return module.register_forward_hook(note)

    hooks = [watch(n, m) for n, m in net.named_modules() if isinstance(m, CrossAttention)]
    try:
        net(xt, t, y)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def overlap_with_mask(word_map: Tensor, mask: Tensor) -> Tensor:
    """Intersection over union of where a word's map is bright and where its thing is.

    Bright is what lies above the middle between the map's smallest and largest value, once the map
    has been enlarged to the mask's size.
    The book's equation eq-map-overlap.

    Args:
        word_map: (B, h, w), >= 0.
        mask: (B, H, W) in [0, 1]; a pixel belongs to the thing from 1/2.

    Returns:
        (B,) in [0, 1].
    """
    size = mask.shape[-2:]
    large = F.interpolate(word_map[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    bright, thing = large > (low + high) / 2, mask >= 0.5
    return (bright & thing).sum((1, 2)) / (bright | thing).sum((1, 2)).clamp(min=1)
