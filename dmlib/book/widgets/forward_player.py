"""x_t over t on real images (the book's chapters 1 and 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.book.widgets.images import default_images
from dmlib.forward import q_sample
from dmlib.schedules import (
    NoiseSchedule,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
    zero_terminal_snr,
)

FAMILIES = ("linear", "cosine", "sigmoid", "zero-snr")
SEEDS = (1, 2, 3, 4)
_T = 1000


def family(name: str, T: int = _T, *, beta_1: float = 1e-4, beta_T: float = 0.02) -> NoiseSchedule:
    """The schedule that the widgets call `name` (one of FAMILIES)."""
    if name == "cosine":
        return cosine_schedule(T)
    if name == "sigmoid":
        return sigmoid_schedule(T)
    linear = linear_schedule(T, beta_1=beta_1, beta_T=beta_T)
    return linear if name == "linear" else zero_terminal_snr(linear)


def noise_field(seed: int, side: int = 28) -> Tensor:
    """Standard normal noise (1, side, side), rounded to float16 as the browser receives it."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, side, side, generator=generator).half().double()


class ForwardPlayer(InteractiveFigure):
    """A slider through the forward process of one image: x_t, its two factors, its histogram.

    Traits (synchronised, so `observe` and `link` work): t in 0..1000; schedule, one of
    "linear", "cosine", "sigmoid", "zero-snr"; image, an index; seed in 1..4, the noise.

    Args:
        images: (N, side, side) uint8, the choice of images; None takes eight of Fashion-MNIST.
        names: what each image shows, for readers who do not see it.
        t, schedule: the state at the start.
        predict: a question to answer before the figure appears.
    """

    _module = "forward_player.js"
    t = traitlets.Int(250, min=0, max=_T).tag(sync=True)
    schedule = traitlets.Enum(FAMILIES, "linear").tag(sync=True)
    image = traitlets.Int(0, min=0).tag(sync=True)
    seed = traitlets.Int(1, min=SEEDS[0], max=SEEDS[-1]).tag(sync=True)

    def __init__(
        self,
        images: NDArray[np.uint8] | None = None,
        *,
        names: list[str] | None = None,
        t: int = 250,
        schedule: str = "linear",
        predict: Prediction | None = None,
    ) -> None:
        if images is None:
            images, names = default_images()
        self._images, self._names = check_images(images, names)
        noise = torch.stack([noise_field(seed, self._images.shape[-1]) for seed in SEEDS])
        data: dict[str, Any] = {
            "T": _T,
            "side": self._images.shape[-1],
            "images": pack(self._images),
            "names": self._names,
            "noise": pack(noise.numpy().astype(np.float16)),
        }
        super().__init__(data=data, predict=predict, t=t, schedule=schedule)

    @traitlets.validate("image")
    def _image_exists(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] >= len(self._images):
            raise traitlets.TraitError(f"image must be in 0..{len(self._images) - 1}")
        return proposal["value"]

    def x0(self) -> Tensor:
        """The chosen image, (1, 1, side, side) float64 in [-1, 1]."""
        return torch.from_numpy(self._images[self.image] / 127.5 - 1)[None, None]

    def xt(self) -> Tensor:
        """What the figure shows, x_t, (1, 1, side, side) float64: dmlib's own `q_sample`."""
        eps = noise_field(self.seed, self._images.shape[-1])[None]
        return q_sample(self.x0(), self.t, eps, schedule=family(self.schedule))

    def _picture(self, figure: Figure) -> None:
        alpha_bar = family(self.schedule).alpha_bar.numpy()
        xt = self.xt()[0, 0].numpy()
        left, middle, right = figure.subplots(1, 3)
        left.imshow(xt, cmap="gray", vmin=-1, vmax=1)
        left.set_title(f"$x_t$ at $t$ = {self.t}")
        left.axis("off")
        edges = np.linspace(-3.5, 3.5, 29)
        middle.hist(xt.ravel().clip(-3.5, 3.5), bins=edges, density=True, color="#7fb3d1")
        middle.plot(edges, np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi), color="#b84300")
        middle.set(xlabel="pixel value of $x_t$", title="pixels and N(0, 1)", ylim=(0, 1))
        right.plot(alpha_bar, color="#0067a3")
        right.plot(self.t, alpha_bar[self.t], "o", color="#b84300")
        right.set(xlabel="$t$", title=r"$\bar\alpha_t$, " + self.schedule)

    def _sentence(self) -> str:
        a = float(family(self.schedule).alpha_bar[self.t])
        return (
            f"x_t at t = {self.t} of {_T} ({self.schedule} schedule, {self._names[self.image]}): "
            f"{a**0.5:.3f} times the image plus {(1 - a) ** 0.5:.3f} times noise."
        )


def check_images(
    images: NDArray[np.uint8], names: list[str] | None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Square uint8 images and as many names, or ValueError."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(
            f"images must be uint8 of shape (N, side, side), got {images.dtype} {images.shape}"
        )
    names = names or [f"image {i + 1}" for i in range(len(images))]
    if len(names) != len(images):
        raise ValueError(f"names must be as many as images, {len(images)}, got {len(names)}")
    return images, names
