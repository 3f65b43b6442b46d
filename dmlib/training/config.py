"""How to train: the numbers, and the learning rate that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dmlib._validate import check_int, check_real

RANGES: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 0, "open_low": True},
    "hold": {"low": 0, "high": 1, "open_high": True},
    "weight_decay": {"low": 0},
    "grad_clip": {"low": 0, "open_low": True},
    "ema_decay": {"low": 0, "high": 1, "open_high": True},
    "label_dropout": {"low": 0, "high": 1},
}
LEAST = {"steps": 1, "warmup": 0, "accumulation": 1, "t_buckets": 1, "seed": None}

WORDS = {
    "decay": ("cosine", "linear", "none"),
    "precision": ("float32", "bfloat16", "float16", "auto"),
    "weighting": ("simple", "v"),
}


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the network, the data and the schedule are told apart from it.

    Args:
        steps: of the optimizer, in all.
        learning_rate: of AdamW, at its highest.
        warmup: steps over which the rate rises from 0; if None, 500 or a tenth of `steps` where
            that is less (and a number once it is made).
        hold: share of the steps after the warm-up that keep the highest rate.
        decay: how it falls to 0 afterwards: "cosine", "linear" or "none".
        weight_decay: of AdamW.
        grad_clip: the gradient's norm is cut to this; 1e9 cuts nothing (JSON knows no infinity).
        ema_decay: of the averaged copy.
        label_dropout: share of labels replaced by the null class, for guidance.
        accumulation: batches that are added up to one step.
        precision: that the network computes in where it is safe (autocast): "float32",
            "bfloat16", "float16" (the loss is scaled up, so that small gradients do not vanish),
            or "auto", the fastest that the device has (`dtype_of`); weights stay float32.
        weighting: of the squared error by t: "simple" (none: L_simple), or "v", 1 / alpha_bar_t,
            which makes it the squared error of v.
        t_buckets: how many ranges of t the loss is reported for.
        seed: of everything that is drawn in training.
        compile: hand the network to torch.compile.

    Raises:
        ValueError: a value is out of its range.
    """

    steps: int
    learning_rate: float = 2e-3
    warmup: int | None = None
    hold: float = 0.0
    decay: str = "cosine"
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    ema_decay: float = 0.999
    label_dropout: float = 0.1
    accumulation: int = 1
    precision: str = "float32"
    weighting: str = "simple"
    t_buckets: int = 10
    seed: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # for it is frozen, and JSON knows no numbers of numpy
        if self.warmup is None:
            set_(self, "warmup", min(500, check_int("steps", self.steps, low=1) // 10))
        for name, low in LEAST.items():
            set_(self, name, check_int(name, getattr(self, name), low=low))
        for name, within in RANGES.items():
            set_(self, name, check_real(name, getattr(self, name), **within))
        for name, words in WORDS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, got {value!r}")
        if not isinstance(self.compile, bool):
            raise ValueError(f"compile must be True or False, got {self.compile!r}")


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step 1, 2, ..., config.steps: a linear rise, then the decay to (nearly) 0.

    Raises:
        ValueError: step is out of its range.
    """
    step = check_int("step", step, low=1, high=config.steps)
    if step <= config.warmup:
        return config.learning_rate * step / config.warmup
    share = (step - config.warmup - 1) / max(1, config.steps - config.warmup)  # in [0, 1)
    done = max(0.0, share - config.hold) / (1 - config.hold)
    if config.decay == "cosine":
        return config.learning_rate * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (1 - done if config.decay == "linear" else 1)
