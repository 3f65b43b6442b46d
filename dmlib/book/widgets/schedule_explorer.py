"""The variance schedule's curves, live, with a filmstrip under them (chapters 1 and 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.book.widgets.forward_player import FAMILIES, check_images, family, noise_field
from dmlib.book.widgets.images import default_images
from dmlib.forward import q_sample
from dmlib.schedules import NoiseSchedule


class ScheduleExplorer(InteractiveFigure):
    """beta_t, alpha_bar_t and log SNR as the family, T, beta_1 and beta_T change.

    Traits (synchronised): family, one of "linear", "cosine", "sigmoid", "zero-snr"; T in
    10..2000; beta_1 and beta_T, which "cosine" and "sigmoid" do not use; image, an index.
    Moving one variance past the other takes the other along.

    Args:
        images: (N, side, side) uint8, the choice of images; None takes eight of Fashion-MNIST.
        names: what each image shows.
        family, T: the state at the start.
        predict: a question to answer before the figure appears.
    """

    _module = "schedule_explorer.js"
    family = traitlets.Enum(FAMILIES, "linear").tag(sync=True)
    T = traitlets.Int(1000, min=10, max=2000).tag(sync=True)
    beta_1 = traitlets.Float(1e-4, min=1e-5, max=0.5).tag(sync=True)
    beta_T = traitlets.Float(0.02, min=1e-5, max=0.51).tag(sync=True)
    image = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self,
        images: NDArray[np.uint8] | None = None,
        *,
        names: list[str] | None = None,
        family: str = "linear",
        T: int = 1000,
        predict: Prediction | None = None,
    ) -> None:
        if images is None:
            images, names = default_images()
        self._images, self._names = check_images(images, names)
        side = self._images.shape[-1]
        data: dict[str, Any] = {
            "side": side,
            "images": pack(self._images),
            "names": self._names,
            "noise": pack(noise_field(1, side).numpy().astype(np.float16)),
        }
        super().__init__(data=data, predict=predict, family=family, T=T)

    @traitlets.observe("beta_1")
    def _push_beta_T(self, change: dict[str, Any]) -> None:
        self.beta_T = max(self.beta_T, change["new"])

    @traitlets.observe("beta_T")
    def _push_beta_1(self, change: dict[str, Any]) -> None:
        self.beta_1 = min(self.beta_1, change["new"])

    def schedule(self) -> NoiseSchedule:
        """The schedule on show, for use in Python."""
        return family(self.family, self.T, beta_1=self.beta_1, beta_T=self.beta_T)

    def filmstrip(self) -> tuple[list[int], Tensor]:
        """The nine times of the filmstrip and its frames, (9, 1, side, side) float64."""
        # floor(x + 1/2) as JavaScript's Math.round does, not Python's rounding to even.
        times = [int(k * self.T / 8 + 0.5) for k in range(9)]
        x0 = torch.from_numpy(self._images[self.image] / 127.5 - 1).expand(9, 1, -1, -1)
        eps = noise_field(1, self._images.shape[-1]).expand(9, 1, -1, -1)
        return times, q_sample(x0, torch.tensor(times), eps, schedule=self.schedule())

    def _picture(self, figure: Figure) -> None:
        schedule = self.schedule()
        above, film = figure.subfigures(2, 1, height_ratios=(2.2, 1))
        curves = (
            (r"$\beta_t$", schedule.beta, 1),
            (r"$\bar\alpha_t$", schedule.alpha_bar, 0),
            ("log SNR", schedule.log_snr.clamp(-12, 12), 1),
        )
        for axes, (label, table, first) in zip(above.subplots(1, 3), curves, strict=True):
            axes.plot(np.arange(first, self.T + 1), table[first:].numpy(), color="#0067a3")
            axes.set(title=label, xlabel="$t$")
        times, frames = self.filmstrip()
        for axes, t, frame in zip(film.subplots(1, 9), times, frames, strict=True):
            axes.imshow(frame[0].numpy(), cmap="gray", vmin=-1, vmax=1)
            axes.set_title(f"$t$ = {t}", fontsize=8)
            axes.axis("off")

    def _sentence(self) -> str:
        end = float(self.schedule().alpha_bar[-1])
        return (
            f"The {self.family} schedule with T = {self.T}: beta_t, alpha_bar_t, log SNR and an "
            f"image noised by it; alpha_bar_T = {end:.2g}, so {end**0.5:.2g} of the image is left "
            "in x_T."
        )
