"""A run's log for TensorBoard, which many watch anyway; it must be installed for this alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class BoardLog:
    """Writes the lines of a run's log as TensorBoard's events, into the run's folder.

    Args:
        folder: of the run; `tensorboard --logdir` takes it, or the folder of many runs.

    Raises:
        ValueError: tensorboard is not installed.
    """

    def __init__(self, folder: Path | str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError(
                "tensorboard must be installed for its log; try: pip install tensorboard"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def add(self, line: dict[str, Any]) -> None:
        """One line of log.jsonl: the numbers by step, the losses by range of t."""
        step = line["step"]
        for name in ("loss", "grad_norm", "learning_rate", "images_per_second"):
            if line[name] is not None:
                self._writer.add_scalar(name, line[name], step)
        for k, loss in enumerate(line["buckets"]):
            if loss is not None:
                self._writer.add_scalar(f"loss_by_t/{k}", loss, step)
        self._writer.flush()  # a killed run has all that was written
