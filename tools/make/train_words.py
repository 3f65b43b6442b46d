"""Train the network that draws scenes from captions, for a given time on one core.

    python tools/make/train_words.py --minutes 79             weights into runs/words
    python tools/make/train_words.py --minutes 120 --go-on    on from there, as long again
    python tools/make/measure_words.py                        figures, card and weights to ship

Every scene is drawn anew, so none is seen twice; the pairs of HELD_OUT are never drawn. The
learning rate falls along a cosine whose end is the planned time: every 50 steps the number of
steps in all is guessed again from the speed so far. The card says how many there were.
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
from dmlib.data import captions_of, draw_scenes, seen_pairs, tokenize
from dmlib.models import predicts_v
from dmlib.models.text_unet import TextUNet, TextUNetConfig
from dmlib.schedules import cosine_schedule
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "words"
NET = TextUNetConfig()
T, BATCH, SEED = 1000, 32, 0
TOLD = ("step", "seconds", "cpu_seconds", "batch", "train", "losses")
KEEP_SECONDS, GUESS_EVERY = 240, 50
CONFIG = TrainConfig(
    steps=25_000,
    learning_rate=1.2e-3,
    warmup=300,
    ema_decay=0.9995,
    label_dropout=0.12,
    precision="bfloat16",
    weighting="v",
    seed=SEED,
)


def batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Fresh scenes with their captions as tokens, for ever."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        scenes = draw_scenes(1024, generator=generator, pairs=seen_pairs())
        tokens = tokenize(captions_of(scenes, generator=generator))
        yield from zip(scenes.images.split(BATCH), tokens.split(BATCH), strict=True)


def keep(training: Training, seconds: float, losses: list[float], before: list[dict]) -> None:
    """Write the averaged weights and a card; `before` tells of the trainings before this one."""
    card = {
        "step": training.step,
        "seconds": round(seconds),
        "cpu_seconds": round(time.process_time()),
        "config": asdict(NET),
        "train": asdict(training.config),
        "batch": BATCH,
        "losses": [round(x, 5) for x in losses],
        "before": before,
    }
    tensors = {k: v.contiguous() for k, v in training.ema.net.net.state_dict().items()}
    RUNS.mkdir(parents=True, exist_ok=True)
    for name in (f"step_{training.step:06d}", "last"):
        checkpoint.write(RUNS / f"{name}.safetensors", tensors, card)


def train(minutes: float, *, go_on: bool) -> None:
    """Train until the time is over; the averaged weights are kept every few minutes.

    With `go_on` it begins with the averaged weights that were kept, other scenes and a fresh Adam.
    """
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    net, before, config = TextUNet(NET), [], CONFIG
    if go_on:
        found = checkpoint.read(RUNS / "last.safetensors")
        net.load_state_dict(found.tensors)
        before = [*found.card.get("before", []), {k: found.card[k] for k in TOLD}]
        config = replace(CONFIG, seed=SEED + len(before))
    training = Training(predicts_v(net, cosine_schedule(T)), config=config)
    begin = kept = time.monotonic()
    end, seen, losses = begin + 60 * minutes, 0.0, []
    for record in training.run(batches(config.seed)):
        seen += record.loss / GUESS_EVERY
        now = time.monotonic()
        if record.step % GUESS_EVERY:
            continue
        losses, seen = [*losses, seen], 0.0
        left = max(1, int((end - now) * record.step / (now - begin)))
        training.config = replace(training.config, steps=record.step + left)
        rate = record.step * BATCH / (now - begin)
        print(
            f"step {record.step} of {training.config.steps}  loss {losses[-1]:.4f}  "
            f"lr {record.learning_rate:.2e}  {rate:.0f} scenes/s  {now - begin:.0f} s",
            flush=True,
        )
        if now - kept > KEEP_SECONDS:
            keep(training, now - begin, losses, before)
            kept = now
    keep(training, time.monotonic() - begin, losses, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=79)
    parser.add_argument("--go-on", action="store_true")
    given = parser.parse_args()
    train(given.minutes, go_on=given.go_on)


if __name__ == "__main__":
    main()
