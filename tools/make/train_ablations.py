"""Train a small U-Net and copies of it that lack one part, all alike, and ship what came of it.

    python tools/make/train_ablations.py                      train what is missing, measure, ship
    python tools/make/train_ablations.py --train "no skips"   train one of VARIANTS only
    python tools/make/train_ablations.py --steps 240          the same with fewer steps

Each variant keeps all its weights; only what the part is *for* is taken away. All start from the
same weights and see the same images, noise and steps; the last one differs from the first in its
seed alone and so tells what chance does. The loss is measured on images of the test split.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from ablated_unets import as_it_is, without_attention, without_skips, without_time
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.data import fashion_mnist, to_unit
from dmlib.forward import q_sample
from dmlib.guidance import conditioned
from dmlib.models import NetDenoiser, UNet, UNetConfig, predicts_v
from dmlib.sampling import clipped, generate
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddim
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

ROOT = Path(__file__).resolve().parents[2]
ASSET = ROOT / "dmlib" / "assets" / "unet_ablations.npz"
RUNS = ROOT / "runs" / "ablations"
NET = UNetConfig(widths=(24, 48), blocks=1, attention=(7,), emb_dim=64, num_classes=10, patch=2)
STEPS, BATCH, EVERY = 1_200, 32, 40
T = 1000
TIMES = (10, 50, *range(100, 1000, 100), 980)
TESTED, KEPT, WALK = 200, 20, 25


VARIANTS: dict[str, tuple[Callable[[UNet], None], int]] = {  # what is done to it, seed
    "full": (as_it_is, 0),
    "no skips": (without_skips, 0),
    "no time": (without_time, 0),
    "no attention": (without_attention, 0),
    "full again": (as_it_is, 1),
}


def make(name: str) -> NetDenoiser:
    """An untrained variant; the start of the weights depends on its seed alone."""
    change, seed = VARIANTS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet(NET)
        change(net)
    return predicts_v(net.to(memory_format=torch.channels_last), cosine_schedule(T))


def recipe(seed: int, steps: int) -> TrainConfig:
    """How all are trained."""
    decay = 1 - 6 / steps  # the average forgets within a sixth of the run
    return TrainConfig(steps=steps, warmup=steps // 8, weighting="v", ema_decay=decay, seed=seed)


def path_of(name: str, steps: int) -> Path:
    return RUNS / str(steps) / f"{name.replace(' ', '_')}.safetensors"


def train(name: str, steps: int) -> None:
    """Train one variant; its averaged weights and a card go into runs/ablations."""
    seed = VARIANTS[name][1]
    training = Training(make(name), config=recipe(seed, steps))
    images, labels = fashion_mnist("train")
    batches = shuffled(images[:, None], labels, batch_size=BATCH, seed=seed)
    begin, used, losses = time.perf_counter(), time.process_time(), []
    for record in training.run(batches):
        losses.append(record.loss)
        if record.step % EVERY == 0:
            seconds = time.perf_counter() - begin
            mean = sum(losses[-EVERY:]) / EVERY
            print(f"{name}: step {record.step}  loss {mean:.4f}  {seconds:.0f} s", flush=True)
    card = {
        "variant": name,
        "seed": seed,
        "steps": steps,
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - used),
        "losses": np.reshape(losses, (-1, EVERY)).mean(1).round(5).tolist(),
        "revision": revision(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    checkpoint.write(path_of(name, steps), training.ema.net.net.state_dict(), card)


def trained(name: str, steps: int) -> tuple[NetDenoiser, dict]:
    """A variant with the weights that `train` kept, and their card."""
    found = checkpoint.read(path_of(name, steps))
    net = make(name)
    net.net.load_state_dict(found.tensors)
    return net.eval(), found.card


def revision() -> str:
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip()


@torch.no_grad()
def errors(net: nn.Module, x0: Tensor, y: Tensor) -> np.ndarray:
    """Squared error of eps_hat at each of TIMES for each image, the same noise for all nets."""
    schedule, rows = cosine_schedule(T), []
    generator = torch.Generator().manual_seed(0)
    for t in TIMES:
        eps = torch.randn(x0.shape, generator=generator)
        xt = q_sample(x0, t, eps, schedule=schedule)
        batches = zip(xt.split(100), y.split(100), strict=True)
        eps_hat = torch.cat([net(a, t, b).eps_hat for a, b in batches])
        rows.append((eps - eps_hat).square().flatten(1).mean(1).double().numpy())
    return np.stack(rows)  # (times, images)


@torch.no_grad()
def samples(net: NetDenoiser) -> np.ndarray:
    """KEPT images, sample i of class i % 10; the same noise for all nets, DDIM, no guidance."""
    xT = torch.randn((KEPT, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    denoiser = clipped(conditioned(net, torch.arange(KEPT) % 10))
    made = generate(denoiser, xT, step=ddim(), times=WALK)[:, 0]
    return ((made.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def measure(steps: int) -> None:
    """Errors and samples of all variants, into the asset and its card."""
    images, labels = fashion_mnist("test")
    x0, y = to_unit(images[:TESTED]), labels[:TESTED]
    error, made, losses, rows = {}, [], [], []
    for name in VARIANTS:
        net, card = trained(name, steps)
        error[name] = errors(net, x0, y)
        made.append(samples(net))
        losses.append(card["losses"])
        gap = error[name] - error["full"]
        rows.append(
            {
                **{k: card[k] for k in ("variant", "seed", "seconds", "cpu_seconds", "revision")},
                "parameters": sum(p.numel() for p in net.parameters()),
                "error": round(float(error[name].mean()), 6),
                "gap_to_full": round(float(gap.mean()), 6),
                "standard_error_of_gap": round(float(gap.mean(0).std() / TESTED**0.5), 6),
            }
        )
        print(rows[-1], flush=True)
    arrays = {
        "t": np.array(TIMES, np.int32),
        "error": np.stack([e.mean(1) for e in error.values()]).astype(np.float32),
        "loss": np.array(losses, np.float32),
        "samples": np.stack(made),
    }
    ship(arrays, rows, steps)


def ship(arrays: dict[str, np.ndarray], rows: list[dict], steps: int) -> None:
    """Write the asset and its card."""
    np.savez_compressed(ASSET, **arrays)
    card = {
        "what": "U-Nets that lack one part, trained alike: error of eps_hat on test images by t, "
        "training loss, samples (deterministic DDIM, x0_hat clipped, no guidance)",
        "arrays": "error (variants, t); loss (variants, steps / every); "
        "samples (variants, 20, 28, 28), sample i of class i % 10",
        "data": "Fashion-MNIST, trained on the training split, errors on the test split; Xiao, "
        "Rasul and Vollgraf 2017, MIT licence, copyright Zalando SE",
        "licence": "MIT",
        "config": asdict(NET),
        "predicts": "v",
        "schedule": "cosine",
        "T": T,
        "train": asdict(recipe(0, steps)),
        "batch_size": BATCH,
        "every": EVERY,
        "tested_images": TESTED,
        "sampling_steps": WALK,
        "variants": rows,
        "command": f"python tools/make/train_ablations.py --steps {steps}",
        "measured_at": revision(),
        "device": f"CPU {platform.machine()}, {torch.get_num_threads()} thread, shared",
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "bytes": ASSET.stat().st_size,
        "sha256": hashlib.sha256(ASSET.read_bytes()).hexdigest(),
    }
    ASSET.with_suffix(".json").write_text(json.dumps(card, indent=1))
    print(f"{ASSET}: {card['bytes']:,} bytes")


def main() -> int:
    """Train one variant or all that are missing; then measure and ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", choices=VARIANTS, help="this one only; nothing is shipped")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the optimizer, each")
    args = parser.parse_args()
    if args.train:
        train(args.train, args.steps)
        return 0
    for name in VARIANTS:
        if not path_of(name, args.steps).exists():
            train(name, args.steps)
    measure(args.steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
