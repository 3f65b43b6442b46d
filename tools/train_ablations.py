"""Train a small U-Net and copies of it that lack one part, all alike, and ship what came of it.

    python tools/train_ablations.py                      train what is missing, measure, ship
    python tools/train_ablations.py --train "no skips"   train one of VARIANTS only

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
from dmlib.batches import shuffled
from dmlib.data import fashion_mnist, to_unit
from dmlib.forward import q_sample
from dmlib.guidance import conditioned
from dmlib.metrics import Features, features_of, frechet_distance, frechet_floor
from dmlib.models import EpsFromV, UNet, UNetConfig
from dmlib.sampling import clipped, generate
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddim
from dmlib.train_config import TrainConfig
from dmlib.training import Training

ROOT = Path(__file__).resolve().parents[1]
ASSET = ROOT / "dmlib" / "assets" / "unet_ablations.npz"
RUNS = ROOT / "runs" / "ablations"
NET = UNetConfig(widths=(24, 48), blocks=1, attention=(7,), emb_dim=64, num_classes=10, patch=2)
STEPS, BATCH, EVERY = 1_200, 32, 40
T = 1000
TIMES = (10, 50, *range(100, 1000, 100), 980)
TESTED, SAMPLED, KEPT, WALK = 200, 200, 20, 20


VARIANTS: dict[str, tuple[Callable[[UNet], None], int]] = {  # what is done to it, seed
    "full": (as_it_is, 0),
    "no skips": (without_skips, 0),
    "no time": (without_time, 0),
    "no attention": (without_attention, 0),
    "full again": (as_it_is, 1),
}


def make(name: str) -> EpsFromV:
    """An untrained variant; the start of the weights depends on its seed alone."""
    change, seed = VARIANTS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet(NET)
        change(net)
    return EpsFromV(net.to(memory_format=torch.channels_last), cosine_schedule(T).alpha_bar)


def recipe(seed: int) -> TrainConfig:
    return TrainConfig(steps=STEPS, warmup=150, weighting="v", ema_decay=0.995, seed=seed)


def path_of(name: str) -> Path:
    return RUNS / f"{name.replace(' ', '_')}.safetensors"


def train(name: str) -> None:
    """Train one variant; its averaged weights and a card go into runs/ablations."""
    seed = VARIANTS[name][1]
    training = Training(make(name), schedule=cosine_schedule(T), config=recipe(seed))
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
        "steps": STEPS,
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - used),
        "losses": np.reshape(losses, (-1, EVERY)).mean(1).round(5).tolist(),
        "revision": revision(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    checkpoint.write(path_of(name), training.ema.net.net.state_dict(), card)


def trained(name: str) -> tuple[EpsFromV, dict]:
    """A variant with the weights that `train` kept, and their card."""
    found = checkpoint.read(path_of(name))
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
        eps_hat = torch.cat([net(a, t, b) for a, b in batches])
        rows.append((eps - eps_hat).square().flatten(1).mean(1).double().numpy())
    return np.stack(rows)  # (times, images)


@torch.no_grad()
def samples(net: EpsFromV) -> Tensor:
    """SAMPLED images, the classes taking turns; the same noise for all nets, DDIM, no guidance."""
    schedule, made = cosine_schedule(T), []
    xT = torch.randn((SAMPLED, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    for x, y in zip(xT.split(100), (torch.arange(SAMPLED) % 10).split(100), strict=True):
        denoiser = clipped(conditioned(net, y), schedule=schedule)
        made.append(generate(denoiser, x, schedule=schedule, step=ddim(), times=WALK))
    return torch.cat(made).clamp(-1, 1)


def measure() -> None:
    """Errors and samples of all variants, into the asset and its card."""
    begin = time.perf_counter()
    images, labels = fashion_mnist("test")
    x0, y = to_unit(images[:TESTED]), labels[:TESTED]
    features = Features.trained()
    real = features_of(to_unit(images), features)
    nets, cards, error, made, rows = {}, {}, {}, {}, []
    for name in VARIANTS:
        nets[name], cards[name] = trained(name)
        error[name], made[name] = errors(nets[name], x0, y), samples(nets[name])
        gap = error[name] - error["full"]
        distance = frechet_distance(features_of(made[name], features), real)
        rows.append(
            {
                **{k: cards[name][k] for k in ("variant", "seed", "seconds", "cpu_seconds")},
                "parameters": sum(p.numel() for p in nets[name].parameters()),
                "error": round(float(error[name].mean()), 6),
                "frechet": round(distance, 3),
                "gap_to_full": round(float(gap.mean()), 6),
                "standard_error_of_gap": round(float(gap.mean(0).std() / TESTED**0.5), 6),
                "revision": cards[name]["revision"],
            }
        )
        print(rows[-1], flush=True)
    arrays = {
        "t": np.array(TIMES, np.int32),
        "error": np.stack([e.mean(1) for e in error.values()]).astype(np.float32),
        "loss": np.array([cards[name]["losses"] for name in VARIANTS], np.float32),
        "samples": np.stack([grey(made[name][:KEPT, 0]) for name in VARIANTS]),
    }
    floor = frechet_floor(
        features_of(to_unit(fashion_mnist("train")[0][:20_000]), features), real, n=SAMPLED,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    ship(arrays, rows, floor=float(floor.mean()), seconds=time.perf_counter() - begin)


def grey(images: Tensor) -> np.ndarray:
    return ((images + 1) * 127.5).round().to(torch.uint8).numpy()


def ship(arrays: dict[str, np.ndarray], rows: list[dict], *, floor: float, seconds: float) -> None:
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
        "train": asdict(recipe(0)),
        "batch_size": BATCH,
        "every": EVERY,
        "tested_images": TESTED,
        "sampling_steps": WALK,
        "frechet_samples": SAMPLED,
        "frechet_floor": round(floor, 3),
        "variants": rows,
        "command": "python tools/train_ablations.py",
        "measured_at": revision(),
        "measuring_seconds": round(seconds),
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
    args = parser.parse_args()
    if args.train:
        train(args.train)
        return 0
    for name in VARIANTS:
        if not path_of(name).exists():
            train(name)
    measure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
