"""Whole recipes, each one frozen: network, schedule, training, batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dmlib._validate import check_int
from dmlib.data import Pictures
from dmlib.models import NetDenoiser, UNet, UNetConfig, predicts_eps, predicts_v
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule
from dmlib.training.batches import cifar, fashion, sample
from dmlib.training.config import TrainConfig
from dmlib.training.device import fast_bfloat16

FUNCTIONS = {"predicts": predicts_v, "data": fashion, "schedule": cosine_schedule}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, but the machine.

    Args:
        name: what one calls it by.
        purpose: one sentence for whoever chooses.
        net: the network's shape.
        train: how to train it.
        batch_size: of all processes together, for one pass; times train.accumulation for a step.
        predicts: makes a denoiser of the network: `predicts_eps`, `predicts_v` or `predicts_x0`.
        data: gives images and labels, data(folder), such as `fashion`; `Session` and `train_here`
            also take data of your own.
        schedule: makes the variance schedule, schedule(T).
        T: number of noising steps.
        flips: show every other image turned round, left and right.
        preview_every: steps between two grids of samples.
        save_every: steps between two checkpoints.
        log_every: steps that one line of the log averages.

    Raises:
        ValueError: a value is out of its range.
    """

    name: str
    purpose: str
    net: UNetConfig
    train: TrainConfig
    batch_size: int
    predicts: Callable[[nn.Module, NoiseSchedule], NetDenoiser] = predicts_eps
    data: Callable[[str | None], tuple[Tensor, Tensor | None]] = fashion
    schedule: Callable[[int], NoiseSchedule] = cosine_schedule
    T: int = 1000
    flips: bool = False
    preview_every: int = 1000
    save_every: int = 500
    log_every: int = 25

    def __post_init__(self) -> None:
        for name in FUNCTIONS:
            value = getattr(self, name)
            if not callable(value):
                fix = FUNCTIONS[name].__name__
                raise ValueError(f"{name} must be a function, got {value!r}; try: {fix}")
        for name, kind in (("net", UNetConfig), ("train", TrainConfig)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ValueError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
        for name in ("batch_size", "T", "preview_every", "save_every", "log_every"):
            object.__setattr__(self, name, check_int(name, getattr(self, name), low=1))
        if not isinstance(self.flips, bool):
            raise ValueError(f"flips must be True or False, got {self.flips!r}")

    def make_denoiser(self) -> NetDenoiser:
        """An untrained network with its schedule; draws from torch's global generator."""
        net = UNet(self.net).to(memory_format=torch.channels_last)
        return self.predicts(net, self.make_schedule())

    def make_schedule(self) -> NoiseSchedule:
        """The recipe's variance schedule."""
        return self.schedule(self.T)

    def described(self) -> dict[str, Any]:
        """The recipe as JSON values, for a card; of a function, its name."""
        return {
            name: getattr(value, "__name__", repr(value)) if callable(value) else value
            for name, value in asdict(self).items()
        }


_SMALL = UNetConfig(widths=(48, 64), blocks=1, attention=(7,), emb_dim=64, num_classes=10, patch=2)

SMOKE = Recipe(
    name="smoke",
    purpose="does it run at all: under a minute on a CPU, with the book's own pictures",
    net=UNetConfig(widths=(32, 32), blocks=1, attention=(7,), emb_dim=32, num_classes=10, patch=2),
    train=TrainConfig(steps=240, warmup=20, weighting="v", ema_decay=0.98),
    predicts=predicts_v,
    batch_size=32,
    data=sample,
    preview_every=80,
    save_every=80,
    log_every=5,
)
CPU = Recipe(
    name="cpu",
    purpose="recognisable garments from two CPU cores in some 17 minutes",
    net=_SMALL,
    train=TrainConfig(steps=2_500, warmup=200, weighting="v", ema_decay=0.995, precision="auto"),
    predicts=predicts_v,
    batch_size=128,
    preview_every=250,
    save_every=250,
)
SHIPPED = Recipe(
    name="shipped",
    purpose="the weights that come with dmlib: the network of cpu, trained longer",
    net=_SMALL,
    train=TrainConfig(
        steps=20_000, warmup=400, hold=0.5, weighting="v", ema_decay=0.999, precision="auto"
    ),
    predicts=predicts_v,
    batch_size=64,
    preview_every=300,
    save_every=250,
)
T4 = Recipe(
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
    predicts=predicts_v,
    batch_size=128,
)
BIG = Recipe(
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
    predicts=predicts_v,
    batch_size=256,
)
CIFAR10 = Recipe(
    name="cifar10",
    purpose="after Ho et al. 2020 for CIFAR-10; other than theirs are our U-Net (of the same size) "
    "and bfloat16: 5 to 10 hours on an A100 (estimate)",
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
    data=cifar,
    flips=True,
    schedule=linear_schedule,
    preview_every=10_000,
    save_every=5_000,
)
RECIPES = (SMOKE, CPU, SHIPPED, T4, BIG, CIFAR10)


def choose_recipe() -> Recipe:
    """The recipe for the machine that this runs on.

    Returns:
        BIG on a GPU of Ampere or newer with at least 20 GiB of memory, T4 on any other CUDA GPU,
        CPU elsewhere.
    """
    if not torch.cuda.is_available():
        return CPU
    large = torch.cuda.get_device_properties(0).total_memory >= 20 * 2**30
    return BIG if large and fast_bfloat16("cuda") else T4


def in_pieces(recipe: Recipe, pieces: int = 2) -> Recipe:
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


def fitted(recipe: Recipe, images: Tensor | Pictures, labels: Tensor | None = None) -> Recipe:
    """The recipe with the network that these data need: their size, colours and classes.

    Self-attention goes to the feature maps of at most 16 pixels; a batch larger than the data is
    cut to them.

    Args:
        recipe: of another network.
        images: (N, C, H, W), or what `data.folder` gives, with its labels.
        labels: (N,) int64 from 0, or None for a network without classes.

    Raises:
        ValueError: the sizes cannot be halved as often as the network does; says what fits.
    """
    if isinstance(images, Pictures):
        images, labels = images.images, images.labels
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.numel():
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor (N, C, H, W) with N >= 1, got {got}")
    channels, *sides = images.shape[1:]
    classes = None if labels is None else int(labels.max()) + 1
    shape = {"image_size": tuple(sides), "channels": channels, "num_classes": classes}
    net = replace(recipe.net, **shape, attention=())
    net = replace(net, attention=tuple(size for size in net.sizes if size <= 16))
    return replace(recipe, net=net, batch_size=min(recipe.batch_size, len(images)))
