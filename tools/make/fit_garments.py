"""Fit a mixture of low-rank Gaussians to Fashion-MNIST, and write it with its card.

    python tools/make/fit_garments.py

writes dmlib/assets/garment_mixture.npz and .json: a distribution that looks like garments and whose
every posterior is known, and 100 garments of the test split, which nothing in the book was trained
on. The data: Debian's dataset-fashion-mnist, else downloaded.

The Gaussians belong to the classes, some to each. Classification EM: every picture is given to the
Gaussian of its class that explains it best, and each Gaussian is fitted to its pictures by
principal components (Tipping & Bishop 1999, whose maximum likelihood solution that is).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from make_sample import LICENCE
from torch import Tensor

from dmlib.data import fashion_mnist, to_unit
from dmlib.data.fashion import FILES
from dmlib.data.garments import unpacked
from dmlib.mixture import LowRankMixture

SEED = 0
PER_CLASS, RANK, ROUNDS = 4, 24, 12
LEAST_STD = 0.05  # of a pixel; a border that is always black would have none
UNSEEN = 100
ASSETS = Path(__file__).parents[2] / "dmlib" / "assets"


def fit_one(x: Tensor) -> tuple[Tensor, Tensor, float, Tensor]:
    """mean (D,), axes (D, R), s and l (R,) of the Gaussian of rank R that fits x (N, D) best."""
    mean = x.mean(0)
    off = x - mean
    _, spread, axes = torch.svd_lowrank(off, q=RANK + 6, niter=4)
    found, axes = spread[:RANK] ** 2 / len(x), axes[:, :RANK]
    rest = (off.square().sum() / len(x) - found.sum()) / (x.shape[1] - RANK)
    std = max(float(rest) ** 0.5, LEAST_STD)
    return mean, axes, std, (found - std**2).clamp_min(0)


def as_mixture(parts: list, counts: Tensor) -> LowRankMixture:
    """One mixture of the Gaussians, each with its share of the pictures."""
    means, axes, stds, variances = zip(*parts, strict=True)
    weights = (counts.double() / counts.sum())[None]
    means, variances = (torch.stack(x).double()[None] for x in (means, variances))
    stds = torch.tensor(stds, dtype=torch.float64)[None]
    return LowRankMixture(weights, means, torch.stack(axes).double(), variances, stds)


def log_joint(mixture: LowRankMixture, x: Tensor) -> Tensor:
    """(N, K) in pieces."""
    return torch.cat([mixture._log_joint(part.double()) for part in x.split(512)])


def fit_class(x: Tensor, generator: torch.Generator) -> tuple[list, Tensor]:
    """The Gaussians of one class and how many pictures each has."""
    centres = x[torch.randperm(len(x), generator=generator)[:PER_CLASS]]
    belongs = torch.cdist(x, centres).argmin(1)
    for _ in range(ROUNDS):
        members = [x[belongs == k] for k in range(PER_CLASS)]
        parts, counts = [fit_one(m) for m in members], torch.tensor([len(m) for m in members])
        belongs = log_joint(as_mixture(parts, counts), x).argmax(1)
        print(counts.tolist(), end=" ", flush=True)
    print()
    return parts, counts


def packed(mixture: LowRankMixture) -> dict[str, np.ndarray]:
    """In 8 bits a number, with a scale for each row: what is shipped is the mixture."""
    factors = (mixture.axes * mixture.variances[0, :, None].sqrt()).mT  # (K, R, D)
    rows = torch.cat([mixture.means[0][:, None], factors], 1)
    scale = rows.abs().amax(2, keepdim=True) / 127
    return {
        "codes": (rows / scale).round().to(torch.int8).numpy(),
        "scale": scale[..., 0].float().numpy(),
        "weights": mixture.weights[0].float().numpy(),
        "stds": mixture.stds[0].float().numpy(),
    }


def main() -> None:
    """Fit, write, say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ASSETS)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.manual_seed(SEED)  # of svd_lowrank
    generator, start = torch.Generator().manual_seed(SEED), time.process_time()
    images, labels = fashion_mnist("train")
    x = to_unit(images).flatten(1)
    fitted = [fit_class(x[labels == y], generator) for y in range(10)]
    parts = [part for some, _ in fitted for part in some]
    arrays = packed(as_mixture(parts, torch.cat([counts for _, counts in fitted])))
    seconds = time.process_time() - start
    mixture = unpacked(arrays)
    others, of_class = fashion_mnist("test")
    chosen = torch.cat([(of_class == y).nonzero()[: UNSEEN // 10, 0] for y in range(10)])
    chosen = chosen.view(10, -1).T.flatten()  # the classes take turns
    arrays |= {"unseen": others[chosen].numpy(), "unseen_indices": chosen.numpy()}
    nats = {
        name: mixture.log_prob(to_unit(some[:2000]).flatten(1).double())
        for name, some in (("train", images), ("test", others))
    }
    own = mixture.repeated(500).sample(generator)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    (out / "garment_mixture.npz").write_bytes(file.getvalue())
    card = {
        "what": f"A mixture of {len(parts)} Gaussians of rank {RANK}, {PER_CLASS} to each class of "
        "Fashion-MNIST, images in [-1, 1]; codes (K, 1 + R, 784) int8 and scale: mean and factors. "
        f"unseen: {UNSEEN} images of the test split, image i of class i % 10, and where they stand",
        "origin": "Fashion-MNIST, Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
        "origin_sha256": {f.name: f.sha256 for split in FILES.values() for f in split},
        "licence": LICENCE,
        "command": "python tools/make/fit_garments.py",
        "seed": SEED,
        "cpu_seconds": round(seconds),
        "torch": torch.__version__,
        "log_prob_nats": {
            k: {"mean": round(float(v.mean()), 1), "std": round(float(v.std()), 1), "n": len(v)}
            for k, v in {**nats, "own samples": mixture.log_prob(own)}.items()
        },
        "sha256": hashlib.sha256(file.getvalue()).hexdigest(),
        "bytes": len(file.getvalue()),
    }
    (out / "garment_mixture.json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps({k: card[k] for k in ("cpu_seconds", "log_prob_nats", "bytes")}))


if __name__ == "__main__":
    main()
