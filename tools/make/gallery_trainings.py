"""The gallery's small trainings, each sound or with one real fault; weights go to runs/gallery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.data import fashion_mnist
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Batch, Training
from dmlib.training.recipes import SMOKE, Recipe

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs" / "gallery"
CLASSES = (0, 1, 7, 8)  # T-shirt, trouser, sneaker, bag: four shapes that cannot be confused
EVERY = 10  # steps that one point of a loss curve averages
BEFORE = 20  # steps before the end at which the good run is kept once more
RECIPE = replace(
    SMOKE,
    name="gallery",
    purpose="recognisable garments of four classes in minutes on one core",
    # The rate stays high to the end, as in Ho et al. 2020: then the average has work to do.
    train=TrainConfig(steps=3000, warmup=50, decay="none", weighting="v", ema_decay=0.99),
    batch_size=64,
    data="fashion",
)


@dataclass(frozen=True)
class Fault:
    """One training of the gallery: the recipe it uses and what it does to net and images.

    Args:
        recipe: of the run.
        scale: what the images, in [-1, 1], become before training.
        spoil: done to the fresh network.
    """

    recipe: Recipe = RECIPE
    scale: Callable[[Tensor], Tensor] = lambda x0: x0
    spoil: Callable[[nn.Module], None] = lambda net: None


def kill_top_skip(net: nn.Module) -> None:
    """Put zeros where the finest features of the way down join the way up."""
    unet = getattr(net, "net", net)
    joint = unet.up[-1].stages[0]

    def without_skip(module: nn.Module, inputs: tuple) -> tuple:
        h, *rest = inputs
        half = h.shape[1] // 2
        return (torch.cat([h[:, :half], torch.zeros_like(h[:, half:])], 1), *rest)

    joint.register_forward_pre_hook(without_skip)


def with_train(**changes: object) -> Recipe:
    """The gallery's recipe with other numbers for training."""
    return replace(RECIPE, train=replace(RECIPE.train, **changes))


TRAININGS = {
    "good": Fault(),
    "eps": Fault(recipe=replace(with_train(weighting="simple"), predicts="eps")),
    # Shorter: their faults show early.
    "unscaled": Fault(recipe=with_train(steps=600), scale=lambda x0: (x0 + 1) / 2),
    "dead_skip": Fault(recipe=with_train(steps=600), spoil=kill_top_skip),
    "high_rate": Fault(recipe=with_train(steps=100, learning_rate=0.1, warmup=0)),
}


def make_net(fault: Fault) -> nn.Module:
    """The untrained network, always the same one, with the fault built in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = fault.recipe.make_denoiser()
    fault.spoil(net)
    return net


def data(fault: Fault) -> Iterator[Batch]:
    """Endless batches of the four classes."""
    images, labels = fashion_mnist("train", progress=False)
    mine = torch.isin(labels, torch.tensor(CLASSES))
    source = shuffled(images[mine][:, None], labels[mine], batch_size=fault.recipe.batch_size)
    return ((fault.scale(x0), y) for x0, y in source)


def train(name: str) -> None:
    """Train one network and keep weights, average and curves in runs/gallery."""
    fault = TRAININGS[name]
    recipe = fault.recipe
    training = Training(make_net(fault), config=recipe.train)
    start, records = time.process_time(), []
    for record in training.run(data(fault)):
        records.append(record)
        if record.step == recipe.train.steps - BEFORE:
            keep(training, f"{name}_before", {})
        if record.step % 100 == 0:
            print(f"{name} {record.step}: loss {record.loss:.4f}", flush=True)
    groups = [records[i : i + EVERY] for i in range(0, len(records), EVERY)]
    card = {
        "loss": [sum(r.loss for r in g) / len(g) for g in groups],
        "step": [g[-1].step for g in groups],
        "cpu_seconds": round(time.process_time() - start),
    }
    keep(training, name, card)


def keep(training: Training, name: str, card: dict) -> None:
    """Write weights and average to runs/gallery."""
    tensors = {f"net.{k}": x for k, x in training.net.state_dict().items()}
    tensors |= {f"ema.{k}": x for k, x in training.ema.net.state_dict().items()}
    card = {"kind": "gallery", "name": name, **card}
    checkpoint.write(RUNS / f"{name}.safetensors", tensors, card)


def load(name: str, *, part: str = "ema") -> nn.Module:
    """A network that `train` kept: its average, or ("net") its raw weights.

    The name with `_before` at its end is the same training, BEFORE steps earlier.
    """
    found = checkpoint.read(RUNS / f"{name}.safetensors")
    net = make_net(TRAININGS[name.removesuffix("_before")])
    prefix = f"{part}."
    net.load_state_dict(
        {k.removeprefix(prefix): x for k, x in found.tensors.items() if k.startswith(prefix)}
    )
    return net.eval()
