"""A recorded training: samples over time beside the curves (the book's chapter 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure

from dmlib.book.recordings import RecordedRun
from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack


class RunPlayer(InteractiveFigure):
    """A slider through a training: the samples at each time, the loss, and the loss by noise level.

    Traits (synchronised): frame, which grid of samples.

    Args:
        run: a RecordedRun; None takes the one that made the shipped weights.
        frame: which grid at the start; negative counts from the end.
        predict: a question to answer before the figure appears.
    """

    _module = "run_player.js"
    frame = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self,
        run: RecordedRun | None = None,
        *,
        frame: int = 0,
        predict: Prediction | None = None,
    ) -> None:
        self._run = run = RecordedRun.shipped() if run is None else run
        curves = ("loss", "grad_norm", "seconds", "bucket_loss")
        data: dict[str, Any] = {name: pack(getattr(run, name)) for name in curves}
        data |= {"step": run.step.tolist(), "grid_step": run.grid_step.tolist()}
        each, height, width, *colours = run.grid.shape[1:]
        data |= {"grid": pack(run.grid), "each": each, "height": height, "width": width}
        data["channels"] = colours[0] if colours else 1
        data["point"] = [run.point(i) for i in range(len(run.grid))]
        super().__init__(data=data, predict=predict, frame=frame % len(run.grid))

    @traitlets.validate("frame")
    def _frame_exists(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] >= len(self._run.grid):
            raise traitlets.TraitError(f"frame must be in 0..{len(self._run.grid) - 1}")
        return proposal["value"]

    def numbers(self) -> dict[str, Any]:
        """What is on show: step, minutes, loss, gradient norm, loss by range of t."""
        run, i = self._run, self._run.point(self.frame)
        return {
            "step": int(run.grid_step[self.frame]),
            "minutes": float(run.seconds[i]) / 60,
            "loss": float(run.loss[i]),
            "grad_norm": float(run.grad_norm[i]),
            "buckets": run.bucket_loss[i].tolist(),
        }

    def _picture(self, figure: Figure) -> None:
        run, now = self._run, self.numbers()
        rows = figure.subfigures(2, 1, height_ratios=(2, 3))
        sheet = np.concatenate(list(run.grid[self.frame]), axis=1)
        top = rows[0].subplots()
        top.imshow(sheet, cmap="gray", vmin=0, vmax=255)
        top.set_title(f"samples after {now['step']} steps, {now['minutes']:.0f} minutes")
        top.axis("off")
        left, right = rows[1].subplots(1, 2)
        left.semilogy(run.step, run.loss, color="#0067a3")
        left.axvline(now["step"], color="#b84300")
        left.set(xlabel="step", title="loss")
        right.semilogy(now["buckets"], "o-", color="#0067a3")
        right.semilogy(run.bucket_loss[-1], ":", color="#b84300")
        right.set(xlabel="range of $t$, small to large", title="loss by noise level")

    def _sentence(self) -> str:
        now = self.numbers()
        return (
            f"A recorded training after {now['step']} steps and {now['minutes']:.0f} minutes: "
            f"loss {now['loss']:.3f}, {self._run.grid.shape[1]} samples."
        )
