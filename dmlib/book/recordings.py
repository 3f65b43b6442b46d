"""What a run wrote, read again: the lines of its log and its grids, thinned to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmlib.assets import ASSETS
from dmlib.training.log import read_grids, read_log

FRAMES = 16  # as many grids as a widget may carry


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """What a run left behind, thinned for showing.

    Args:
        step, seconds, loss, grad_norm: (P,), a point of the curves each.
        bucket_loss: (P, K), the loss by ranges of t, small t first; NaN where none was drawn.
        grid_step: (G,), when a grid of samples was made.
        grid: (G, N, H, W) uint8, the samples, always from the same noise; colour (G, N, H, W, 3).
    """

    step: NDArray[np.int32]
    seconds: NDArray[np.float32]
    loss: NDArray[np.float32]
    grad_norm: NDArray[np.float32]
    bucket_loss: NDArray[np.float32]
    grid_step: NDArray[np.int32]
    grid: NDArray[np.uint8]

    @classmethod
    def shipped(cls, name: str = "fashion") -> RecordedRun:
        """A run that comes with dmlib.

        Args:
            name: "fashion", the run that made the shipped weights, or "cpu", one of that recipe.

        Raises:
            ValueError: another name.
        """
        if name not in ("fashion", "cpu"):
            raise ValueError(f'name must be "fashion" or "cpu", got {name!r}')
        run = np.load(ASSETS / f"{name}_run.npz")
        first = np.unique(run["grid_label"], return_index=True)[1]  # one sample of each class
        arrays = {field: run[field] for field in cls.__dataclass_fields__ if field != "grid"}
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
            grid=np.stack([_shown(grids[int(s)]) for s in steps]),
        )

    def point(self, frame: int) -> int:
        """The index of the curves' last point that is not after the frame's grid."""
        return max(0, int(np.searchsorted(self.step, self.grid_step[frame], side="right")) - 1)


def _shown(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """About ten of a grid's samples (N, C, H, W), as a screen wants them: grey, or colour last."""
    few = grid[:: max(1, len(grid) // 10)]
    return few[:, 0] if few.shape[1] == 1 else few.transpose(0, 2, 3, 1)
