"""Two versions of a picture, one over the other, and a divider between them to drag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from dmlib._validate import check_float
from dmlib.applications.translation import psnr
from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.data import to_uint8
from dmlib.data.scaling import check_signed


class Divider(InteractiveFigure):
    """Two versions of the same picture over each other; the reader drags what divides them.

    The pictures travel as grey levels 0..255, and the distances are those of the grey levels.

    Traits (synchronised): image, an index; left and right, indices into `names`, the versions on
    the two sides; position in 0..100, where the divider stands, in percent of the width.

    Args:
        versions: what each version is called, such as "regression" or "a sample", and its pictures,
            (N, 1, H, W) or (N, H, W), floating point in [-1, 1]; what lies outside is cut off.
        truth: the name of the version that the PSNR is counted against; None counts nothing.
        pictures: what each of the N pictures shows, for readers who do not see it.
        image, left, right, position: the state at the start; right None is the last version.
        predict: a question to answer before the figure appears.

    Raises:
        ValueError: fewer than two versions, shapes that differ, values that are not finite or seem
            to lie in 0..1 or 0..255, a truth that is no version, not as many names as pictures, or
            more than 300 kB.
    """

    _module = "divider.js"
    image = traitlets.Int(0, min=0).tag(sync=True)
    left = traitlets.Int(0, min=0).tag(sync=True)
    right = traitlets.Int(1, min=0).tag(sync=True)
    position = traitlets.Int(50, min=0, max=100).tag(sync=True)

    def __init__(
        self,
        versions: dict[str, Tensor],
        truth: str | None = None,
        *,
        pictures: Sequence[str] | None = None,
        image: int = 0,
        left: int = 0,
        right: int | None = None,
        position: int = 50,
        predict: Prediction | None = None,
    ) -> None:
        self.names, self._levels = list(versions), _grey_levels(versions)
        if truth is not None and truth not in versions:
            raise ValueError(f"truth must be one of {self.names} or None, got {truth!r}")
        self._truth = None if truth is None else self.names.index(truth)
        count = self._levels.shape[1]
        self._pictures = list(pictures or (f"picture {i + 1}" for i in range(count)))
        if len(self._pictures) != count:
            raise ValueError(f"pictures must be {count} names, got {len(self._pictures)}")
        data: dict[str, Any] = {
            "versions": self.names,
            "truth": self._truth,
            "pictures": self._pictures,
            "levels": pack(self._levels),
        }
        right = len(self.names) - 1 if right is None else right
        state = {"image": image, "left": left, "right": right, "position": position}
        super().__init__(data=data, predict=predict, **state)

    @traitlets.validate("image", "left", "right")
    def _exists(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        most = len(self._pictures if name == "image" else self.names) - 1
        if value > most:
            raise traitlets.TraitError(f"{name} must be in 0..{most}, got {value}")
        return value

    def shown(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The whole pictures of which the left and the right part are seen, (H, W) grey levels."""
        return self._levels[self.left, self.image], self._levels[self.right, self.image]

    def psnr(self) -> tuple[float, float] | None:
        """PSNR of the two against the truth, in decibels; inf for the truth, None without one.

        dmlib's own `psnr` of the grey levels, brought back to [-1, 1] in float64.
        """
        if self._truth is None:
            return None
        levels = np.stack([*self.shown(), self._levels[self._truth, self.image]])
        left, right, truth = torch.from_numpy(levels / 127.5 - 1)
        found = psnr(torch.stack([left, right]), torch.stack([truth, truth]))
        return float(found[0]), float(found[1])

    def _picture(self, figure: Figure) -> None:
        left, right = self.shown()
        height, width = left.shape
        at = width * self.position / 100
        notes = [told and f"\nPSNR: {told}" for told in self._told()]
        titles = [self.names[i] + note for i, note in zip(self._sides(), notes, strict=True)]
        views = ([left], [left, right], [right])
        middle = "divided" + "\n" * any(notes)
        axes = figure.subplots(1, 3)
        for ax, layers, title in zip(axes, views, (titles[0], middle, titles[1]), strict=True):
            for i, picture in enumerate(layers):
                # The right picture lies on top, and begins at the divider.
                drawn = ax.imshow(
                    picture, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0)
                )
                if i:
                    cut = Rectangle((at, 0), width - at, height, transform=ax.transData)
                    drawn.set_clip_path(cut)
                    ax.axvline(at, color="#b84300", lw=2)
            ax.set_title(title, fontsize=10)
            ax.axis("off")

    def _sides(self) -> tuple[int, int]:
        return self.left, self.right

    def _told(self) -> list[str]:
        """The PSNR of both sides in words; nothing for the truth itself, or without one."""
        found = self.psnr()
        if found is None:
            return ["", ""]
        return [
            "" if side == self._truth else f"{value:.2f} dB".replace("inf", "∞")
            for side, value in zip(self._sides(), found, strict=True)
        ]

    def _sentence(self) -> str:
        left, right = (
            f"“{self.names[side]}”" + (f" (PSNR {told})" if told else "")
            for side, told in zip(self._sides(), self._told(), strict=True)
        )
        return (
            f"{self._pictures[self.image]}: {left} lies left of a divider at {self.position} % of "
            f"the width, {right} right of it."
        )


def _grey_levels(versions: dict[str, Tensor]) -> NDArray[np.uint8]:
    """(V, N, H, W) uint8 of checked versions."""
    if not isinstance(versions, dict) or len(versions) < 2:
        what = f"{len(versions)}" if isinstance(versions, dict) else type(versions).__name__
        raise ValueError(f"versions must be a dict of at least two versions, got {what}")
    levels = []
    for name, x in versions.items():
        label = f"versions[{name!r}]"
        check_float(label, x)
        if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[1] != 1) or x.numel() == 0:
            raise ValueError(f"{label} must be (N, 1, H, W) or (N, H, W), got {tuple(x.shape)}")
        check_signed(label, x)
        levels.append(to_uint8(x.cpu() if x.ndim == 4 else x.cpu()[:, None]).numpy())
        if levels[-1].shape != levels[0].shape:
            first = next(iter(versions))
            raise ValueError(
                f"{label} must have N, H, W of versions[{first!r}], {levels[0].shape}, got "
                f"{levels[-1].shape}"
            )
    return np.stack(levels)
