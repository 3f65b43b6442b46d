"""Many particles walk the chain while the kernel's density is drawn over them (chapter 2)."""

from __future__ import annotations

import math

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.book.widgets.rng import normal, uniform
from dmlib.forward import q_step
from dmlib.schedules import NoiseSchedule, linear_schedule

# The ground-truth mixture of the whole book: weight, mean, standard deviation.
MIXTURE = ((0.3, -1.5, 0.25), (0.7, 1.0, 0.35))
_N = 2000


class ChainVsKernel(InteractiveFigure):
    """2000 particles on the line take t noising steps; one jump by the kernel gives their law.

    Traits (synchronised): t in 0..T; start, "mixture" or "point"; x0 in -2..2, the point;
    seed, which particles.

    Args:
        schedule: the chain's schedule; None is linear with T = 200, beta from 0.0005 to 0.1,
            which ends as near to N(0, 1) as the usual T = 1000 does.
        t, start, x0: the state at the start.
        predict: a question to answer before the figure appears.

    Raises:
        ValueError: the schedule has more than 1000 steps, or t lies outside 0..T.
    """

    _module = "chain_vs_kernel.js"
    t = traitlets.Int(0, min=0).tag(sync=True)
    start = traitlets.Enum(("mixture", "point"), "mixture").tag(sync=True)
    x0 = traitlets.Float(1.0, min=-2, max=2).tag(sync=True)
    seed = traitlets.Int(1, min=1).tag(sync=True)

    def __init__(
        self,
        schedule: NoiseSchedule | None = None,
        *,
        t: int = 40,
        start: str = "mixture",
        x0: float = 1.0,
        predict: Prediction | None = None,
    ) -> None:
        self._schedule = schedule or linear_schedule(200, beta_1=5e-4, beta_T=0.1)
        if self._schedule.T > 1000:
            raise ValueError(f"schedule must have at most 1000 steps, got T = {self._schedule.T}")
        if not 0 <= t <= self._schedule.T:
            raise ValueError(f"t must be in 0..{self._schedule.T}, got {t}")
        data = {"N": _N, "components": MIXTURE, "beta": pack(self._schedule.beta.numpy())}
        super().__init__(data=data, predict=predict, t=t, start=start, x0=x0)

    @traitlets.validate("t")
    def _t_in_range(self, proposal: dict[str, int]) -> int:
        if proposal["value"] > self._schedule.T:
            raise traitlets.TraitError(f"t must be in 0..{self._schedule.T}")
        return proposal["value"]

    def particles(self) -> Tensor:
        """The particles on show, (2000,) float64: t times dmlib's own `q_step`."""
        index = np.arange(_N)
        x = torch.full((_N,), self.x0, dtype=torch.float64)
        if self.start == "mixture":
            (weight, *_), _ = MIXTURE
            second = (uniform(self.seed + 1000003, index) >= weight).astype(int)
            _, means, stds = np.array(MIXTURE).T
            x = torch.from_numpy(means[second] + stds[second] * normal(self.seed, index))
        for step in range(1, self.t + 1):
            eps = torch.from_numpy(normal(self.seed, step * _N + index))
            x = q_step(x, step, eps, schedule=self._schedule)
        return x

    def density(self, x: Tensor) -> Tensor:
        """The kernel's density at x, averaged over the mixture where that is the start."""
        a = float(self._schedule.alpha_bar[self.t])
        parts = ((1.0, self.x0, 0.0),) if self.start == "point" else MIXTURE
        total = torch.zeros_like(x)
        for weight, mean, std in parts:
            variance = a * std**2 + 1 - a
            z = (x - math.sqrt(a) * mean) ** 2 / variance
            total += weight * (-z / 2).exp() / math.sqrt(2 * math.pi * variance)
        return total

    def _picture(self, figure: Figure) -> None:
        axes = figure.subplots()
        grid = torch.linspace(-4, 4, 241, dtype=torch.float64)
        axes.hist(
            self.particles().numpy(), bins=np.linspace(-4, 4, 41), density=True, color="#7fb3d1"
        )
        if self.start == "mixture" or self.t > 0:
            axes.plot(grid.numpy(), self.density(grid).numpy(), color="#b84300", lw=2)
        axes.set(xlabel="$x_t$", ylabel="density", ylim=(0, 1.05))
        axes.set_title(
            f"{_N} particles after {self.t} steps of the chain, and the kernel's density"
        )

    def _sentence(self) -> str:
        x = self.particles()
        begun = f"x_0 = {self.x0:g}" if self.start == "point" else "the mixture"
        return (
            f"{_N} particles from {begun} after {self.t} of {self._schedule.T} steps of the chain: "
            f"mean {float(x.mean()):.3f}, standard deviation {float(x.std()):.3f}; "
            "their histogram follows the kernel's density."
        )
