"""A measured coordinate, the exact posterior, and what a method makes of it: in the plane."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from dmlib.applications.inverse import Measurement, around_the_guess, dps, pushed, replacement
from dmlib.book.widgets.base import InteractiveFigure, Prediction
from dmlib.book.widgets.rng import normal, uniform
from dmlib.data import ring_of_heaps
from dmlib.oracle import ConditionalOracle, MixtureOracle
from dmlib.parameterization import Denoiser
from dmlib.sampling import spaced_times
from dmlib.schedules import cosine_schedule
from dmlib.steps import Move, Step, ddpm

METHODS = {
    "exact": "exact oracle",
    "replacement": "replacement",
    "dps-0.3": "DPS, 0.3",
    "dps-1": "DPS, 1",
    "pigdm": "ΠGDM",
}
NOISES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
_N, _STEPS = 200, 60  # particles as in the chapter, and steps of DDPM
_EDGE = 2.4


class Posterior(InteractiveFigure):
    """200 particles walk to a ring of heaps of which the first coordinate was measured.

    The data are `ring_of_heaps`, its denoiser is exact, y = x + noise; the walk takes 60 steps of
    DDPM on the cosine schedule by a method of `dmlib.applications.inverse`. Beside it stand as many
    samples of the exact posterior. The distance is the total variation between the shares of the
    heaps, a particle belonging to the nearest.

    Traits (synchronised): y, the measurement in hundredths, -200..200; noise, an index into
    `NOISES`, the standard deviation of its noise; method, a key of `METHODS`; seed, which
    particles.

    Args:
        y, noise, method: the state at the start.
        predict: a question to answer before the figure appears.
    """

    _module = "posterior.js"
    y = traitlets.Int(70, min=-200, max=200).tag(sync=True)
    noise = traitlets.Int(1, min=0, max=len(NOISES) - 1).tag(sync=True)
    method = traitlets.Enum(tuple(METHODS), "dps-1").tag(sync=True)
    seed = traitlets.Int(1, min=1).tag(sync=True)

    def __init__(
        self,
        *,
        y: int = 70,
        noise: int = 1,
        method: str = "dps-1",
        predict: Prediction | None = None,
    ) -> None:
        self._ring, self._schedule = ring_of_heaps(), cosine_schedule(1000)
        self._times = spaced_times(self._schedule.T, _STEPS)
        self._known: tuple[object, Tensor] = (None, torch.empty(0))  # what the last walk was
        law = self._ring
        components = torch.cat((law.weights[:, None], law.means, law.stds[:, None]), dim=1)
        data: dict[str, Any] = {
            "N": _N,
            "EDGE": _EDGE,
            "levels": [self._schedule.level(t) for t in self._times],
            "methods": METHODS,
            "noises": NOISES,
            "components": components.tolist(),
        }
        super().__init__(data=data, predict=predict, y=y, noise=noise, method=method)

    @property
    def known(self) -> Measurement:
        """What is measured of all particles: the first coordinate."""
        A = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        return Measurement(A, torch.tensor([self.y / 100], dtype=torch.float64), NOISES[self.noise])

    def truth(self) -> ConditionalOracle:
        """The exact denoiser, whose `posterior` is what all methods should sample."""
        known = self.known
        return ConditionalOracle(self._ring, known.A, known.y, known.std, schedule=self._schedule)

    def _way(self) -> tuple[Denoiser | ConditionalOracle | MixtureOracle, Step]:
        """The denoiser and the rule of the method."""
        prior, known = MixtureOracle(self._ring, schedule=self._schedule), self.known
        if self.method == "exact":
            return self.truth(), ddpm()
        if self.method == "pigdm":
            return pushed(prior, around_the_guess(known, self._schedule)), ddpm()
        if self.method == "replacement":
            return prior, replacement(ddpm(), known)
        return prior, dps(ddpm(), known, scale=float(self.method.removeprefix("dps-")))

    def particles(self) -> Tensor:
        """Where the method's walk ends, (200, 2) float64."""
        asked = (self.y, self.noise, self.method, self.seed)
        if self._known[0] != asked:
            self._known = (asked, self._walk())
        return self._known[1]

    def _walk(self) -> Tensor:
        denoiser, rule = self._way()
        x, path = self._numbers(0), self._schedule
        for k, (t, t_prev) in enumerate(pairwise(self._times)):
            move = Move(path, t, t_prev, look=denoiser)
            x = rule(x, denoiser(x, t), self._numbers(k + 1), move)
        return x

    def exact_samples(self) -> Tensor:
        """As many samples of the exact posterior, (200, 2) float64."""
        law, index = self.truth().posterior, np.arange(_N)
        below = law.weights[0].cumsum(0)
        # Uniform numbers of which no normal one of the walk is made.
        u = torch.from_numpy(uniform(self.seed, 4 * _N * (_STEPS + 3) + index))
        k = torch.searchsorted(below, u).clamp(max=len(below) - 1)
        std = (law.variances[0] @ law.axes.mT**2).sqrt()  # the axes are those of the plane
        return (law.means[0] @ law.axes.mT)[k] + std[k] * self._numbers(_STEPS + 2)

    def _numbers(self, row: int) -> Tensor:
        index = 2 * _N * row + np.arange(2 * _N)
        return torch.from_numpy(normal(self.seed, index)).view(_N, 2)

    def shares(self) -> tuple[Tensor, Tensor]:
        """Of each heap, the particles' share and the exact one, (8,) each."""
        heap = torch.cdist(self.particles(), self._ring.means).argmin(1)
        found = heap.bincount(minlength=len(self._ring.means)).double() / _N
        return found, self.truth().posterior.weights[0]

    def distance(self) -> float:
        """Total variation between the shares, 0 to 1."""
        found, exact = self.shares()
        return float((found - exact).abs().sum()) / 2

    def floor(self) -> float:
        """What the distance is for as many exact samples, on average: chance alone.

        E|found - p| = sqrt(2/pi) sqrt(p (1 - p) / N) for a share p, where N p is not small.
        """
        exact = self.truth().posterior.weights[0]
        return float((exact * (1 - exact)).clamp(min=0).sqrt().sum()) / math.sqrt(2 * math.pi * _N)

    def _picture(self, figure: Figure) -> None:
        found, exact = self.shares()
        known = self.known
        sides = (
            ("exact posterior", self.exact_samples(), exact, "#00704f"),
            (METHODS[self.method], self.particles(), found, "#0067a3"),
        )
        for axes, (title, x, shares, color) in zip(figure.subplots(1, 2), sides, strict=True):
            y, std = float(known.y), known.std
            axes.axvspan(y - std, y + std, color="#b84300", alpha=0.15, lw=0)
            axes.axvline(y, color="#b84300", lw=1)
            axes.scatter(*self._ring.means.T, s=150, fc="none", ec="#8a94a3")
            axes.scatter(*x.numpy().T, s=3, color=color)
            for place, share in zip(self._ring.means * 1.4, shares, strict=True):
                if share >= 0.005:
                    axes.text(*place.tolist(), f"{100 * share:.0f} %", ha="center", va="center")
            axes.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal", title=title)

    def _sentence(self) -> str:
        std, method = NOISES[self.noise], METHODS[self.method]
        return (
            f"x was measured as {self.y / 100:.2f} with noise {std:g}; by the method “{method}” "
            f"the shares of the heaps are {self.distance():.3f} from the exact ones in total "
            f"variation, by chance alone about {self.floor():.3f}."
        )
