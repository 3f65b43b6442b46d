"""Laws of the recipes."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import FrozenInstanceError, asdict, replace

import pytest
import torch

from dmlib.models import UNet
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.recipes import CIFAR10, PRESETS, SMOKE, preset


@pytest.mark.parametrize("recipe", PRESETS, ids=lambda p: p.name)
def test_preset_is_found_by_its_name_frozen_and_can_be_written_down(recipe):
    assert preset(recipe.name) is recipe
    with pytest.raises(FrozenInstanceError):
        recipe.batch_size = 1
    assert json.loads(json.dumps(asdict(recipe)))["name"] == recipe.name
    assert recipe.make_schedule().T == recipe.T
    with torch.device("meta"):
        net = UNet(recipe.net)
    assert net.num_classes == 10


def test_cifar10_has_the_size_of_the_papers_network():
    with torch.device("meta"):
        count = sum(p.numel() for p in UNet(CIFAR10.net).parameters())
    # Ho et al. 2020, appendix B: 35.7 million.
    assert abs(count / 35.7e6 - 1) < 0.05


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"^name must be one of \['smoke'"):
        preset("huge")


@pytest.mark.parametrize(
    "change", [{"data": "mnist"}, {"predicts": "x0"}, {"schedule": "flat"}, {"batch_size": 0}]
)
def test_impossible_preset_is_refused(change):
    with pytest.raises(ValueError, match=f"^{next(iter(change))} must be"):
        replace(SMOKE, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"accumulation": 0},
        {"warmup": -1},
        {"learning_rate": 0.0},
        {"grad_clip": math.nan},
        {"decay": "sudden"},
        {"label_dropout": 1.5},
        {"hold": 1.0},
        {"ema_decay": 1.0},
        {"weighting": "x0"},
    ],
)
def test_impossible_training_is_refused(change):
    with pytest.raises(ValueError, match=f"^{next(iter(change))} must"):
        TrainConfig(**{"steps": 10, **change})


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_rate_rises_holds_and_falls_to_nearly_nothing(decay):
    config = TrainConfig(steps=1000, warmup=100, hold=0.5, decay=decay, learning_rate=0.01)
    rates = [learning_rate(s, config) for s in range(1, 1001)]
    assert rates[0] == pytest.approx(0.0001)
    assert rates[99:550] == pytest.approx([0.01] * 451)
    assert all(a > b for a, b in itertools.pairwise(rates[551:]))
    assert 0 < rates[-1] < 1e-4


def test_rate_without_decay_stays():
    config = TrainConfig(steps=50, warmup=0, decay="none", learning_rate=0.01)
    assert {learning_rate(s, config) for s in range(1, 51)} == {0.01}


def test_held_rate_does_not_depend_on_the_end():
    """A run may be made longer while it is still held, without a trace."""
    short, long = (TrainConfig(steps=n, warmup=10, hold=0.5) for n in (100, 1000))
    assert [learning_rate(s, short) for s in range(1, 56)] == [
        learning_rate(s, long) for s in range(1, 56)
    ]
