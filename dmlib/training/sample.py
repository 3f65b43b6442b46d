"""Sample from a run by command: `python -m dmlib.training.sample runs/cpu --class 3 --n 64`.

Writes PNG files, n of them, into a folder; the weights are the run's averaged ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from dmlib.checkpoint import Card, load_unet
from dmlib.data import save_png
from dmlib.guidance import conditioned, guided
from dmlib.models import NetDenoiser
from dmlib.sampling import clipped, generate
from dmlib.steps import dpm_solver
from dmlib.training.device import fastest_device

CHUNK = 64  # samples at a time


def main(arguments: list[str] | None = None) -> int:
    """Sample; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m dmlib.training.sample", description=__doc__)
    add = parser.add_argument
    add("run", type=Path, help="folder of a run, or a file of weights")
    add("--class", dest="label", help="its number or name; all in turn if not given")
    add("--guidance", type=float, default=1.0, help="scale; 1 is plain conditioning")
    add("--n", type=int, default=16, help="number of pictures")
    add("--steps", type=int, default=20, help="of DPM-Solver++")
    add("--seed", type=int, default=0)
    add("--out", type=Path, help="folder for the pictures; RUN/samples if not given")
    add("--device", default=fastest_device())
    args = parser.parse_args(arguments)
    weights = args.run if args.run.suffix == ".safetensors" else args.run / "weights.safetensors"
    try:
        net, card = load_unet(weights)
        labels = _labels(net, card, args.label, n=args.n)
        pictures = draw(
            net.to(args.device),
            labels,
            n=args.n,
            guidance_scale=args.guidance,
            steps=args.steps,
            seed=args.seed,
        )
    except ValueError as error:
        parser.error(str(error))
    out = args.out or weights.parent / "samples"
    for i, picture in enumerate(pictures):
        save_png(out / f"{i:04d}.png", picture)
    print(f"{len(pictures)} pictures in {out}")
    return 0


def draw(
    net: NetDenoiser,
    labels: Tensor | None,
    *,
    n: int,
    guidance_scale: float = 1.0,
    steps: int = 20,
    seed: int = 0,
) -> Tensor:
    """n samples (n, C, H, W) uint8, by DPM-Solver++, x0_hat clipped.

    Args:
        net: whose weights are on the device that computes.
        labels: (n,) int64, or None for a network without classes.
        n: how many, >= 1.
        guidance_scale: see `guided`.
        steps: of the solver.
        seed: of the noise, the same on every device.
    """
    if n < 1:
        raise ValueError(f"n must be an integer >= 1, got {n}")
    device = next(net.parameters()).device
    noise = torch.randn((n, *net.config.shape), generator=torch.Generator().manual_seed(seed))
    parts = []
    for i in range(0, n, CHUNK):
        given = net
        if labels is not None:
            y = labels[i : i + CHUNK].to(device)
            plain = guidance_scale == 1
            given = conditioned(net, y) if plain else guided(net, y, guidance_scale=guidance_scale)
        xT = noise[i : i + CHUNK].to(device)
        generator = torch.Generator(device).manual_seed(seed)
        x0 = generate(clipped(given), xT, step=dpm_solver(), times=steps, generator=generator)
        parts.append(((x0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu())
    return torch.cat(parts)


def _labels(net: NetDenoiser, card: Card, label: str | None, *, n: int) -> Tensor | None:
    """(n,) of one class, or of all in turn; ValueError if there is no such class."""
    classes, names = net.num_classes, card.get("class_names") or []
    if classes is None:
        if label is not None:
            raise ValueError(f"class must be left out, got {label}: the network knows no classes")
        return None
    if label is None:
        return torch.arange(n) % classes
    k = names.index(label) if label in names else int(label) if label.isdecimal() else -1
    if not 0 <= k < classes:
        known = f" or one of {names}" if names else ""
        raise ValueError(f"class must be in 0..{classes - 1}{known}, got {label!r}")
    return torch.full((n,), k)


if __name__ == "__main__":
    sys.exit(main())
