"""Train a small U-Net on scenes alone, no captions and no labels, and ship its weights with a card.

    python tools/make/train_scenes.py [--steps N] [--ship-only]

It is the network whose features the chapter "Which pixel is what" looks at. Weights are the
average of the training, stored as float16.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from dmlib import checkpoint
from dmlib.data import draw_scenes, to_uint8
from dmlib.models import NetDenoiser, UNet, UNetConfig, predicts_v
from dmlib.schedules import cosine_schedule
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

ROOT = Path(__file__).resolve().parents[2]
ASSET = ROOT / "dmlib" / "assets" / "scenes_unet.safetensors"
KEPT = ROOT / "runs" / "scenes" / "step.safetensors"
NET = UNetConfig(
    image_size=32, channels=3, widths=(24, 48), blocks=1, attention=(8,), emb_dim=64, patch=2
)
SCENES, BATCH, STEPS, T, SEED = 20_000, 16, 6_000, 1000, 0


def make() -> NetDenoiser:
    """The untrained network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = UNet(NET).to(memory_format=torch.channels_last)
    return predicts_v(net, cosine_schedule(T))


def train(steps: int) -> None:
    """Train, and keep the average of the weights every thousand steps."""
    torch.set_num_threads(1)
    scenes = draw_scenes(SCENES, generator=torch.Generator().manual_seed(SEED))
    images = to_uint8(scenes.images)
    decay = max(0.99, 1 - 10 / steps)
    config = TrainConfig(steps=steps, weighting="v", ema_decay=decay, seed=SEED)
    training = Training(make(), config=config)
    begin, used, losses = time.perf_counter(), time.process_time(), []
    for record in training.run(shuffled(images, None, batch_size=BATCH, seed=SEED)):
        losses.append(record.loss)
        if record.step % 500 == 0 or record.step == steps:
            card = {
                "steps": record.step,
                "train": asdict(config),
                "final_loss": round(sum(losses[-500:]) / len(losses[-500:]), 5),
                "seconds": round(time.perf_counter() - begin),
                "cpu_seconds": round(time.process_time() - used),
            }
            print(card["steps"], card["final_loss"], card["cpu_seconds"], "s", flush=True)
            checkpoint.write(KEPT, training.ema.net.net.state_dict(), card)


def ship() -> None:
    """The kept weights in half precision, and their card."""
    kept = checkpoint.read(KEPT)
    state = {k: kept.card[k] for k in ("train", "final_loss", "seconds", "cpu_seconds")}
    steps = kept.card["steps"]
    card = {
        "kind": "dmlib unet",
        "what": "unconditional U-Net for the scenes of dmlib.data.scenes, averaged weights; it "
        "has seen no caption and no label",
        "data": f"{SCENES:,} scenes of dmlib.data.draw_scenes, seed {SEED}, drawn by our code",
        "licence": "MIT",
        "config": asdict(NET),
        "parameters": sum(x.numel() for x in kept.tensors.values()),
        "predicts": "v",
        "input": "images in [-1, 1], (B, 3, 32, 32); t in 1..T",
        "schedule": "cosine",
        "T": T,
        "batch_size": BATCH,
        "steps": steps,
        "finished": steps == state["train"]["steps"],
        "images_seen": steps * BATCH,
        **state,
        "command": f"python tools/make/train_scenes.py --steps {state['train']['steps']}",
        "revision": revision(),
        "device": f"CPU {platform.machine()}, 1 thread, shared",
        "torch": torch.__version__,
        "seed": SEED,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    half = {name: x.half() for name, x in kept.tensors.items()}
    written = checkpoint.write(ASSET, half, card)
    print(f"{ASSET}: {written.card['bytes']:,} bytes after step {steps}")


def revision() -> str:
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip()


def main() -> int:
    """Train unless only shipping is asked for; then ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of the optimizer")
    parser.add_argument("--ship-only", action="store_true", help="what the last run has kept")
    args = parser.parse_args()
    if not args.ship_only:
        train(args.steps)
    ship()
    return 0


if __name__ == "__main__":
    sys.exit(main())
