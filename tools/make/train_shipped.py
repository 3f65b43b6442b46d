"""Train the weights that dmlib ships, or go on, and put them into dmlib/assets with their card.

    python tools/make/train_shipped.py [--folder runs/shipped] [--steps N] [--ship-only]
    python tools/make/train_shipped.py --recipe cpu     the record of a run of `cpu`, no weights

Weights are stored as float16; the card says what that changes. The recorded run (curves, and
grids of samples over time) goes into fashion_run.npz, that of `cpu` into cpu_run.npz.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from dmlib import checkpoint
from dmlib.models import NetDenoiser
from dmlib.training import resume
from dmlib.training.__main__ import main as main_of_training
from dmlib.training.log import preview, read_log
from dmlib.training.recipes import CPU, SHIPPED, Recipe

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "dmlib" / "assets"
ORIGIN = {
    "data": "Fashion-MNIST, training split (60,000 images), Xiao, Rasul and Vollgraf 2017",
    "data_licence": "MIT, Copyright (c) 2017 Zalando SE",
    "licence": "MIT",
}


def averaged(folder: Path) -> tuple[NetDenoiser, dict]:
    """The averaged network of the newest checkpoint, and that checkpoint's card."""
    found, _ = checkpoint.latest(folder)
    if found is None or found.card.get("kind") != resume.KIND:
        raise SystemExit(f"no checkpoint of a training in {folder}")
    return resume.load_weights(found.path, SHIPPED.make_denoiser()), found.card


def ship_weights(folder: Path, *, device: str) -> None:
    """fashion_unet.safetensors and its card."""
    net, state = averaged(folder)
    exact = preview(net).astype(float)
    inner = net.net
    half = {k: x.half() for k, x in inner.state_dict().items()}
    inner.load_state_dict({k: x.float() for k, x in half.items()})
    rounded = preview(net).astype(float)
    last = read_log(folder)[-1]
    steps = state["train"]["steps"]
    card = {
        "kind": "dmlib unet",
        "what": "class-conditional U-Net for Fashion-MNIST, averaged weights",
        **ORIGIN,
        "config": asdict(SHIPPED.net),
        "classes": "0..9 as in the data set, 10 is the null class",
        "predicts": SHIPPED.predicts,
        "input": "images in [-1, 1], (B, 1, 28, 28); t in 1..T",
        "schedule": SHIPPED.schedule,
        "T": SHIPPED.T,
        "train": state["train"],
        "batch_size": SHIPPED.batch_size,
        "steps": state["step"],
        "finished": state["step"] == steps,
        "images_seen": state["step"] * SHIPPED.batch_size,
        "seconds": last["seconds"],
        "final_loss": last["loss"],
        "command": f"python tools/make/train_shipped.py --steps {steps}",
        "revision": revision(),
        "device": device,
        "torch": torch.__version__,
        "seed": SHIPPED.train.seed,
        "float16_changes_grey_levels_by": {
            "mean": round(float(abs(rounded - exact).mean()), 4),
            "share_of_pixels_by_more_than_8": round(float((abs(rounded - exact) > 8).mean()), 5),
        },
    }
    written = checkpoint.write(ASSETS / "fashion_unet.safetensors", half, card)
    print(f"{written.path}: {written.card['bytes']:,} bytes after step {state['step']}")
    print("float16 against float32:", card["float16_changes_grey_levels_by"])


def ship_run(
    folder: Path, what: Recipe, *, device: str, points: int = 240, grids: int = 16, each: int = 2
) -> None:
    """The record as arrays only, no pickle, and its card: what the run really did."""
    lines = read_log(folder)
    group = -(-len(lines) // points)
    lines = [lines[i : i + group] for i in range(0, len(lines), group)]

    def mean(key: str) -> np.ndarray:
        return np.array([np.mean([x[key] for x in part]) for part in lines], np.float32)

    def buckets(part: list[dict]) -> np.ndarray:
        rows = np.array([[np.nan if b is None else b for b in x["buckets"]] for x in part], float)
        return np.nanmean(rows, axis=0)

    files = sorted(folder.glob("grid_*.npz"))
    # More of them early on, where the samples change fastest.
    chosen = np.unique((np.linspace(0, 1, grids) ** 1.5 * (len(files) - 1)).round().astype(int))
    arrays = {
        "step": np.array([part[-1]["step"] for part in lines], np.int32),
        "seconds": np.array([part[-1]["seconds"] for part in lines], np.float32),
        "loss": mean("loss"),
        "grad_norm": mean("grad_norm"),
        "learning_rate": mean("learning_rate"),
        "images_per_second": mean("images_per_second"),
        "bucket_loss": np.array([buckets(part) for part in lines], np.float32),
        "grid_step": np.array([int(files[i].stem[5:]) for i in chosen], np.int32),
        "grid": np.stack([thinned(files[i], each=each) for i in chosen]),  # (G, 10 each, 28, 28)
        "grid_label": np.repeat(np.arange(10), each).astype(np.int64),
    }
    path = ASSETS / ("fashion_run.npz" if what is SHIPPED else f"{what.name}_run.npz")
    np.savez_compressed(path, **arrays)
    card = {
        "what": f"the recorded run of the recipe {what.name}: curves and grids of averaged "
        "samples from fixed noise, 50 deterministic DDIM steps, no guidance",
        **ORIGIN,
        "command": f"python tools/make/train_shipped.py --recipe {what.name}",
        "steps": lines[-1][-1]["step"],
        "batch_size": what.batch_size,
        "seconds": lines[-1][-1]["seconds"],
        "device": device,
        "torch": torch.__version__,
        "revision": revision(),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1))
    print(f"{path}: {card['bytes']:,} bytes, grids at {arrays['grid_step'].tolist()}")


def thinned(path: Path, *, each: int) -> np.ndarray:
    """The first `each` samples of every class, (10 each, 28, 28)."""
    images = np.load(path)["images"]
    return images.reshape(10, -1, 28, 28)[:, :each].reshape(-1, 28, 28)


def revision() -> str:
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=("shipped", "cpu"), default="shipped")
    parser.add_argument("--folder", type=Path, help="runs/ and the recipe's name")
    parser.add_argument("--steps", type=int, help="as the recipe has it")
    parser.add_argument("--device", default="CPU", help="what it ran on, for the card")
    parser.add_argument("--ship-only", action="store_true", help="of the newest checkpoint")
    args = parser.parse_args()
    what = {"shipped": SHIPPED, "cpu": CPU}[args.recipe]
    folder = args.folder or ROOT / "runs" / what.name
    if not args.ship_only:
        steps = args.steps or what.train.steps
        command = ["--recipe", what.name, "--folder", str(folder), "--steps", str(steps)]
        if code := main_of_training(command):
            return code
    if what is SHIPPED:
        ship_weights(folder, device=args.device)
    ship_run(folder, what, device=args.device, grids=16 if what is SHIPPED else 6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
