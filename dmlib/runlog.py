"""What a run leaves behind: a line of JSON every so often, grids of samples, the weights' card."""

from __future__ import annotations

import itertools
import json
import math
import platform
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmlib import checkpoint
from dmlib.ema import EMA
from dmlib.models import EpsFromV
from dmlib.presets import Preset
from dmlib.schedules import NoiseSchedule
from dmlib.training import Record, Training

EVERY = 25  # steps between two lines


class RunLog:
    """Writes log.jsonl and grid_<step>.npz into a folder, and prints a line now and then.

    Args:
        folder: of the run.
        recipe: what is trained.
        step: that the run goes on after; lines of later steps, which a crash undid, are dropped.
    """

    def __init__(self, folder: Path, recipe: Preset, *, step: int = 0) -> None:
        self.folder, self.recipe = folder, recipe
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"
        self.waiting: list[Record] = []
        text = self.path.read_text() if self.path.exists() else ""
        # What a crash cut in half has no newline at its end.
        lines = [x for x in text.splitlines(keepends=True) if x.endswith("\n")]
        lines = [x for x in lines if json.loads(x)["step"] <= step]
        self.path.write_text("".join(lines))
        self.before = json.loads(lines[-1])["seconds"] if lines else 0.0

    def add(self, record: Record, ema: EMA) -> None:
        """Take one step's record; write when there is enough to average."""
        self.waiting.append(record)
        if len(self.waiting) == EVERY or record.step == self.recipe.train.steps:
            self._write()
        due = record.step == self.recipe.train.steps
        if due or record.step % self.recipe.preview_every == 0:
            grid = preview(ema.net, self.recipe.make_schedule())
            np.savez_compressed(self.folder / f"grid_{record.step:07d}.npz", images=grid)

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
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        left = (self.recipe.train.steps - line["step"]) * self.before / line["step"]
        print(
            f"step {line['step']}/{self.recipe.train.steps}  loss {line['loss']:.4f}  "
            f"{line['images_per_second']:.0f} images/s  {left / 60:.0f} min left",
            flush=True,
        )

    def finish(self, training: Training) -> Path:
        """Write the averaged weights with their card; return where."""
        averaged = training.ema.net
        inner = averaged.net if isinstance(averaged, EpsFromV) else averaged
        tensors = inner.state_dict()
        card = {
            "kind": "dmlib unet",
            "config": asdict(self.recipe.net),
            "preset": self.recipe.name,
            "recipe": asdict(self.recipe),
            "predicts": self.recipe.predicts,
            "schedule": self.recipe.schedule,
            "T": self.recipe.T,
            "command": f"python -m dmlib.train --preset {self.recipe.name}",
            "steps": training.step,
            "seconds": round(self.before),
            "device": _device(training.device),
            "torch": torch.__version__,
            "revision": _revision(),
            "finished": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        }
        return checkpoint.write(self.folder / "weights.safetensors", tensors, card).path


@torch.no_grad()
def preview(
    net: torch.nn.Module, schedule: NoiseSchedule, *, each: int = 4, steps: int = 50
) -> np.ndarray:
    """Samples by class from always the same noise, uint8 (classes * each, C, H, W)."""
    device = next(net.parameters()).device
    config = net.config
    classes = config.num_classes or 1
    shape = (classes * each, config.channels, config.image_size, config.image_size)
    xt = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    y = torch.arange(classes, device=device).repeat_interleave(each)
    y = y if config.num_classes else None
    times = torch.linspace(schedule.T, 0, steps + 1).round().long().tolist()
    for t, t_prev in itertools.pairwise(times):
        xt = _ddim(
            xt, net(xt, t, y), schedule.alpha_bar[t].item(), schedule.alpha_bar[t_prev].item()
        )
    return ((xt.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def _ddim(xt: Tensor, eps_hat: Tensor, bar: float, bar_prev: float) -> Tensor:
    x0_hat = ((xt - (1 - bar) ** 0.5 * eps_hat) / bar**0.5).clamp(-1, 1)
    eps_hat = (xt - bar**0.5 * x0_hat) / (1 - bar) ** 0.5
    return bar_prev**0.5 * x0_hat + (1 - bar_prev) ** 0.5 * eps_hat


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


def _revision() -> str:
    run = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return run.stdout.strip() or "not in a git checkout"
