"""Whole recipes, each one frozen: network, schedule, training, batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from dmlib.models import NetDenoiser, UNet, UNetConfig, predicts_eps, predicts_v
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule
from dmlib.training.config import TrainConfig


@dataclass(frozen=True)
class Preset:
    """Everything that decides a run, but the machine.

    Args:
        name: what one calls it by.
        purpose: one sentence for whoever chooses.
        net: the network's shape.
        train: how to train it.
        predicts: what the network says, "eps" or "v".
        batch_size: of all processes together, for one pass; times train.accumulation for a step.
        data: "sample" (shipped with dmlib), "fashion" or "cifar10".
        schedule: "cosine" or "linear".
        T: number of noising steps.
        preview_every: steps between two grids of samples.
        save_every: steps between two checkpoints.
        log_every: steps that one line of the log averages.
    """

    name: str
    purpose: str
    net: UNetConfig
    train: TrainConfig
    batch_size: int
    predicts: str = "eps"
    data: str = "fashion"
    schedule: str = "cosine"
    T: int = 1000
    preview_every: int = 1000
    save_every: int = 500
    log_every: int = 25

    def __post_init__(self) -> None:
        if self.data not in ("sample", "fashion", "cifar10"):
            raise ValueError(f'data must be "sample", "fashion" or "cifar10", got {self.data!r}')
        if self.schedule not in ("cosine", "linear"):
            raise ValueError(f'schedule must be "cosine" or "linear", got {self.schedule!r}')
        if self.predicts not in ("eps", "v"):
            raise ValueError(f'predicts must be "eps" or "v", got {self.predicts!r}')
        for name in ("batch_size", "T", "preview_every", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")

    def make_denoiser(self) -> NetDenoiser:
        """An untrained network with its schedule; draws from torch's global generator."""
        net = UNet(self.net).to(memory_format=torch.channels_last)
        make = predicts_eps if self.predicts == "eps" else predicts_v
        return make(net, self.make_schedule())

    def make_schedule(self) -> NoiseSchedule:
        """The variance schedule that the preset names."""
        return (cosine_schedule if self.schedule == "cosine" else linear_schedule)(self.T)


_SMALL = UNetConfig(widths=(48, 64), blocks=1, attention=(7,), emb_dim=64, num_classes=10, patch=2)

SMOKE = Preset(
    name="smoke",
    purpose="does it run at all: under a minute on a CPU, with the book's own pictures",
    net=UNetConfig(widths=(32, 32), blocks=1, attention=(7,), emb_dim=32, num_classes=10, patch=2),
    train=TrainConfig(steps=240, warmup=20, weighting="v", ema_decay=0.98),
    predicts="v",
    batch_size=32,
    data="sample",
    preview_every=80,
    save_every=80,
    log_every=5,
)
CPU = Preset(
    name="cpu",
    purpose="recognisable garments from two CPU cores in some 17 minutes",
    net=_SMALL,
    train=TrainConfig(steps=2_500, warmup=200, weighting="v", ema_decay=0.995, precision="auto"),
    predicts="v",
    batch_size=128,
    preview_every=250,
    save_every=250,
)
SHIPPED = Preset(
    name="shipped",
    purpose="the weights that come with dmlib: the network of cpu, trained longer",
    net=_SMALL,
    train=TrainConfig(
        steps=20_000, warmup=400, hold=0.5, weighting="v", ema_decay=0.999, precision="auto"
    ),
    predicts="v",
    batch_size=64,
    preview_every=300,
    save_every=250,
)
T4 = Preset(
    name="t4",
    purpose="good garments on a free Colab GPU",
    net=UNetConfig(widths=(64, 128, 128), blocks=2, attention=(7, 14), num_classes=10),
    train=TrainConfig(
        steps=20_000,
        learning_rate=1e-3,
        warmup=500,
        weighting="v",
        ema_decay=0.9995,
        precision="auto",
    ),
    predicts="v",
    batch_size=128,
)
BIG = Preset(
    name="big",
    purpose="the best garments, on an A100 or H100",
    net=UNetConfig(
        widths=(128, 256, 256),
        blocks=2,
        attention=(7, 14),
        emb_dim=256,
        num_classes=10,
        dropout=0.1,
    ),
    train=TrainConfig(
        steps=30_000,
        learning_rate=6e-4,
        warmup=1_000,
        weighting="v",
        ema_decay=0.9995,
        precision="auto",
        compile=True,
    ),
    predicts="v",
    batch_size=256,
)
CIFAR10 = Preset(
    name="cifar10",
    purpose="the recipe of Ho et al. 2020 for CIFAR-10, our U-Net of the same size: hours on a GPU",
    net=UNetConfig(
        image_size=32,
        channels=3,
        widths=(128, 256, 288, 288),
        blocks=2,
        attention=(16,),
        heads=1,
        emb_dim=512,
        groups=32,
        dropout=0.1,
        num_classes=10,
    ),
    train=TrainConfig(
        steps=800_000,
        learning_rate=2e-4,
        warmup=5_000,
        decay="none",
        ema_decay=0.9999,
        precision="auto",
    ),
    batch_size=128,
    data="cifar10",
    schedule="linear",
    preview_every=10_000,
    save_every=5_000,
)
PRESETS = (SMOKE, CPU, SHIPPED, T4, BIG, CIFAR10)


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    for candidate in PRESETS:
        if candidate.name == name:
            return candidate
    raise ValueError(f"name must be one of {[p.name for p in PRESETS]}, got {name!r}")


def choose_preset() -> Preset:
    """The preset for the machine that this runs on.

    Returns:
        "big" on a GPU of Ampere or newer with at least 20 GiB of memory, "t4" on any other CUDA
        GPU, "cpu" elsewhere.
    """
    if not torch.cuda.is_available():
        return CPU
    large = torch.cuda.get_device_properties(0).total_memory >= 20 * 2**30
    return BIG if large and torch.cuda.get_device_capability(0) >= (8, 0) else T4


def in_pieces(recipe: Preset, pieces: int = 2) -> Preset:
    """The same training in smaller batches, which are added up to one step: it needs less memory.

    Args:
        recipe: whose batch is too large.
        pieces: that each batch is cut into, >= 1.

    Raises:
        ValueError: the batch cannot be cut evenly.
    """
    if pieces < 1 or recipe.batch_size % pieces:
        raise ValueError(
            f"pieces must divide the batch of {recipe.batch_size} images, got {pieces}"
        )
    train = replace(recipe.train, accumulation=recipe.train.accumulation * pieces)
    return replace(recipe, batch_size=recipe.batch_size // pieces, train=train)
