"""Train a network that is shown a picture, for a given time of one core.

    python tools/make/train_translation.py super_resolution --minutes 35       7 x 7 to 28 x 28
    python tools/make/train_translation.py super_resolution --minutes 9 --regression    its twin
    python tools/make/train_translation.py outlines --minutes 35            outlines to garments
    python tools/make/train_translation.py outlines --minutes 9 --regression
    python tools/make/measure_translation.py TASK                        figures, card, weights

All 60,000 training pictures of Fashion-MNIST (Debian's package, or downloaded), every other one
mirrored. The twin has the same layers and hears t = T and a grey x_T: it answers the mean of what
fits. The learning rate falls along a cosine whose end is the planned time (of the processor).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from dmlib import checkpoint
from dmlib.applications.translation import enlarged, outline, shrunk
from dmlib.data import fashion_mnist, to_unit
from dmlib.models import UNetConfig, predicts_v
from dmlib.models.picture_unet import PictureUNet
from dmlib.schedules import cosine_schedule
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.ema import EMA
from dmlib.training.loop import Training

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "translation"
NET = UNetConfig(image_size=28, channels=1, widths=(40, 72), blocks=1, emb_dim=80, patch=2)
T, BATCH, SEED, GUESS_EVERY = 1000, 32, 0, 50
TASKS = {"super_resolution": lambda x: enlarged(shrunk(x)), "outlines": outline}
CONFIG = TrainConfig(
    steps=25_000,
    learning_rate=1.2e-3,
    warmup=300,
    ema_decay=0.999,
    label_dropout=0.0,
    precision="bfloat16",
    weighting="v",
    seed=SEED,
)


def batches(task: str, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Garments, and what of them is shown, for ever."""
    images = fashion_mnist("train")[0]
    images = to_unit(images).reshape(-1, 1, 28, 28)
    generator = torch.Generator().manual_seed(seed)
    while True:
        for chosen in torch.randperm(len(images), generator=generator).split(BATCH):
            if len(chosen) < BATCH:
                break
            x0 = images[chosen]
            mirrored = torch.rand(BATCH, generator=generator) < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(3), x0)
            yield x0, TASKS[task](x0)


def keep(task: str, net: PictureUNet, told: dict) -> None:
    """Write the averaged weights and a card."""
    RUNS.mkdir(parents=True, exist_ok=True)
    card = {"task": task, "batch": BATCH, "config": asdict(NET), "given": 1, **told}
    tensors = {name: x.contiguous() for name, x in net.state_dict().items()}
    checkpoint.write(RUNS / f"{task}.safetensors", tensors, card)


def train(task: str, minutes: float) -> None:
    """The diffusion network."""
    net = PictureUNet(NET)
    training = Training(predicts_v(net, cosine_schedule(T)), config=CONFIG)
    begin, seen, losses = time.process_time(), 0.0, []
    end = begin + 60 * minutes
    for record in training.run(batches(task, SEED)):
        seen += record.loss / GUESS_EVERY
        if record.step % GUESS_EVERY:
            continue
        losses, seen, now = [*losses, seen], 0.0, time.process_time()
        left = max(1, int((end - now) * record.step / (now - begin)))
        training.config = replace(training.config, steps=record.step + left)
        print(f"{task} step {record.step} of {training.config.steps} {losses[-1]:.4f}", flush=True)
        if record.step % 1000 == 0 or left <= GUESS_EVERY:
            told = {"step": record.step, "cpu_seconds": round(time.process_time())}
            told |= {"train": asdict(training.config), "losses": [round(x, 5) for x in losses]}
            keep(task, training.ema.net.net, told)


def train_regression(task: str, minutes: float) -> None:
    """The twin that answers once: the mean square error of x0_hat = -v_hat at t = T."""
    net, losses, seen = PictureUNet(NET), [], 0.0
    ema = EMA(net, decay=CONFIG.ema_decay)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    config, begin = CONFIG, time.process_time()
    for step, (x0, y) in enumerate(batches(task, SEED), 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        with torch.autocast("cpu", torch.bfloat16):
            x0_hat = -net(torch.zeros_like(x0), T, y)
        loss = (x0_hat.float() - x0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CONFIG.grad_clip)
        optimizer.step()
        ema.update(net)
        seen += loss.item() / GUESS_EVERY
        if step % GUESS_EVERY == 0:
            losses, seen, spent = [*losses, seen], 0.0, time.process_time() - begin
            left = max(1, int((60 * minutes - spent) * step / spent))
            config = replace(config, steps=step + left)
            print(f"{task} regression step {step} of {config.steps} {losses[-1]:.4f}", flush=True)
        if step == config.steps:
            told = {"step": step, "cpu_seconds": round(time.process_time())}
            told |= {"train": asdict(config), "losses": [round(x, 5) for x in losses]}
            keep(f"{task}_regression", ema.net, told)
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--minutes", type=float, default=35)
    parser.add_argument("--regression", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    (train_regression if given.regression else train)(given.task, given.minutes)


if __name__ == "__main__":
    main()
