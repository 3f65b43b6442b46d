"""Recorded trajectories of a trained network: x_t, x0_hat and eps_hat over t (chapter 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.book.widgets.rng import normal
from dmlib.checkpoint import load_shipped
from dmlib.data import CLASS_NAMES
from dmlib.guidance import guided
from dmlib.parameterization import Denoiser, Guess, eps_from_x0, guess_from_x0
from dmlib.sampling import sample, spaced_times
from dmlib.schedules import NoiseSchedule
from dmlib.steps import Move, ddim, ddpm

SamplerName = Literal["ddim", "ddpm"]
STEPS = 25  # ten pictures of 784 pixels and 25 steps are 261 kB in base64


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples on their way, and all that is needed to walk the way again.

    Args:
        x0_hat: (steps, N, side, side), uint8: what the network saw in x_t, in grey levels.
        xt: (steps + 1, N, side, side), float64: x_t at each of the times.
        times: steps + 1 numbers, falling from T to 0.
        names: of the N samples.
        schedule: of the network.
        sampler: "ddim" or "ddpm", the steps taken.
        seed: of the noise.
        about: a sentence on the network, shown below the figure.
    """

    x0_hat: NDArray[np.uint8]
    xt: Tensor
    times: list[int]
    names: list[str]
    schedule: NoiseSchedule
    sampler: SamplerName
    seed: int
    about: str = ""


class ReversePlayer(InteractiveFigure):
    """A slider over the steps of a sampler: x_t split by the network into picture and noise.

    Traits (synchronised): step in 0..number of steps, from noise to picture (the slider writes
    the t of the step); sample, an index.

    Args:
        recording: made by `record`; None takes ten samples of the shipped network (seconds).
        step, sample: the state at the start; step None is the middle, or 0 under a question.
        predict: a question to answer before the figure appears.
    """

    _module = "reverse_player.js"
    step = traitlets.Int(0, min=0).tag(sync=True)
    sample = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self,
        recording: Recording | None = None,
        *,
        step: int | None = None,
        sample: int = 0,
        predict: Prediction | None = None,
    ) -> None:
        self.recording = r = recording or shipped_recording()
        bars = [float(r.schedule.alpha_bar[t]) for t in r.times]
        data: dict[str, Any] = {
            "side": r.x0_hat.shape[-1],
            "times": r.times,
            "bars": bars,
            "names": r.names,
            "x0_hat": pack(r.x0_hat),
            "sampler": r.sampler,
            "seed": r.seed,
            "about": r.about,
        }
        if step is None:
            step = 0 if predict else len(r.x0_hat) // 2
        super().__init__(data=data, predict=predict, step=step, sample=sample)

    @traitlets.validate("step", "sample")
    def _exists(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        top = len(self.recording.x0_hat) if name == "step" else len(self.recording.names) - 1
        if value > top:
            raise traitlets.TraitError(f"{name} must be in 0..{top}")
        return value

    @property
    def t(self) -> int:
        """The time of the step on show."""
        return self.recording.times[self.step]

    def shown(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """x_t, x0_hat, eps_hat of the chosen sample, (side, side) float64; at t = 0 no eps_hat."""
        r, xt = self.recording, self.recording.xt[self.step, self.sample]
        if self.t == 0:
            return xt, xt, None
        x0_hat = torch.from_numpy(r.x0_hat[self.step, self.sample] / 127.5 - 1)
        eps_hat = eps_from_x0(x0_hat[None], xt[None], self.t, schedule=r.schedule)[0]
        return xt, x0_hat, eps_hat

    def _picture(self, figure: Figure) -> None:
        r = self.recording
        above, below = figure.subfigures(2, 1, height_ratios=(1.7, 1))
        titles = (f"$x_t$ at $t$ = {self.t}", r"$\hat x_0$", r"$\hat\epsilon$")
        for axes, values, title in zip(above.subplots(1, 3), self.shown(), titles, strict=True):
            if values is not None:
                axes.imshow(values.numpy(), cmap="gray", vmin=-1, vmax=1)
            axes.set_title(title)
            axes.axis("off")
        below.suptitle("the samples at $t$ = 0", fontsize=10)
        row = below.subplots(1, len(r.names), squeeze=False)[0]
        for axes, xt in zip(row, r.xt[-1], strict=True):
            axes.imshow(xt.numpy(), cmap="gray", vmin=-1, vmax=1)
            axes.axis("off")

    def _sentence(self) -> str:
        r = self.recording
        a = float(r.schedule.alpha_bar[self.t])
        return (
            f"{r.names[self.sample]}, step {self.step} of {len(r.x0_hat)} from noise to picture, "
            f"t = {self.t}: x_t is {a**0.5:.3f} times the picture that the network predicts plus "
            f"{(1 - a) ** 0.5:.3f} times the noise that it predicts."
        )


def record(
    net: Denoiser,
    names: Sequence[str],
    *,
    steps: int = STEPS,
    sampler: SamplerName = "ddim",
    about: str = "",
) -> Recording:
    """Sample with a network and keep what it said at every step.

    After each call x0_hat is clipped to [-1, 1] and rounded to one of the 256 grey levels, and
    the walk goes on from the rounded one: so the recorded bytes give exactly this walk again.

    Args:
        net: a denoiser of images (N, 1, 28, 28), on the path of a NoiseSchedule.
        names: of the N samples.
        steps: of the sampler; the bytes grow with it.
        sampler: "ddim" (no noise added) or "ddpm" (variance beta_tilde).
        about: a sentence on the network.

    Raises:
        ValueError: sampler has another name, or steps is out of range.
    """
    if sampler not in ("ddim", "ddpm"):
        raise ValueError(f"sampler must be 'ddim' or 'ddpm', got {sampler!r}")
    seed, count = 1, len(names) * 28 * 28

    def noise(number: int) -> Tensor:
        """Noise field `number`, the same here and in the browser; field 0 is x_T."""
        return torch.from_numpy(normal(seed, number * count + np.arange(count))).view(-1, 1, 28, 28)

    schedule = net.path

    def rounded(xt: Tensor, t: Tensor) -> Guess:
        x0_hat = net(xt.float(), t).x0_hat.double()
        return guess_from_x0(grey_levels(x0_hat) / 127.5 - 1, xt, t, schedule=schedule)

    def ddpm_counted(xt: Tensor, guess: Guess, _: Tensor, move: Move) -> Tensor:
        return ddpm()(xt, guess, noise(times.index(move.t_prev)), move)

    times = spaced_times(schedule.T, steps)
    rule = ddim() if sampler == "ddim" else ddpm_counted
    walk = list(sample(Denoiser(schedule, rounded), noise(0), step=rule, times=times))
    x0_hat = torch.stack([grey_levels(s.x0_hat[:, 0]) for s in walk[:-1]])
    xt = torch.stack([s.xt[:, 0] for s in walk])
    x0_bytes = x0_hat.numpy().astype(np.uint8)
    return Recording(x0_bytes, xt, times, list(names), schedule, sampler, seed, about)


def shipped_recording(guidance_scale: float = 1.5) -> Recording:
    """Ten samples of the shipped network, one a class, by 25 DDIM steps: a few seconds.

    Args:
        guidance_scale: how hard each class is asked for, see `dmlib.guidance.guided`.
    """
    net, card = load_shipped()
    denoiser = guided(net, torch.arange(10), guidance_scale=guidance_scale)
    what, seen = card["what"].split(",")[0], card["images_seen"]
    about = (
        f"Real samples of the {what}, which saw {seen:,} images in its training; {STEPS} DDIM "
        f"steps of *T* = {card['T']}, guidance {guidance_scale:g}, *x̂*_0 clipped to [−1, 1]. Grey "
        "shows [−1, 1]; what lies outside is drawn black or white."
    )
    return record(denoiser, CLASS_NAMES, about=about)


def grey_levels(x0_hat: Tensor) -> Tensor:
    """[-1, 1], clipped, -> whole numbers 0..255 in float64."""
    return ((x0_hat.clamp(-1, 1) + 1) * 127.5).round()
