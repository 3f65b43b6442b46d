"""Make the gallery of "When it goes wrong": small trainings, each with one real fault.

    python tools/make_gallery.py [--train NAME ...] [--draw]

Trains what is asked for (or all), keeps the weights in runs/gallery, and with --draw samples from
them, right and wrong, and writes dmlib/assets/gallery.npz with its card. Everything is seeded.
One training takes about three minutes on one CPU core; a fault of sampling needs none of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.batches import shuffled
from dmlib.data import fashion_mnist
from dmlib.presets import SMOKE, Preset
from dmlib.train_config import TrainConfig
from dmlib.training import Batch, Training

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "gallery"
CLASSES = (0, 1, 7, 8)  # T-shirt, trouser, sneaker, bag: four shapes that cannot be confused
EVERY = 10  # steps that one point of a loss curve averages
RECIPE = replace(
    SMOKE,
    name="gallery",
    purpose="recognisable garments of four classes in three minutes on one core",
    # The rate stays high to the end, as in Ho et al. 2020: then the average has work to do.
    train=TrainConfig(steps=800, warmup=50, decay="none", weighting="v", ema_decay=0.99),
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

    recipe: Preset = RECIPE
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


def with_train(**changes: object) -> Preset:
    """The gallery's recipe with other numbers for training."""
    return replace(RECIPE, train=replace(RECIPE.train, **changes))


TRAININGS = {
    "good": Fault(),
    "eps": Fault(recipe=replace(with_train(weighting="simple"), predicts="eps")),
    "unscaled": Fault(scale=lambda x0: (x0 + 1) / 2),
    "dead_skip": Fault(spoil=kill_top_skip),
    "high_rate": Fault(recipe=with_train(learning_rate=0.1, warmup=0)),
    "forward_beta": Fault(),  # the fault is in `ForwardBeta`
}


class ForwardBeta(Training):
    """x_t = sqrt(alpha_bar_t) x_0 + (1 - alpha_bar_t) eps: the variance where its root belongs."""

    def _losses(self, x0: Tensor, y: Tensor | None, draw: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        t, eps, dropped = draw
        bar = self.schedule.alpha_bar[t].float()[:, None, None, None]
        xt = bar.sqrt() * x0 + (1 - bar) * eps
        eps_hat = self.wrapped(xt, t, y.masked_fill(dropped, 10))
        return (eps - eps_hat).square().flatten(1).mean(1)


def make_net(fault: Fault) -> nn.Module:
    """The untrained network, always the same one, with the fault built in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = fault.recipe.make_net()
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
    make = ForwardBeta if name == "forward_beta" else Training
    training = make(
        make_net(fault), schedule=fault.recipe.make_schedule(), config=fault.recipe.train
    )
    start, records = time.process_time(), []
    for record in training.run(data(fault)):
        records.append(record)
        if record.step % 100 == 0:
            print(f"{name} {record.step}: loss {record.loss:.4f}", flush=True)
    tensors = {f"net.{k}": x for k, x in training.net.state_dict().items()}
    tensors |= {f"ema.{k}": x for k, x in training.ema.net.state_dict().items()}
    groups = [records[i : i + EVERY] for i in range(0, len(records), EVERY)]
    card = {
        "kind": "gallery",
        "name": name,
        "loss": [sum(r.loss for r in g) / len(g) for g in groups],
        "step": [g[-1].step for g in groups],
        "cpu_seconds": round(time.process_time() - start),
    }
    checkpoint.write(RUNS / f"{name}.safetensors", tensors, card)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", nargs="*", choices=list(TRAININGS), metavar="NAME")
    args = parser.parse_args()
    names = list(TRAININGS) if args.train == [] else args.train or []
    for name in names:
        train(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
