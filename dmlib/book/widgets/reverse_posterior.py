"""The exact reverse step of a 1-D mixture beside the Gaussian that resembles it (chapter 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from scipy import integrate

from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.data import ground_truth_mixture
from dmlib.mixture import GaussianMixture, reverse_posterior
from dmlib.schedules import NoiseSchedule, linear_schedule

_NODES = 501


class ReversePosterior(InteractiveFigure):
    """q(x_{t-1} | x_t) of the ground-truth mixture, exactly, as beta_t, t and x_t change.

    The noise so far is alpha_bar_{t-1} of the schedule; beta, the size of this one step, is free.

    Traits (synchronised): t in 1..T; beta in 0.0001..0.98; xt in -3..3, the observed x_t.

    Args:
        schedule: gives alpha_bar_{t-1}, and the beta_t to compare with; None is linear, T = 1000.
        t, beta, xt: the state at the start.
        predict: a question to answer before the figure appears.

    Raises:
        ValueError: t lies outside 1..T, or the schedule has more than 2000 steps.
    """

    _module = "reverse_posterior.js"
    t = traitlets.Int(50, min=1).tag(sync=True)
    beta = traitlets.Float(0.3, min=1e-4, max=0.98).tag(sync=True)
    xt = traitlets.Float(0.0, min=-3, max=3).tag(sync=True)

    def __init__(
        self,
        schedule: NoiseSchedule | None = None,
        *,
        t: int = 50,
        beta: float = 0.3,
        xt: float = 0.0,
        predict: Prediction | None = None,
    ) -> None:
        self._schedule = schedule or linear_schedule(1000)
        if self._schedule.T > 2000:
            raise ValueError(f"schedule must have at most 2000 steps, got T = {self._schedule.T}")
        if not 1 <= t <= self._schedule.T:
            raise ValueError(f"t must be in 1..{self._schedule.T}, got {t}")
        self._mixture = ground_truth_mixture()
        parts = zip(
            self._mixture.weights.tolist(),
            self._mixture.means[:, 0].tolist(),
            self._mixture.stds.tolist(),
            strict=True,
        )
        data: dict[str, Any] = {
            "components": [list(part) for part in parts],
            "beta": pack(self._schedule.beta.numpy()),
        }
        super().__init__(data=data, predict=predict, t=t, beta=beta, xt=xt)

    @traitlets.validate("t")
    def _t_in_range(self, proposal: dict[str, int]) -> int:
        if proposal["value"] > self._schedule.T:
            raise traitlets.TraitError(f"t must be in 1..{self._schedule.T}")
        return proposal["value"]

    def law(self, beta: float | None = None) -> GaussianMixture:
        """The exact q(x_{t-1} | x_t) on show: dmlib's own `reverse_posterior`.

        Args:
            beta: another size of the step, in (0, 1); None is the one on show.
        """
        before = float(self._schedule.alpha_bar[self.t - 1])
        step = self.beta if beta is None else beta
        # Two steps that come to the same: all the noise so far at once, then the step on show.
        steps = [0.0, 1 - before, step] if before < 1 else [0.0, step]
        two = NoiseSchedule(torch.tensor(steps, dtype=torch.float64))
        xt = torch.tensor([self.xt], dtype=torch.float64)
        return reverse_posterior(self._mixture, xt, two.T, schedule=two)

    def _picture(self, figure: Figure) -> None:
        law = self.law()
        mean, std = moments(law)
        left, right = figure.subplots(1, 2)
        z = np.linspace(-4, 4, 321)
        x = mean + std * z
        exact = law.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()
        left.plot(x, exact, color="#0067a3", lw=2.4)
        left.plot(x, np.exp(-(z**2) / 2) / (std * np.sqrt(2 * np.pi)), "--", color="#b84300")
        left.set(xlabel="$x_{t-1}$", title=f"exact and Gaussian, $t$ = {self.t}")
        left.set_ylim(bottom=0)
        betas = 10 ** np.linspace(-4, -0.02, 41)
        right.loglog(betas, [total_variation(self.law(float(b))) for b in betas], color="#0067a3")
        right.plot(self.beta, total_variation(law), "o", color="#b84300")
        right.set(xlabel=r"$\beta_t$", title="total variation distance", ylim=(1e-7, 1))

    def _sentence(self) -> str:
        law = self.law()
        mean, std = moments(law)
        return (
            f"The exact q(x_(t-1) | x_t = {self.xt:g}) at t = {self.t} with beta_t = {self.beta:g} "
            f"has mean {mean:.3f} and standard deviation {std:.3f}; its total variation distance "
            f"from the Gaussian with both is {total_variation(law):.2g}."
        )


def moments(law: GaussianMixture) -> tuple[float, float]:
    """Mean and standard deviation of a 1-D mixture."""
    return float(law.mean()), float(law.cov().sqrt())


def total_variation(law: GaussianMixture) -> float:
    """Total variation distance of a 1-D mixture from the Gaussian with its mean and variance.

    TV = 1/2 integral |p(x) - N(x; mean, variance)| dx, by the trapezoidal rule on 501 points that
    reach 8 standard deviations beyond every component. It is the largest difference that the two
    laws can make to the probability of an event; the best guesser between them, shown one sample,
    is right with probability (1 + TV) / 2.

    Args:
        law: a mixture with D = 1.

    Returns:
        The distance, in [0, 1); its error is below 5e-5 for the mixtures of the widget.

    Raises:
        ValueError: the mixture has more than one dimension.
    """
    if law.D != 1:
        raise ValueError(f"law must have D = 1, got {law.D}")
    mean, std = moments(law)
    m, s = np.append(law.means[:, 0].numpy(), mean), np.append(law.stds.numpy(), std)
    x = np.linspace((m - 8 * s).min(), (m + 8 * s).max(), _NODES)
    bells = np.exp(-(((x[:, None] - m) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi))
    gap = np.abs(bells[:, :-1] @ law.weights.numpy() - bells[:, -1])
    return float(integrate.trapezoid(gap, x) / 2)
