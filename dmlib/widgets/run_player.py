"""A recorded training: samples over time beside the curves (the book's chapter 5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dmlib.checkpoint import ASSETS
from dmlib.runlog import read_grids, read_log
from dmlib.widgets.base import InteractiveFigure, Prediction, pack

FRAMES = 16  # as many grids as the data limit allows


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """What a run left behind, thinned for showing.

    Args:
        step, seconds, loss, grad_norm: (P,), a point of the curves each.
        bucket_loss: (P, K), the loss by ranges of t, small t first; NaN where none was drawn.
        grid_step: (G,), when a grid of samples was made.
        grid: (G, N, side, side) uint8, the samples, always from the same noise.
    """

    step: NDArray[np.int32]
    seconds: NDArray[np.float32]
    loss: NDArray[np.float32]
    grad_norm: NDArray[np.float32]
    bucket_loss: NDArray[np.float32]
    grid_step: NDArray[np.int32]
    grid: NDArray[np.uint8]

    @classmethod
    def shipped(cls) -> RecordedRun:
        """The run that made the weights which come with dmlib."""
        run = np.load(ASSETS / "fashion_run.npz")
        first = np.unique(run["grid_label"], return_index=True)[1]  # one sample of each class
        arrays = {name: run[name] for name in cls.__dataclass_fields__ if name != "grid"}
        return cls(**arrays, grid=run["grid"][:, first])

    @classmethod
    def of(cls, folder: str | Path, *, points: int = 240) -> RecordedRun:
        """The run in a folder of your own.

        Raises:
            ValueError: there is no log, or no grid of samples yet.
        """
        lines, grids = read_log(folder), read_grids(folder)
        if not lines or not grids:
            raise ValueError(f"folder must hold a run's log and grids, {folder} does not (yet)")
        lines = lines[:: -(-len(lines) // points)]
        table = [[np.nan if b is None else b for b in line["buckets"]] for line in lines]
        steps = np.array(sorted(grids), np.int32)
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, FRAMES).round().astype(int))]
        names = ("seconds", "loss", "grad_norm")
        curves = {n: np.array([line[n] for line in lines], np.float32) for n in names}
        return cls(
            step=np.array([line["step"] for line in lines], np.int32),
            **curves,
            bucket_loss=np.array(table, np.float32),
            grid_step=steps,
            grid=np.stack([grids[int(s)][:: max(1, len(grids[int(s)]) // 10), 0] for s in steps]),
        )

    def point(self, frame: int) -> int:
        """The index of the curves' last point that is not after the frame's grid."""
        return max(0, int(np.searchsorted(self.step, self.grid_step[frame], side="right")) - 1)


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
        data |= {"grid": pack(run.grid), "side": run.grid.shape[-1], "each": run.grid.shape[1]}
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
