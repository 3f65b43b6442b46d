"""A trained U-Net, taken apart: the book's chapter 4."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from dmlib.book.widgets.base import InteractiveFigure, Prediction, on_cpu, pack
from dmlib.book.widgets.forward_player import check_images, noise_field
from dmlib.book.widgets.images import default_images
from dmlib.checkpoint import load_shipped
from dmlib.forward import q_sample
from dmlib.models import NetDenoiser, predicts_eps
from dmlib.models.inspect import Part, activations, inner_unet, parts
from dmlib.schedules import NoiseSchedule, cosine_schedule

TIMES = (1, 100, 250, 400, 550, 700, 850, 990)
_CHANNELS = 8  # shown of each part
_FLAT = 16  # the conditioning's numbers stand in rows of this length


class UNetExplorer(InteractiveFigure):
    """A block diagram of a real network; each part tells its shapes, costs and activations.

    Traits (synchronised): part, an index into `parts(net)`; step, an index into `times`; image,
    an index; bars, "parameters" or "multiply_adds".

    Args:
        net: a denoiser of a `UNet`, or a `UNet` that predicts eps; None takes the shipped one.
        images: (N, side, side) uint8, noised and shown to the network without a class; None
            takes two of Fashion-MNIST.
        names: what each image shows.
        schedule: that a plain `UNet` was trained with; None is cosine with T = 1000.
        part, step: the state at the start.
        predict: a question to answer before the figure appears.

    Raises:
        ValueError: net is no U-Net, images do not fit it, or the data would exceed 300 kB.
    """

    _module = "unet_explorer.js"
    part = traitlets.Int(2, min=0).tag(sync=True)
    step = traitlets.Int(2, min=0, max=len(TIMES) - 1).tag(sync=True)
    image = traitlets.Int(0, min=0).tag(sync=True)
    bars = traitlets.Enum(("parameters", "multiply_adds"), "parameters").tag(sync=True)

    def __init__(
        self,
        net: nn.Module | None = None,
        *,
        images: NDArray[np.uint8] | None = None,
        names: list[str] | None = None,
        schedule: NoiseSchedule | None = None,
        part: int = 2,
        step: int = 2,
        predict: Prediction | None = None,
    ) -> None:
        if net is None:
            net, _ = load_shipped()
        if images is None:
            images, names = (some[:2] for some in default_images())
        net = on_cpu(net)
        self._images, self._names = check_images(images, names)
        if not isinstance(net, NetDenoiser):
            net = predicts_eps(inner_unet(net), schedule or cosine_schedule(1000))
        self._schedule = net.path
        self._parts = parts(net)
        self._kept, self._x0_hat = self._computed(net)
        self._shown = {p.name: _telling(self._kept[p.name]) for p in self._parts}
        super().__init__(data=self._handed_over(net), predict=predict, part=part, step=step)

    @traitlets.validate("part", "image")
    def _exists(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        most = len(self._parts if name == "part" else self._images) - 1
        if value > most:
            raise traitlets.TraitError(f"{name} must be in 0..{most}, got {value}")
        return value

    def xt(self, image: int, step: int) -> Tensor:
        """The noisy image that the network sees, (1, 1, side, side) float64."""
        x0 = torch.from_numpy(self._images[image] / 127.5 - 1)[None, None]
        eps = noise_field(1, self._images.shape[-1])[None]
        return q_sample(x0, TIMES[step], eps, schedule=self._schedule)

    def shown(self) -> tuple[Part, list[int], Tensor]:
        """The chosen part, its channels on show and their activations (channels, H, W)."""
        p = self._parts[self.part]
        channels = self._shown[p.name]
        kept = self._kept[p.name][self.image * len(TIMES) + self.step]
        return p, channels, kept if kept.ndim == 1 else kept[channels]

    def _computed(self, net: NetDenoiser) -> tuple[dict[str, Tensor], Tensor]:
        """Activations of all parts and x0_hat, image by image and step by step."""
        cases = [(i, s) for i in range(len(self._images)) for s in range(len(TIMES))]
        xt = torch.cat([self.xt(i, s) for i, s in cases])
        t = torch.tensor([TIMES[s] for _, s in cases])
        weight = next(net.parameters())
        with torch.no_grad():
            kept = activations(net, xt.to(weight), t)
            return kept, net(xt.to(weight), t).x0_hat.double()

    def _handed_over(self, net: NetDenoiser) -> dict[str, Any]:
        """What JavaScript gets; a case is an image at a step, its maps lie one after the other."""
        listed, maps, scales, start = [], [], [], 0
        for p, cell in zip(self._parts, _layout(net, self._parts), strict=True):
            channels = self._shown[p.name]
            kept = self._kept[p.name].double()
            values = kept[:, None] if kept.ndim == 2 else kept[:, channels].flatten(2)
            scale = values.abs().amax(2).clamp(min=1e-6).float()  # (cases, channels)
            size = values.shape[2]
            rows = size // _FLAT if kept.ndim == 2 else p.shape_out[1]
            listed.append(
                {
                    **asdict(p),
                    **cell,
                    "channels": channels,
                    "map": [rows, size // rows],
                    "map_start": start,
                    "scale_start": sum(s.shape[1] for s in scales),
                }
            )
            maps.append((values / scale[:, :, None] * 127.5 + 127.5).round().flatten(1))
            scales.append(scale)
            start += maps[-1].shape[1]
        grey = ((self._x0_hat.clamp(-1, 1) + 1) * 127.5).round()
        side = self._images.shape[-1]
        return {
            "parts": listed,
            "times": TIMES,
            "alpha_bar": [float(self._schedule.alpha_bar[t]) for t in TIMES],
            "side": side,
            "answers": net.predicts,
            "names": self._names,
            "images": pack(self._images),
            "noise": pack(noise_field(1, side).numpy().astype(np.float16)),
            "maps": pack(torch.cat(maps, 1).numpy().astype(np.uint8)),
            "scales": pack(torch.cat(scales, 1).numpy()),
            "x0_hat": pack(grey.numpy().astype(np.uint8)),
        }

    def _picture(self, figure: Figure) -> None:
        part, _, kept = self.shown()
        bars, maps = figure.subfigures(1, 2)
        axes = bars.subplots()
        key = self.bars
        axes.barh(
            [q.name for q in self._parts], [getattr(q, key) for q in self._parts], color="#0067a3"
        )
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=6)
        axes.set_title(key.replace("_", "-") + " of each part", fontsize=9)
        maps.suptitle(f"{part.kind} at $t$ = {TIMES[self.step]}", fontsize=9)
        many = [kept.reshape(-1, _FLAT)] if kept.ndim == 1 else list(kept)
        for axis, values in zip(maps.subplots(2, 4).flat, many, strict=False):
            most = float(values.abs().max().clamp(min=1e-6))
            axis.imshow(values.float().numpy(), cmap="gray", vmin=-most, vmax=most)
        for axis in maps.axes:
            axis.axis("off")

    def _sentence(self) -> str:
        p, _, _ = self.shown()
        return (
            f"A U-Net of {len(self._parts)} parts; the chosen one, {p.name}, is of the kind "
            f"{p.kind}, has {p.parameters:,} parameters, takes {p.multiply_adds:,} multiply-adds "
            f"and puts out {' x '.join(map(str, p.shape_out))}, shown for the image "
            f"{self._names[self.image]} at t = {TIMES[self.step]}."
        )


def _telling(kept: Tensor) -> list[int]:
    """The channels that vary most over the image, on average over all cases, in their order."""
    if kept.ndim == 2:
        return [0]
    spread = kept.double().flatten(2).std(2).mean(0)
    return sorted(spread.topk(min(_CHANNELS, len(spread))).indices.tolist())


def _layout(net: nn.Module, listed: list[Part]) -> list[dict[str, Any]]:
    """Row and column of each part in the drawing, and whether a skip arrives there.

    The way down is the left column, the way up the right one; what belongs together stands in
    one row, so that every skip is a level line.
    """
    config = inner_unet(net).config
    levels = len(config.widths)
    rows: dict[str, int] = {"conditioning": 2, "stem": 3, "head": 3}
    row = 4
    for level in range(levels):
        attends = config.sizes[level] in config.attention
        if level:
            rows[f"down.{level}.resize"] = rows[f"up.{levels - level}.resize"] = row
            row += 1
        for k in range(config.blocks):
            down, up = f"down.{level}.stages.{k}", f"up.{levels - 1 - level}.stages"
            up = f"{up}.{config.blocks - 1 - k}"
            rows[f"{down}.block"] = row
            rows[f"{down}.attention"] = rows[f"{up}.block"] = row + attends
            rows[f"{up}.attention"] = row
            row += 1 + attends
    rows |= {"middle.0.block": row, "middle.1.block": row, "middle.0.attention": row + 1}
    cells = []
    for p in listed:
        whole = p.kind == "conditioning" or p.name == "middle.0.attention"
        left = p.place == "down" or p.name in ("stem", "middle.0.block")
        column = "1 / -1" if whole else "1" if left else "3"
        skip = p.place == "up" and p.kind == "residual block"
        cells.append({"row": rows[p.name], "column": column, "skip": skip})
    return cells
