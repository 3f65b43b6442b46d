"""Train the feature network of dmlib.metrics on Fashion-MNIST and ship it.

    python tools/make/train_features.py --data /usr/share/datasets/fashion-mnist

writes dmlib/assets/fashion_features.safetensors and its card. The data are the four original
files (Debian: `apt-get install dataset-fashion-mnist`); no test image is used for a choice.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlib.checkpoint import write
from dmlib.metrics import (
    FEATURES,
    Features,
    features_of,
    frechet_distance,
    frechet_floor,
    frechet_spread,
)

SEED = 0
EPOCHS = 6
BATCH = 128
RATE = 4e-3
FLOOR_N = (1000, 2000, 5000, 10000)


def read_idx(path: Path, header: int) -> Tensor:
    """The bytes after an IDX header of `header` bytes, uint8."""
    data = gzip.decompress(path.read_bytes())
    return torch.frombuffer(bytearray(data[header:]), dtype=torch.uint8)


def load(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) in [-1, 1] and labels (N,)."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz", 16).view(-1, 1, 28, 28)
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz", 8).long()
    return images.float() / 127.5 - 1, labels


def flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored with probability 1/2: a coat is a coat from both sides."""
    flip = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flip, x.flip(-1), x)


def train(x: Tensor, y: Tensor) -> Features:
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    net = Features().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    net.train()
    for epoch in range(EPOCHS):
        start, losses = time.perf_counter(), []
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            if len(rows) < BATCH:
                continue
            # bfloat16 in training only: half the time on the machine where it ran.
            with torch.autocast("cpu", torch.bfloat16):
                logits = net.classify(flipped(x[rows], generator))
            loss = F.cross_entropy(logits.float(), y[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch + 1}: loss {torch.stack(losses).mean():.4f}, {seconds:.0f} s", flush=True
        )
    return net.to(memory_format=torch.contiguous_format).eval()


@torch.no_grad()
def accuracy(net: Features, x: Tensor, y: Tensor) -> float:
    right = [
        net.classify(a).argmax(1) == b for a, b in zip(x.split(500), y.split(500), strict=True)
    ]
    return float(torch.cat(right).double().mean())


def measure(net: Features, train_x: Tensor, test_x: Tensor) -> dict[str, object]:
    """Floor and spread of the distance in this network's feature space."""
    a, b = features_of(train_x, net), features_of(test_x, net)
    generator = torch.Generator().manual_seed(SEED)
    floors = {}
    for n in FLOOR_N:
        values = frechet_floor(a, b, n=n, generator=generator)
        floors[str(n)] = {"mean": float(values.mean()), "std": float(values.std())}
    spread = frechet_spread(b, a, generator=generator)
    return {
        "train_against_test": frechet_distance(a, b),
        "floor_n_train_images_against_test_20_draws": floors,
        "spread_of_test_against_train_20_bootstraps": {
            "mean": float(spread.mean()),
            "std": float(spread.std()),
        },
    }


def git(*words: str) -> str:
    answer = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=FEATURES)
    options = parser.parse_args()
    start = time.perf_counter()
    train_x, train_y = load(options.data, "train")
    test_x, test_y = load(options.data, "t10k")
    net = train(train_x, train_y)
    seconds = time.perf_counter() - start
    right = accuracy(net, test_x, test_y)
    print(f"test accuracy {right:.4f} after {seconds:.0f} s")
    card = {
        "what": "feature network of dmlib.metrics: a Fashion-MNIST classifier, 64 features",
        "origin": "trained by this project on the 60,000 training images of Fashion-MNIST",
        "data": "Xiao, Rasul & Vollgraf 2017, MIT licence, copyright Zalando SE",
        "licence": "MIT",
        "command": "python tools/make/train_features.py",
        "revision": git("rev-parse", "HEAD"),
        "device": f"CPU {platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "training_seconds": round(seconds),
        "seed": SEED,
        "parameters": sum(p.numel() for p in net.parameters()),
        "metric": {"test_accuracy": right, "frechet": measure(net, train_x, test_x)},
    }
    done = write(options.out, net.state_dict(), card)
    print(f"{done.path}: {done.card['bytes']} bytes, {done.card['metric']}")


if __name__ == "__main__":
    main()
