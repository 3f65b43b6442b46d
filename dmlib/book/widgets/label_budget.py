"""Few labels or many, early or late: predicted masks and the score, recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dmlib.applications.segmentation import CLASSES
from dmlib.book.labelled import COLOURS, recorded
from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack

_COMPARED = ("unet", "window", "untrained")


class LabelBudget(InteractiveFigure):
    """Four test scenes, what each pixel is and what it is called, and mIoU against the labels.

    Everything is recorded (`tools/make/measure_segmentation.py`); the masks are those of the first
    pool of labelled scenes, the curve is the mean over all pools.

    Traits (synchronised): budget, an index into `labels`; time, an index into `times`.

    Args:
        budget, time: the state at the start; time None takes the chosen one's index.
        predict: a question to answer before the figure appears.
    """

    _module = "label_budget.js"
    budget = traitlets.Int(2, min=0).tag(sync=True)
    time = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self, *, budget: int = 0, time: int | None = None, predict: Prediction | None = None
    ) -> None:
        arrays, card = recorded()
        self.times, self.labels = arrays["t"].tolist(), arrays["labels"].tolist()
        self._shown, self._true, self._images = (arrays[k] for k in ("shown", "true", "images"))
        over_t = arrays["over_t"].astype(float)
        self._mean, self._std = over_t.mean(2), over_t.std(2, ddof=1)
        self._compared = {name: card["methods"][name]["mean"] for name in _COMPARED}
        if time is None:
            time = self.times.index(card["chosen"]["t"])
        data: dict[str, Any] = {
            "times": self.times,
            "labels": self.labels,
            "classes": CLASSES,
            "colours": COLOURS,
            "seeds": over_t.shape[2],
            "mean": self._mean.tolist(),
            "std": self._std.tolist(),
            "compared": self._compared,
            "images": pack(self._images.transpose(0, 2, 3, 1).astype(np.uint8)),
            "true": pack(self._true),
            "shown": pack(_packed(self._shown)),
        }
        super().__init__(data=data, predict=predict, budget=budget, time=time)

    @traitlets.validate("budget", "time")
    def _exists(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        most = len(self.labels if name == "budget" else self.times) - 1
        if value > most:
            raise traitlets.TraitError(f"{name} must be in 0..{most}, got {value}")
        return value

    def called(self) -> NDArray[np.uint8]:
        """The class that each pixel of the shown scenes is called, (scenes, H, W)."""
        return self._shown[self.time, self.budget]

    def wrong(self) -> list[int]:
        """How many pixels of each shown scene are called what they are not."""
        return (self.called() != self._true).sum((1, 2)).tolist()

    def score(self) -> tuple[float, float]:
        """mIoU of all test scenes at this budget and time: mean and spread over the pools."""
        at = (self.time, self.budget)
        return float(self._mean[at]), float(self._std[at])

    def _picture(self, figure: Figure) -> None:
        grid = figure.add_gridspec(3, 7)
        colours = ListedColormap(COLOURS)
        rows = (self._images.transpose(0, 2, 3, 1), self._true, self.called())
        for i, (pictures, name) in enumerate(zip(rows, ("scene", "true", "called"), strict=True)):
            for j, shown in enumerate(pictures):
                axes = figure.add_subplot(grid[i, j])
                axes.imshow(shown, cmap=colours, vmin=0, vmax=4, interpolation="nearest")
                axes.set(xticks=[], yticks=[], ylabel="" if j else name)
        plot = figure.add_subplot(grid[:, 4:])
        plot.plot(self.labels, self._mean[self.time], "o-", color="#00704f", label="features")
        for (name, line), ls in zip(self._compared.items(), ("-", "--", ":"), strict=True):
            plot.plot(self.labels, line, ls=ls, color="#55606f", label=name)
        plot.axvline(self.labels[self.budget], color="#b84300", lw=1)
        plot.set(xscale="log", xlabel="labelled scenes", ylim=(0, 1), ylabel="mIoU")
        plot.set_title(f"$t$ = {self.times[self.time]}")
        plot.legend(frameon=False, fontsize=8)

    def _sentence(self) -> str:
        mean, std = self.score()
        return (
            f"With {self.labels[self.budget]} labelled scenes and features at "
            f"t = {self.times[self.time]} the mIoU is {mean:.2f} ± {std:.2f} over "
            f"{self._data['seeds']} choices of scenes; a U-Net trained on the same labels alone "
            f"has {self._compared['unet'][self.budget]:.2f}."
        )


def _packed(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classes 0..15, two in a byte: the first in the upper half."""
    pairs = classes.reshape(-1, 2)
    return (pairs[:, 0] << 4 | pairs[:, 1]).astype(np.uint8)
