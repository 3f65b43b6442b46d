"""Train one network to predict eps, x0 and v, on the toy and on images, and ship the outcome.

    python tools/make/train_toys.py train --data toy     # about a minute each on one CPU core
    python tools/make/train_toys.py train --data images  # ten minutes each; one alone: --target eps
    python tools/make/train_toys.py ship

Chapter 3 compares the three. Alike means: the same network and first weights, the same data, noise
and times in the same order, the same optimizer and number of steps, and the plain mean squared
error of what the network predicts. `train` writes weights into runs/toys, `ship` measures them on
data that they have not seen and writes dmlib/assets/toy_targets.npz (arrays only) and its card.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.data import ground_truth_mixture
from dmlib.forward import q_sample
from dmlib.models import MLP, UNet, UNetConfig, predicts_eps, predicts_v, predicts_x0
from dmlib.oracle import FiniteOracle, MixtureOracle
from dmlib.sampling import clipped, generate
from dmlib.schedules import NoiseSchedule, at, cosine_schedule
from dmlib.steps import ddim
from dmlib.training.batches import shuffled
from dmlib.training.ema import EMA

ROOT = Path(__file__).parents[2]
RUNS, ASSETS = ROOT / "runs" / "toys", ROOT / "dmlib" / "assets"
FASHION = Path("/usr/share/datasets/fashion-mnist")
TARGETS = ("eps", "x0", "v")
SEED = 0
EMA_DECAY = 0.99
TIMES = (1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 980, 990, 998)


@dataclass(frozen=True)
class Task:
    """One data set with its network and training."""

    steps: int
    batch_size: int
    learning_rate: float


TASKS = {"toy": Task(3000, 256, 2e-3), "images": Task(1500, 64, 2e-3)}


def make_net(data: str) -> nn.Module:
    """The untrained network; every target begins with the same weights."""
    torch.manual_seed(SEED)
    if data == "toy":
        return MLP(1, width=64, depth=3)
    config = UNetConfig(widths=(32, 48), blocks=1, attention=(7,), emb_dim=48, patch=2)
    return UNet(config).to(memory_format=torch.channels_last)


def images(split: str) -> Tensor:
    """Fashion-MNIST, uint8, (N, 1, 28, 28); split is "train" or "t10k"."""
    raw = gzip.decompress((FASHION / f"{split}-images-idx3-ubyte.gz").read_bytes())
    return torch.tensor(np.frombuffer(raw, np.uint8, offset=16)).view(-1, 1, 28, 28)


def training_data(data: str) -> Tensor:
    if data == "images":
        return images("train")
    return ground_truth_mixture().sample(50_000, torch.Generator().manual_seed(SEED)).float()


def value_of(target: str, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    """eps, x_0, or v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0."""
    if target == "v":
        alpha_bar = schedule.alpha_bar
        return at(alpha_bar.sqrt(), t, x0) * eps - at((1 - alpha_bar).sqrt(), t, x0) * x0
    return {"eps": eps, "x0": x0}[target]


def train(data: str, target: str) -> None:
    """Train one network and write its averaged weights, unless they are there already."""
    path = RUNS / f"{data}_{target}.safetensors"
    if path.exists():
        print(f"{path} is there already", flush=True)
        return
    task, schedule = TASKS[data], cosine_schedule(1000)
    net = make_net(data)
    average = EMA(net, decay=EMA_DECAY)
    optimizer = torch.optim.Adam(net.parameters(), lr=task.learning_rate)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, task.learning_rate, task.steps)
    generator = torch.Generator().manual_seed(SEED)
    batches = shuffled(training_data(data), None, batch_size=task.batch_size, seed=SEED)
    start, losses = time.perf_counter(), []
    for step in range(1, task.steps + 1):
        x0, _ = next(batches)
        t = torch.randint(1, schedule.T + 1, (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        xt = q_sample(x0, t, eps, schedule=schedule)
        loss = (net(xt, t) - value_of(target, x0, eps, t, schedule)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rate.step()
        average.update(net)
        losses.append(loss.item())
        if step % (task.steps // 20) == 0:
            recent = np.mean(losses[-task.steps // 20 :])
            print(
                f"{data} {target} {step} {recent:.4f} {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    seconds = round(time.perf_counter() - start)
    card = {"target": target, "data": data, "steps": task.steps, "seconds": seconds}
    checkpoint.write(path, dict(average.net.state_dict()), card)


def load(data: str, target: str) -> tuple[nn.Module, int]:
    """The trained network and the seconds that it took."""
    found = checkpoint.read(RUNS / f"{data}_{target}.safetensors")
    net = make_net(data)
    net.load_state_dict(found.tensors)
    return net.eval(), found.card["seconds"]


@torch.no_grad()
def toy_excess(net: nn.Module, target: str, schedule: NoiseSchedule) -> list[float]:
    """Mean squared distance from the exact answer, by integration over q(x_t), at each of TIMES."""
    toy, x = ground_truth_mixture(), torch.linspace(-6, 6, 1201, dtype=torch.float64)[:, None]
    oracle, errors = MixtureOracle(ground_truth_mixture(), schedule=schedule), []
    for t in TIMES:
        times = torch.full((len(x),), t)
        exact = value_of(target, *oracle(x, t), times, schedule)
        square = (net(x.float(), times).double() - exact)[:, 0] ** 2
        weight = toy.diffused(schedule.alpha_bar[t]).log_prob(x).exp()
        errors.append(float(torch.trapezoid(weight * square, x[:, 0])))
    return errors


@torch.no_grad()
def image_error(net: nn.Module, target: str, x0: Tensor, schedule: NoiseSchedule) -> list[float]:
    """Mean squared error of the target on unseen images, per pixel, at each of TIMES."""
    eps, errors = torch.randn(x0.shape, generator=torch.Generator().manual_seed(SEED)), []
    for t in TIMES:
        times = torch.full((len(x0),), t)
        xt = q_sample(x0, times, eps, schedule=schedule)
        value = torch.cat([net(a, b) for a, b in zip(xt.split(64), times.split(64), strict=True)])
        errors.append(float((value - value_of(target, x0, eps, times, schedule)).square().mean()))
    return errors


def memory_error(x0: Tensor, schedule: NoiseSchedule) -> list[float]:
    """The same for x_0 and the exact denoiser of the 60,000 training images."""
    oracle = FiniteOracle(images("train").float() / 127.5 - 1, schedule=schedule)
    eps, errors = torch.randn(x0.shape, generator=torch.Generator().manual_seed(SEED)), []
    for t in TIMES:
        xt = q_sample(x0, t, eps, schedule=schedule)
        errors.append(float((oracle(xt, t).x0_hat - x0).square().mean()))
        print(f"exact denoiser of the training images, t = {t}: {errors[-1]:.4f}", flush=True)
    return errors


def samples_of(net: nn.Module, target: str, shape: tuple[int, ...]) -> Tensor:
    """DDIM, 50 steps, the same x_T for every target; x0_hat clipped for images only."""
    schedule = cosine_schedule(1000)
    xT = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    denoiser = {"eps": predicts_eps, "x0": predicts_x0, "v": predicts_v}[target](net, schedule)
    if len(shape) == 4:  # without clipping, eps_hat over a tiny sqrt(alpha_bar) ruins the start
        denoiser = clipped(denoiser)
    return generate(denoiser, xT, step=ddim(), times=50)


def ship() -> None:
    """Measure the networks, three of each data set, and write the asset with its card."""
    schedule, test = cosine_schedule(1000), images("t10k")[:256].float() / 127.5 - 1
    arrays: dict[str, np.ndarray] = {"times": np.array(TIMES, np.int32)}
    seconds: dict[str, list[int]] = {}
    for data, shape in (("toy", (4000, 1)), ("images", (10, 1, 28, 28))):
        if not all((RUNS / f"{data}_{target}.safetensors").exists() for target in TARGETS):
            print(f"{data}: not trained yet, left out")
            continue
        nets = [load(data, target) for target in TARGETS]
        seconds[data] = [took for _, took in nets]
        pairs = [(net, target) for (net, _), target in zip(nets, TARGETS, strict=True)]
        if data == "toy":
            error = [toy_excess(net, target, schedule) for net, target in pairs]
        else:
            error = [image_error(net, target, test, schedule) for net, target in pairs]
        arrays[f"{data}_error"] = np.array(error, np.float64)  # (3, times), each of its own target
        drawn = torch.stack([samples_of(net, target, shape) for net, target in pairs]).numpy()
        if data == "images":
            drawn = ((drawn[:, :, 0] + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
        arrays[f"{data}_samples"] = drawn.squeeze(-1) if data == "toy" else drawn
    if "images" in seconds:
        arrays["memory_error"] = np.array(memory_error(test[:64], schedule), np.float64)
    path = ASSETS / "toy_targets.npz"
    np.savez_compressed(path, **arrays)
    card = {
        "what": "one network trained alike to predict eps, x0 and v (in this order): its error on "
        "unseen data at each of `times` (toy: squared distance from the exact answer), samples "
        "(DDIM, 50 steps; x0_hat clipped for images), and the error in x0 of the exact denoiser "
        "of the training images",
        "data": "the book's 1-D toy; Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 "
        "training images, error on 256 test images (64 for the exact denoiser)",
        "data_licence": "MIT, Copyright (c) 2017 Zalando SE",
        "licence": "MIT",
        "command": "python tools/make/train_toys.py train --data toy; "
        "python tools/make/train_toys.py train --data images; python tools/make/train_toys.py ship",
        "revision": git("rev-parse", "HEAD"),
        "device": f"CPU {platform.machine()}, 1 thread, shared with other work",
        "torch": torch.__version__,
        "seed": SEED,
        "schedule": "cosine, T = 1000",
        "tasks": {name: vars(task) for name, task in TASKS.items()},
        "parameters": {d: sum(p.numel() for p in make_net(d).parameters()) for d in TASKS},
        "training_seconds": seconds,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1))
    print(f"{path}: {card['bytes']:,} bytes")


def git(*words: str) -> str:
    answer = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=ROOT)
    return answer.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "ship"))
    parser.add_argument("--data", choices=tuple(TASKS), default="toy")
    parser.add_argument("--target", choices=TARGETS, help="this one alone")
    options = parser.parse_args()
    if options.what == "ship":
        ship()
        return
    for target in [options.target] if options.target else TARGETS:
        train(options.data, target)


if __name__ == "__main__":
    main()
