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
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.batches import shuffled
from dmlib.data import fashion_mnist
from dmlib.forward import q_sample
from dmlib.models import EpsFromV, UNet, UNetConfig
from dmlib.models.blocks import SelfAttention
from dmlib.schedules import cosine_schedule
from dmlib.train_config import TrainConfig
from dmlib.training import Training

ROOT = Path(__file__).resolve().parents[1]
ASSET = ROOT / "dmlib" / "assets" / "unet_ablations.npz"
RUNS = ROOT / "runs" / "ablations"
NET = UNetConfig(widths=(24, 48), blocks=1, attention=(7,), emb_dim=64, num_classes=10, patch=2)
STEPS, BATCH, EVERY = 1_200, 32, 40
T = 1000
TIMES = (5, 20, *range(50, 1000, 50), 990)
TESTED, SAMPLED, EACH = 1_000, 1_000, 2


def as_it_is(net: UNet) -> None:
    """The whole network."""


def without_skips(net: UNet) -> None:
    """Each block on the way up gets its own input twice, and nothing from its partner."""

    def twice(_: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, emb = inputs  # x holds what comes from below, then the skip
        below, _skip = x.chunk(2, dim=1)
        return torch.cat([below, below], dim=1), emb

    for level in net.up:
        for stage in level.stages:
            stage.register_forward_pre_hook(twice)


def without_time(net: UNet) -> None:
    """Whatever t is, the network is told t = 0."""
    net.conditioning.register_forward_pre_hook(
        lambda _, inputs: (torch.zeros_like(inputs[0]), *inputs[1:])
    )


class Alone(SelfAttention):
    """Attention in which every pixel looks at itself only: softmax(Q K^T / sqrt(D)) = I."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        _, _, v = self.qkv(tokens).chunk(3, dim=2)
        return x + self.out(v).transpose(1, 2).unflatten(2, x.shape[2:])


def without_attention(net: UNet) -> None:
    """Every attention layer becomes an `Alone` with the same weights."""
    stages = [module for module in net.modules() if getattr(module, "attention", None) is not None]
    for stage in stages:
        old = stage.attention
        stage.attention = Alone(old.out.in_features, heads=old.heads, groups=old.norm.num_groups)
        stage.attention.load_state_dict(old.state_dict())


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
        eps_hat = torch.cat([net(a, t, b) for a, b in zip(xt.split(100), y.split(100))])  # noqa: B905
        rows.append((eps - eps_hat).square().flatten(1).mean(1).double().numpy())
    return np.stack(rows)  # (times, images)


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
