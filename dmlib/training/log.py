"""What a run leaves behind: a line of JSON every so often, grids of samples, the weights' card."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dmlib import checkpoint
from dmlib.checkpoint.files import append, replace_whole
from dmlib.guidance import conditioned
from dmlib.models import NetDenoiser
from dmlib.sampling import clipped, generate
from dmlib.training.loop import Training
from dmlib.training.model_card import card_of, write_weights
from dmlib.training.recipes import Recipe
from dmlib.training.record import Record

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
    """The grids of samples in a run's folder by step, each (N, C, H, W) uint8.

    One that cannot be read is passed over: it is only a picture.
    """
    found = {}
    for path in sorted(Path(folder).glob("grid_*.npz")):
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:
                found[int(path.stem[5:])] = arrays["images"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
    return found


class RunLog:
    """Writes log.jsonl and grid_<step>.npz into a folder.

    Args:
        folder: of the run.
        recipe: what is trained.
        step: that the run goes on after; lines of later steps, which a crash undid, are dropped
            when the first new one is written.
        data: what the run is trained on, for the card, where it is not the recipe's data set.
        names: of the classes, for the card.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        *,
        step: int = 0,
        data: str | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.folder, self.recipe, self.data, self.names = folder, recipe, data, names
        self.path = folder / "log.jsonl"
        self.waiting: list[Record] = []
        self._fresh: dict[str, Any] | None = None
        lines = [line for line in whole_lines(self.path) if line["step"] <= step]
        self._before = "".join(json.dumps(line) + "\n" for line in lines)
        self._begun = False
        self.before = lines[-1]["seconds"] if lines else 0.0

    def add(self, record: Record) -> None:
        """Take one step's record; write when there is enough to average."""
        self.waiting.append(record)
        if len(self.waiting) >= self.recipe.log_every or record.step == self.recipe.train.steps:
            self._write()

    def picture(self, step: int, make: Callable[[], NDArray[np.uint8]]) -> str | None:
        """Keep the grid that `make` draws, if one is due after this step.

        Returns:
            None; or why there is none, in words: a picture that fails ends no training.

        Raises:
            FolderError: it cannot be written.
        """
        path = self._picture_of(step)
        if path is None:
            return None
        try:
            grid = make()
        except Exception as error:  # whatever it is: the training is worth more
            reason = str(error).splitlines() or [""]
            return f"no samples to show at step {step}: {type(error).__name__}: {reason[0]}"
        file = io.BytesIO()
        np.savez_compressed(file, images=grid)
        replace_whole(path, file.getvalue())
        return None

    def owes(self, step: int) -> bool:
        """Whether the grid that was due after this step is missing: a crash came before it."""
        path = self._picture_of(step)
        return path is not None and not path.exists()

    def _picture_of(self, step: int) -> Path | None:
        due = step == self.recipe.train.steps or step % self.recipe.preview_every == 0
        return self.folder / f"grid_{step:07d}.npz" if due and step else None

    def fresh(self) -> dict[str, Any] | None:
        """The line that was written since this was last asked, or None."""
        line, self._fresh = self._fresh, None
        return line

    def _write(self) -> None:
        records, self.waiting = self.waiting, []
        self.before += sum(r.seconds for r in records)
        images = sum(r.images for r in records)
        counted = [r for r in records if r.finite]  # float16 may lose a step
        line = {
            "step": records[-1].step,
            "seconds": round(self.before, 2),
            "loss": _mean([r.loss for r in counted]),
            "buckets": [
                _mean(b, digits=5) for b in zip(*(r.bucket_loss for r in records), strict=True)
            ],
            "grad_norm": _mean([r.grad_norm for r in counted]),
            "learning_rate": records[-1].learning_rate,
            "images_per_second": round(images / sum(r.seconds for r in records), 1),
        }
        text = json.dumps(line) + "\n"
        if self._begun:
            append(self.path, text)
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
        text = path.with_name("MODEL_CARD.md")
        if not (_holds(path, weights) and text.exists()):
            told = {"data": self.data, "names": self.names}
            card = card_of(self.recipe, training, seconds=self.before, **told)
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
def preview(net: NetDenoiser, *, chunk: int = 40, steps: int = 50) -> NDArray[np.uint8]:
    """Four samples of each class from always the same noise, of ten classes at most.

    Args:
        net: has a `config`.
        chunk: samples at a time, >= 1.
        steps: of DDIM; as many as there are, if the schedule has fewer.

    Returns:
        (10 * 4, C, H, W) uint8; of many classes ten are shown, evenly spaced.
    """
    device = next(net.parameters()).device
    config = net.config
    classes = config.num_classes or 1
    shown = torch.linspace(0, classes - 1, min(classes, 10)).long().repeat_interleave(4)
    shape = (len(shown), *config.shape)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    parts, times = [], min(steps, net.path.T)
    for xt, y in zip(noise.split(chunk), shown.split(chunk), strict=True):
        given = conditioned(net, y.to(device)) if config.num_classes else net
        generator = torch.Generator(device).manual_seed(0)  # nobody else's numbers move
        x0 = generate(clipped(given), xt.to(device), times=times, generator=generator)
        parts.append(((x0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu())
    return torch.cat(parts).numpy()


def _mean(values: Iterable[float], *, digits: int = 6) -> float | None:
    """The mean of those that are numbers; None if there are none."""
    finite = [x for x in values if math.isfinite(x)]
    return round(sum(finite) / len(finite), digits) if finite else None
