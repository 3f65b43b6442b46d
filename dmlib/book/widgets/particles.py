"""Particles in the plane flow back from noise under the exact score of the data (chapter 3)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.book.widgets.rng import normal
from dmlib.data import ground_truth_mixture_2d, swiss_roll, two_moons
from dmlib.oracle import FiniteOracle, MixtureOracle
from dmlib.schedules import NoiseSchedule, cosine_schedule
from dmlib.steps import Move, ddim, ddpm

SETS = ("swiss roll", "two moons", "mixture")
_N = 300  # particles
_POINTS = 200  # of a data set


class Particles(InteractiveFigure):
    """300 particles take the reverse steps from noise to data, driven by an exact denoiser.

    Of the swiss roll and the moons the denoiser knows 200 points (`FiniteOracle`), of the mixture
    the law itself (`MixtureOracle`). Arrows show the score times sqrt(1 - alpha_bar_t).

    Traits (synchronised): t in 0..T; points, "swiss roll", "two moons" or "mixture"; sampler,
    "ddim" (no noise added) or "ddpm" (fresh noise, variance beta_tilde); seed, which particles.

    Args:
        schedule: None is cosine with T = 100 and s = 0; every step is taken.
        points, sampler: the state at the start.
        t: likewise; None starts with the noise at T.
        predict: a question to answer before the figure appears.

    Raises:
        ValueError: the schedule has more than 200 steps or alpha_bar_T = 0, or t is not in 0..T.
    """

    _module = "particles.js"
    t = traitlets.Int(100, min=0).tag(sync=True)
    points = traitlets.Enum(SETS, "swiss roll").tag(sync=True)
    sampler = traitlets.Enum(("ddim", "ddpm"), "ddim").tag(sync=True)
    seed = traitlets.Int(1, min=1).tag(sync=True)

    def __init__(
        self,
        schedule: NoiseSchedule | None = None,
        *,
        points: str = "swiss roll",
        sampler: str = "ddim",
        t: int | None = None,
        predict: Prediction | None = None,
    ) -> None:
        self._schedule = schedule or cosine_schedule(100, s=0)
        T, bar = self._schedule.T, float(self._schedule.alpha_bar[-1])
        if T > 200 or bar == 0:
            raise ValueError(
                "schedule must have T <= 200 and alpha_bar_T > 0, "
                f"got T = {T}, alpha_bar_T = {bar:g}"
            )
        t = T if t is None else t
        if not 0 <= t <= T:
            raise ValueError(f"t must be in 0..{T}, got {t}")
        self._known: tuple[object, Tensor] = (None, torch.empty(0))  # what the last paths were
        mixture = ground_truth_mixture_2d()
        components = torch.cat(
            (mixture.weights[:, None], mixture.means, mixture.stds[:, None]), dim=1
        )
        data: dict[str, Any] = {
            "N": _N,
            "sets": {name: pack(data_points(name).numpy()) for name in SETS},
            "components": components.tolist(),
            "beta": pack(self._schedule.beta.numpy()),
            "fresh": {name: fresh_distance(name) for name in SETS},
        }
        super().__init__(data=data, predict=predict, t=t, points=points, sampler=sampler)

    @traitlets.validate("t")
    def _t_in_range(self, proposal: dict[str, int]) -> int:
        if proposal["value"] > self._schedule.T:
            raise traitlets.TraitError(f"t must be in 0..{self._schedule.T}")
        return proposal["value"]

    def denoiser(self) -> FiniteOracle | MixtureOracle:
        """The exact denoiser of the chosen data."""
        if self.points == "mixture":
            return MixtureOracle(ground_truth_mixture_2d(), schedule=self._schedule)
        return FiniteOracle(data_points(self.points), schedule=self._schedule)

    def paths(self) -> Tensor:
        """All particles at all times, (T+1, 300, 2) float64; slot t is x_t."""
        asked = (self.points, self.sampler, self.seed)
        if self._known[0] != asked:
            self._known = (asked, self._walk())
        return self._known[1]

    def _walk(self) -> Tensor:
        schedule, net = self._schedule, self.denoiser()
        index = np.arange(2 * _N)
        xt = torch.from_numpy(normal(self.seed, index)).view(_N, 2)
        found = [xt]
        for t in range(schedule.T, 0, -1):
            guess, move = net(xt, t), Move(schedule, t, t - 1)
            number = (schedule.T - t + 1) * 2 * _N + index
            noise = torch.from_numpy(normal(self.seed, number)).view(_N, 2)
            xt = (ddim() if self.sampler == "ddim" else ddpm())(xt, guess, noise, move)
            found.append(xt)
        return torch.stack(found[::-1])

    def nearest(self, x: Tensor) -> float:
        """Mean distance from x (N, 2) to the data point that is nearest to each."""
        return _nearest(x, data_points(self.points))

    def _picture(self, figure: Figure) -> None:
        T, paths = self._schedule.T, self.paths().numpy()
        middle = self.t if 0 < self.t < T else T // 5
        grey = data_points(self.points).numpy().T
        for axes, t in zip(figure.subplots(1, 3), (T, middle, 0), strict=True):
            axes.scatter(*grey, s=3, color="#8a94a3")
            axes.plot(*paths[t:, :24].transpose(2, 0, 1), color="#0067a3", lw=0.5, alpha=0.5)
            axes.scatter(*paths[t].T, s=4, color="#0067a3")
            axes.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal", title=f"$t$ = {t}")
            axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))

    def _sentence(self) -> str:
        end = self.nearest(self.paths()[0])
        rule = "DDIM" if self.sampler == "ddim" else "DDPM"
        return (
            f"{_N} particles go from noise at t = {self._schedule.T} to the {self.points} by "
            f"{rule} steps with the exact score; at t = 0 they lie {end:.3f} from the nearest data "
            "point on average."
        )


def _nearest(x: Tensor, points: Tensor) -> float:
    # Without the matrix product, whose rounding drowns distances below 1e-8.
    distances = torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist")
    return float(distances.amin(1).mean())


def _draw(name: str, n: int, generator: torch.Generator) -> Tensor:
    if name == "mixture":
        return ground_truth_mixture_2d().sample(n, generator)
    return {"swiss roll": swiss_roll, "two moons": two_moons}[name](n, generator=generator)


@cache
def data_points(name: str) -> Tensor:
    """The 200 points of a set, (200, 2) float64, always the same."""
    return _draw(name, _POINTS, torch.Generator().manual_seed(3))


@cache
def fresh_distance(name: str) -> float:
    """How far new points of the same law lie from the set, on average over 4000 of them."""
    return _nearest(_draw(name, 4000, torch.Generator().manual_seed(4)), data_points(name))
