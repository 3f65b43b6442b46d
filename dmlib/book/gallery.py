"""The gallery of broken runs (the book's page "When it goes wrong"), as it was recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dmlib.assets import ASSETS
from dmlib.schedules import NoiseSchedule

GALLERY = ASSETS / "gallery.npz"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One run, right or wrong: what came out of it, and how its training looked.

    Args:
        name: of the fault.
        training: name of the training that it used; faults of sampling share one.
        samples: (16, 28, 28) uint8, T-shirt, trouser, sneaker, bag in turn.
        step, loss: (P,), the training's curve.
        facts: "darkest", the level that a tenth of the pixels stay below; "grain", the mean
            difference of neighbours; "outside", the share of pixels beyond [-1, 1];
            "recognised", the share of samples that a classifier takes for what they should be.
    """

    name: str
    training: str
    samples: NDArray[np.uint8]
    step: NDArray[np.int32]
    loss: NDArray[np.float32]
    facts: dict[str, float]


def load_gallery() -> dict[str, Exhibit]:
    """All exhibits by name, "good" first."""
    arrays = np.load(GALLERY)
    card = json.loads(GALLERY.with_suffix(".json").read_text("utf-8"))
    exhibits = {}
    for entry, samples in zip(card["entries"], arrays["samples"], strict=True):
        name, training = entry["name"], entry["training"]
        facts = {k: v for k, v in entry.items() if k not in ("name", "training")}
        step, loss = arrays[f"step_{training}"], arrays[f"loss_{training}"]
        exhibits[name] = Exhibit(name, training, samples, step, loss, facts)
    return exhibits


@torch.no_grad()
def told_and_read(
    unet: nn.Module,  # answers with v_hat
    xT: Tensor,
    schedule: NoiseSchedule,
    *,
    told: Callable[[int], int] = lambda t: t,
    read: Callable[[int], int] = lambda t: t,
    steps: int = 20,
) -> Tensor:
    """Clipped DDIM: the network is told told(t), and v_hat is read with alpha_bar[read(t)]."""
    xt, bar = xT, schedule.alpha_bar.to(xT.dtype)
    times = [round(schedule.T * k / steps) for k in range(steps, -1, -1)]
    for t, s in pairwise(times):
        v_hat = unet(xt, told(t), torch.arange(len(xT)) % 10)
        eps_hat = (1 - bar[read(t)]).sqrt() * xt + bar[read(t)].sqrt() * v_hat
        x0_hat = ((xt - (1 - bar[t]).sqrt() * eps_hat) / bar[t].sqrt()).clamp(-1, 1)
        eps_hat = (xt - bar[t].sqrt() * x0_hat) / (1 - bar[t]).sqrt()
        xt = bar[s].sqrt() * x0_hat + (1 - bar[s]).sqrt() * eps_hat
    return xt
