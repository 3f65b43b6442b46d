"""Conditional lines and marginal curves: pairs of data and noise, and the flow of the same laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from dmlib.book.widgets.base import InteractiveFigure, Prediction
from dmlib.book.widgets.rng import normal, uniform
from dmlib.continuous import ContinuousPath, DiffusionPath, GrowingNoise, StraightPath, euler
from dmlib.data import ground_truth_mixture
from dmlib.mixture import GaussianMixture
from dmlib.oracle import MixtureOracle
from dmlib.sampling import sample
from dmlib.steps import Step, ddim, heun

_PATHS: dict[str, ContinuousPath] = {
    "diffusion": DiffusionPath(),
    "straight": StraightPath(),
    "growing": GrowingNoise(end=40.0),
}
_RULES: dict[str, Step] = {"euler": euler(), "ddim": ddim(), "heun": heun()}
_N = 1000  # particles
_PAIRS, _CURVES = 30, 16  # that are drawn
_BINS = 40  # of the total variation, equally likely
_GOAL, _MOST = 0.05, 10  # the task: a total variation below, with so many evaluations at most
_EDGE = 3.2  # of x in the picture
_REACH, _WIDTHS = 2.4, (0.4, 2.0)  # of the heaps' means, and of the factor of their widths
_MOMENTS = 49  # at which lines and curves are computed


class Paths(InteractiveFigure):
    """Two heaps of data in one dimension: pairs on their lines, the exact flow, and a solver of it.

    1000 particles start at the exact quantiles of q(x_s) at the noisy end and go down the
    probability-flow ODE with the exact denoiser, at the times end (1 - i/n)^spacing. Since the
    flow carries quantiles (eq-quantile-map), it is known where each must land; the distance is the
    total variation over 40 equally likely bins. The data are `ground_truth_mixture` at first.

    Traits (synchronised): path, "diffusion", "straight" or "growing" (`DiffusionPath`,
    `StraightPath`, `GrowingNoise(end=40)`); solver, "euler", "ddim" or "heun"; evaluations of the
    denoiser, 1..40 (Heun, which looks twice in each step but the last, takes the next odd number
    that is not larger); spacing in 1..7; light and heavy, the heaps' means in -2.4..2.4; width in
    0.4..2, the factor of their standard deviations.

    Args:
        path, solver, evaluations, spacing: the state at the start.
        predict: a question to answer before the figure appears.
    """

    _module = "paths.js"
    _parts = ("continuous_parts.js",)
    path = traitlets.Enum(tuple(_PATHS), "straight").tag(sync=True)
    solver = traitlets.Enum(tuple(_RULES), "euler").tag(sync=True)
    evaluations = traitlets.Int(10, min=1, max=40).tag(sync=True)
    spacing = traitlets.Float(1.0, min=1.0, max=7.0).tag(sync=True)
    light = traitlets.Float(-1.5, min=-_REACH, max=_REACH).tag(sync=True)
    heavy = traitlets.Float(1.0, min=-_REACH, max=_REACH).tag(sync=True)
    width = traitlets.Float(1.0, min=_WIDTHS[0], max=_WIDTHS[1]).tag(sync=True)

    def __init__(
        self,
        *,
        path: str = "straight",
        solver: str = "euler",
        evaluations: int = 10,
        spacing: float = 1.0,
        predict: Prediction | None = None,
    ) -> None:
        self._known: tuple[object, Tensor] = (None, torch.empty(0))  # what the last walk was
        self._toy = ground_truth_mixture()
        light, heavy = self._toy.means[:, 0].tolist()
        diffusion = _PATHS["diffusion"]
        data: dict[str, Any] = {
            "N": _N,
            "PAIRS": _PAIRS,
            "CURVES": _CURVES,
            "BINS": _BINS,
            "EDGE": _EDGE,
            "GOAL": _GOAL,
            "MOST": _MOST,
            "REACH": _REACH,
            "WIDTHS": _WIDTHS,
            "MOMENTS": _MOMENTS,
            "beta": [diffusion.beta_0, diffusion.beta_1],
            "end": _PATHS["growing"].end,
            "weights": self._toy.weights.tolist(),
            "stds": self._toy.stds.tolist(),
            "start": {"light": light, "heavy": heavy, "width": 1.0},
        }
        state = {"path": path, "solver": solver, "evaluations": evaluations, "spacing": spacing}
        super().__init__(data=data, predict=predict, light=light, heavy=heavy, **state)

    @property
    def steps(self) -> int:
        """How many steps the evaluations are enough for."""
        return (self.evaluations + 1) // 2 if self.solver == "heun" else self.evaluations

    @property
    def asked(self) -> int:
        """How often the denoiser is asked in them."""
        return 2 * self.steps - 1 if self.solver == "heun" else self.steps

    def law(self) -> GaussianMixture:
        """The distribution of the data."""
        means = torch.tensor([[self.light], [self.heavy]], dtype=torch.float64)
        return GaussianMixture(self._toy.weights, means, self.width * self._toy.stds)

    def times(self) -> list[float]:
        """Where the solver stops, steps + 1 times from the noise to 0."""
        end = _PATHS[self.path].end
        return [end * (1 - i / self.steps) ** self.spacing for i in range(self.steps + 1)]

    def walk(self) -> Tensor:
        """All particles at all times, (steps + 1, 1000) float64; slot 0 is the noise."""
        names = ("path", "solver", "steps", "spacing", "light", "heavy", "width")
        asked = tuple(getattr(self, name) for name in names)
        if self._known[0] != asked:
            path, law = _PATHS[self.path], self.law()
            start = law.mixed(*path.level(path.end)).quantile(_ranks())
            oracle = MixtureOracle(law, schedule=path)
            shots = sample(oracle, start, step=_RULES[self.solver], times=self.times())
            self._known = (asked, torch.stack([shot.xt[:, 0] for shot in shots]))
        return self._known[1]

    def exact(self) -> Tensor:
        """Where each particle must land, (1000,): x_0 = F_0^-1(F_s(x_s)) (eq-quantile-map)."""
        return self.law().quantile(_ranks())[:, 0]

    def distance(self) -> float:
        """Total variation of where they do land from the data's law, over 40 equal shares."""
        bins = (_BINS * self.law().cdf(self.walk()[-1][:, None])).floor().clamp(0, _BINS - 1)
        share = bins.long().bincount(minlength=_BINS).double() / _N
        return float((share - 1 / _BINS).abs().sum() / 2)

    def off(self) -> float:
        """Mean distance of a particle from where it must land."""
        return float((self.walk()[-1] - self.exact()).abs().mean())

    def moments(self) -> list[float]:
        """The 49 times, from the data to the noise, at which lines and curves are computed.

        Even in s; where the noise grows, even in sigma / (1 + sigma).
        """
        end = _PATHS[self.path].end
        if self.path != "growing":
            return [end * i / (_MOMENTS - 1) for i in range(_MOMENTS)]
        shares = [end / (1 + end) * i / (_MOMENTS - 1) for i in range(_MOMENTS)]
        return [min(share / (1 - share), end) for share in shares]

    def curves(self) -> Tensor:
        """The exact trajectories of 16 of the particles at `moments`, (49, 16)."""
        levels, ranks = map(_PATHS[self.path].level, self.moments()), _ranks()[_drawn()]
        return torch.stack([self.law().mixed(*ab).quantile(ranks)[:, 0] for ab in levels])

    def lines(self) -> Tensor:
        """30 pairs, held: a_s x_0 + b_s eps at `moments`, (49, 30)."""
        ranks = torch.from_numpy(np.sort(uniform(1, np.arange(_PAIRS))))
        x0, eps = self.law().quantile(ranks)[:, 0], torch.from_numpy(normal(2, np.arange(_PAIRS)))
        levels = map(_PATHS[self.path].level, self.moments())
        return torch.stack([a * x0 + b * eps for a, b in levels])

    def _picture(self, figure: Figure) -> None:
        heap, plot = figure.subplots(1, 2, width_ratios=(1, 3), sharey=True)
        xs = torch.linspace(-_EDGE, _EDGE, 281, dtype=torch.float64)[:, None]
        ends = self.walk()[-1].numpy()
        bars = {"bins": 50, "range": (-_EDGE, _EDGE), "density": True, "alpha": 0.5}
        heap.hist(ends, orientation="horizontal", color="#0067a3", **bars)
        heap.plot(self.law().log_prob(xs).exp(), xs, color="#00704f")
        heap.invert_xaxis()
        heap.set(ylim=(-_EDGE, _EDGE), xlabel="density", xticks=[])
        walked = self.walk()[:, _drawn()]
        for rows, times, style in (
            (self.lines(), self.moments(), {"color": "#b84300", "lw": 0.6, "alpha": 0.6}),
            (self.curves(), self.moments(), {"color": "#00704f", "lw": 1.6}),
            (walked, self.times(), {"color": "#0067a3", "lw": 1.0, "marker": ".", "ms": 3}),
        ):
            s = torch.tensor(times, dtype=torch.float64)
            grown = 1 + s if self.path == "growing" else torch.ones_like(s)
            plot.plot(s / grown, rows / grown[:, None], **style)
        label = r"$\sigma/(1 + \sigma)$" if self.path == "growing" else "$s$"
        plot.set(xlim=(0, 1), xlabel=label, title=f"total variation {self.distance():.3f}")

    def _sentence(self) -> str:
        solver = {"euler": "Euler", "ddim": "DDIM", "heun": "Heun"}[self.solver]
        path = {"diffusion": "variance-preserving", "growing": "growing-noise"}
        return (
            f"Pairs of data and noise on the {path.get(self.path, self.path)} path cross, the "
            f"flow does not; {solver} follows it with {self.asked} evaluations to a total "
            f"variation of {self.distance():.3f} from the data's two heaps."
        )


def _ranks() -> Tensor:
    return (torch.arange(_N, dtype=torch.float64) + 0.5) / _N


def _drawn() -> list[int]:
    """Which particles are drawn."""
    return [int((i + 0.5) * _N / _CURVES) for i in range(_CURVES)]
