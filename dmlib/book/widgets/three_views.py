"""SDE, probability-flow ODE and what lies between: particles in the plane."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction
from dmlib.book.widgets.rng import normal
from dmlib.continuous import DiffusionPath, euler
from dmlib.data import ground_truth_mixture_2d
from dmlib.mixture import GaussianMixture
from dmlib.oracle import MixtureOracle
from dmlib.steps import Move

STEPS = (10, 25, 50, 100, 200)
_N = 1000  # particles
_PATHS = 12  # of them are drawn
_EDGE, _BIN = 3.5, 0.25
_EDGES = torch.arange(-_EDGE, _EDGE + _BIN / 2, _BIN, dtype=torch.float64)


class ThreeViews(InteractiveFigure):
    """1000 particles walk from noise to data by Euler's steps, with the exact score.

    churn 0 is the probability-flow ODE, churn 1 the reverse SDE (`dmlib.continuous.euler`, on
    `DiffusionPath`); the data are `ground_truth_mixture_2d`. The histograms of x and y stand beside
    their exact densities; their distance is the total variation over bins of 0.25, the mean of
    both.

    Traits (synchronised): churn in 0..1.5; steps, 10, 25, 50, 100 or 200; time, hundredths of s,
    100 (noise) to 0 (data): shown is the walk's time that is nearest; seed, which particles.

    Args:
        churn, steps, time: the state at the start.
        predict: a question to answer before the figure appears.
    """

    _module = "three_views.js"
    _parts = ("continuous_parts.js",)
    churn = traitlets.Float(0.0, min=0.0, max=1.5).tag(sync=True)
    steps = traitlets.Enum(STEPS, 25).tag(sync=True)
    time = traitlets.Int(0, min=0, max=100).tag(sync=True)
    seed = traitlets.Int(1, min=1).tag(sync=True)

    def __init__(
        self,
        *,
        churn: float = 0.0,
        steps: int = 25,
        time: int = 0,
        predict: Prediction | None = None,
    ) -> None:
        self._path, self._mixture = DiffusionPath(), ground_truth_mixture_2d()
        self._known: tuple[object, Tensor] = (None, torch.empty(0))  # what the last paths were
        law = self._mixture
        components = torch.cat((law.weights[:, None], law.means, law.stds[:, None]), dim=1)
        data: dict[str, Any] = {
            "N": _N,
            "PATHS": _PATHS,
            "STEPS": STEPS,
            "EDGE": _EDGE,
            "BIN": _BIN,
            "beta": [self._path.beta_0, self._path.beta_1],
            "components": components.tolist(),
        }
        super().__init__(data=data, predict=predict, churn=churn, steps=steps, time=time)

    @property
    def step(self) -> int:
        """How many steps have been made where the walk is shown."""
        return math.floor(self.steps * (100 - self.time) / 100 + 0.5)

    @property
    def s(self) -> float:
        """The walk's time that is shown."""
        return self._path.times(self.steps)[self.step]

    def paths(self) -> Tensor:
        """All particles at all times, (steps + 1, 1000, 2) float64; slot 0 is the noise."""
        asked = (self.churn, self.steps, self.seed)
        if self._known[0] != asked:
            self._known = (asked, self._walk())
        return self._known[1]

    def _walk(self) -> Tensor:
        path, rule, index = self._path, euler(self.churn), np.arange(2 * _N)
        oracle, times = MixtureOracle(self._mixture, schedule=path), path.times(self.steps)
        found = [torch.from_numpy(normal(self.seed, index)).view(_N, 2)]
        for k in range(self.steps):
            noise = torch.from_numpy(normal(self.seed, (k + 1) * 2 * _N + index)).view(_N, 2)
            guess = oracle(found[-1], times[k])
            found.append(rule(found[-1], guess, noise, Move(path, times[k], times[k + 1])))
        return torch.stack(found)

    def exact(self, axis: int) -> GaussianMixture:
        """The exact marginal of x (axis 0) or y (axis 1) at the time that is shown."""
        law = self._mixture.mixed(*self._path.level(self.s))
        return GaussianMixture(law.weights, law.means[:, axis : axis + 1], law.stds)

    def shares(self, axis: int) -> tuple[Tensor, Tensor]:
        """Of each bin, the particles' share and the exact one, (30,) each; the ends are outside."""
        below = self.exact(axis).cdf(_EDGES[:, None])
        exact = torch.cat((below[:1], below.diff(), 1 - below[-1:]))
        x = self.paths()[self.step, :, axis]
        bins = ((x + _EDGE) / _BIN).floor().clamp(-1, len(exact) - 2).long() + 1
        return bins.bincount(minlength=len(exact)).double() / _N, exact

    def distance(self) -> float:
        """Total variation of the histograms from the exact shares, the mean of both axes."""
        return (
            sum(float((found - exact).abs().sum()) for found, exact in map(self.shares, (0, 1))) / 4
        )

    def floor(self) -> float:
        """What the distance is for as many exact samples, on average: chance alone.

        E|found - p| = sqrt(2/pi) sqrt(p (1 - p) / N) for a share p, where N p is not small.
        """
        exact = torch.cat([self.shares(axis)[1] for axis in (0, 1)])
        return (
            float((exact * (1 - exact)).clamp(min=0).sqrt().sum()) * math.sqrt(2 / math.pi / _N) / 4
        )

    def _picture(self, figure: Figure) -> None:
        walked = self.paths()[: self.step + 1].numpy()
        grid = figure.add_gridspec(2, 2)
        plane = figure.add_subplot(grid[:, 0])
        plane.plot(*walked[:, :_PATHS].transpose(2, 0, 1), color="#b84300", lw=0.8, alpha=0.6)
        plane.scatter(*walked[-1].T, s=2, color="#0067a3", zorder=2)
        plane.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal")
        plane.set(title=f"$s$ = {self.s:.2f}, churn {self.churn:g}, {self.steps} steps")
        xs = torch.linspace(-_EDGE, _EDGE, 281, dtype=torch.float64)[:, None]
        for axis, name in ((0, "$x$"), (1, "$y$")):
            axes = figure.add_subplot(grid[axis, 1])
            heights = self.shares(axis)[0][1:-1] / _BIN
            axes.bar(
                (_EDGES[:-1] + _BIN / 2).numpy(), heights.numpy(), _BIN, color="#0067a3", alpha=0.5
            )
            axes.plot(xs, self.exact(axis).log_prob(xs).exp(), color="#00704f")
            axes.set(xlim=(-_EDGE, _EDGE), xlabel=name, yticks=[])

    def _sentence(self) -> str:
        return (
            f"{_N} particles walk from noise to three heaps in {self.steps} steps with churn "
            f"{self.churn:g}; at s = {self.s:.2f} their marginals are {self.distance():.3f} from "
            f"the exact ones in total variation, {_N} exact samples about {self.floor():.3f}."
        )
