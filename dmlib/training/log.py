"""What a run leaves behind: a line of JSON every so often, grids of samples, the weights' card."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dmlib import checkpoint
from dmlib.checkpoint.files import replace_whole
from dmlib.guidance import conditioned
from dmlib.models import NetDenoiser
from dmlib.sampling import clipped, generate
from dmlib.training.ema import EMA
from dmlib.training.loop import Record, Training
from dmlib.training.model_card import card_of, write_weights
from dmlib.training.recipes import Preset

FIELDS = {"step", "seconds", "loss", "buckets", "grad_norm", "learning_rate", "images_per_second"}


def read_log(folder: Path | str) -> list[dict[str, Any]]:
    """The lines of a run's log.jsonl, one a step: where a run went on, the later one counts."""
    lines = whole_lines(Path(folder) / "log.jsonl")
    return [line for _, line in sorted({line["step"]: line for line in lines}.items())]


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log as they stand; what a crash or a bad disk left of one is passed over."""
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    found = []
    for piece in text.split("\n")[:-1]:  # what a crash cut in half has no newline at its end
        try:
            line = json.loads(piece)
        except ValueError:
            continue
        if isinstance(line, dict) and line.keys() >= FIELDS:
            found.append(line)
    return found


def read_grids(folder: Path | str) -> dict[int, NDArray[np.uint8]]:
    """The grids of samples in a run's folder by step, each (N, C, H, W) uint8."""
    return {
        int(path.stem[5:]): np.load(path)["images"]
        for path in sorted(Path(folder).glob("grid_*.npz"))
    }


class RunLog:
    """Writes log.jsonl and grid_<step>.npz into a folder.

    Args:
        folder: of the run.
        recipe: what is trained.
        step: that the run goes on after; lines of later steps, which a crash undid, are dropped
            when the first new one is written.
        data: what the run is trained on, for the card, where it is not the recipe's data set.
    """

    def __init__(
        self, folder: Path, recipe: Preset, *, step: int = 0, data: str | None = None
    ) -> None:
        self.folder, self.recipe, self.data = folder, recipe, data
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"
        self.waiting: list[Record] = []
        self._fresh: dict[str, Any] | None = None
        lines = [line for line in whole_lines(self.path) if line["step"] <= step]
        self._before = "".join(json.dumps(line) + "\n" for line in lines)
        self._begun = False
        self.before = lines[-1]["seconds"] if lines else 0.0

    def add(self, record: Record, ema: EMA) -> None:
        """Take one step's record; write when there is enough to average."""
        self.waiting.append(record)
        done = record.step == self.recipe.train.steps
        if len(self.waiting) >= self.recipe.log_every or done:
            self._write()
        if done or record.step % self.recipe.preview_every == 0:
            grid = preview(ema.net)
            np.savez_compressed(self.folder / f"grid_{record.step:07d}.npz", images=grid)

    def fresh(self) -> dict[str, Any] | None:
        """The line that was written since this was last asked, or None."""
        line, self._fresh = self._fresh, None
        return line

    def _write(self) -> None:
        records, self.waiting = self.waiting, []
        self.before += sum(r.seconds for r in records)
        images = sum(r.images for r in records)
        buckets = torch.tensor([r.bucket_loss for r in records]).nanmean(0).tolist()
        line = {
            "step": records[-1].step,
            "seconds": round(self.before, 2),
            "loss": _mean([r.loss for r in records]),
            "buckets": [None if math.isnan(b) else round(b, 5) for b in buckets],
            "grad_norm": _mean([r.grad_norm for r in records]),
            "learning_rate": records[-1].learning_rate,
            "images_per_second": round(images / sum(r.seconds for r in records), 1),
        }
        text = json.dumps(line) + "\n"
        if self._begun:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        else:
            replace_whole(self.path, (self._before + text).encode())
            self._begun = True
        self._fresh = line

    def finish(self, training: Training) -> Path:
        """Write the averaged weights with their card; return where.

        Weights that are there already keep their card, and with it what was measured of them.
        """
        path = self.folder / "weights.safetensors"
        weights = {name: x.cpu() for name, x in training.ema.net.net.state_dict().items()}
        if not _holds(path, weights):
            card = card_of(self.recipe, training, seconds=self.before, data=self.data)
            write_weights(path, weights, card)
        return path


def _holds(path: Path, weights: dict[str, torch.Tensor]) -> bool:
    """Whether the file is whole and has these very weights."""
    try:
        found = checkpoint.read(path).tensors
    except checkpoint.CheckpointError:
        return False
    return found.keys() == weights.keys() and all(
        torch.equal(found[name], x) for name, x in weights.items()
    )


@torch.no_grad()
def preview(net: NetDenoiser, *, each: int = 4, steps: int = 50) -> np.ndarray:
    """Samples by class from always the same noise, uint8 (classes * each, C, H, W)."""
    device = next(net.parameters()).device
    config = net.config
    classes = config.num_classes or 1
    shape = (classes * each, config.channels, config.image_size, config.image_size)
    xt = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    y = torch.arange(classes, device=device).repeat_interleave(each)
    denoiser = clipped(conditioned(net, y) if config.num_classes else net)
    xt = generate(denoiser, xt, times=steps)
    return ((xt.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)
