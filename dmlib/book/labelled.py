"""What the chapter on pixels shows of its recorded measurements."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from dmlib.assets import ASSETS
from dmlib.book import plotting

# The blocks of the network that reads captions, in the order in which they compute.
BLOCKS = ("down_fine", "down_coarse", "middle", "up_coarse", "up_fine")
# Ground, circle, square, triangle, cross: Okabe and Ito (2008), on a dark ground.
COLOURS = ("#2b2f36", "#56b4e9", "#e69f00", "#2fbf8f", "#f0a6ca")
_LINES = {  # method -> (label, colour, dash)
    "features": ("features of the network", plotting.MODEL, "-"),
    "uncaptioned": ("uncaptioned network", plotting.MODEL, ":"),
    "untrained": ("untrained network", plotting.FAINT, "--"),
    "pixel": ("pixel", plotting.NOISE, ":"),
    "window": ("window", plotting.NOISE, "--"),
    "unet": ("U-Net from nothing", plotting.DATA, "-."),
}


def recorded() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays that `tools/make/measure_segmentation.py` wrote, by name, and their card."""
    with np.load(ASSETS / "segmentation.npz", allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    return arrays, json.loads((ASSETS / "segmentation.json").read_text(encoding="utf-8"))


def coloured(classes: Tensor) -> Tensor:
    """Class maps (B, H, W) as pictures (B, 3, H, W) in [-1, 1], a colour for each class."""
    rgb = [[int(c[i : i + 2], 16) / 127.5 - 1 for i in (1, 3, 5)] for c in COLOURS]
    return torch.tensor(rgb)[classes].movedim(-1, 1)


def curve(axes: Axes, arrays: dict[str, NDArray[Any]], card: dict[str, Any]) -> Axes:
    """mIoU against the number of labelled scenes, a line and a band for each method.

    Args:
        axes: where to draw.
        arrays, card: of `recorded`.
    """
    for name, of in card["methods"].items():
        label, color, dash = _LINES[name]
        mean, std = np.array(of["mean"]), np.array(of["std"])
        axes.plot(arrays["labels"], mean, label=label, color=color, ls=dash)
        axes.fill_between(arrays["labels"], mean - std, mean + std, color=color, alpha=0.1, lw=0)
    axes.set(xscale="log", xlabel="labelled scenes", ylabel="mIoU")
    axes.set_xticks(arrays["labels"], arrays["labels"])
    axes.minorticks_off()
    axes.legend(fontsize=9)
    return axes
