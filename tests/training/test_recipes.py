"""Laws of the recipes."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from dmlib.models import UNet
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.recipes import CIFAR10, FUNCTIONS, RECIPES, SMOKE


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_recipe_is_frozen_and_can_be_written_down(recipe):
    with pytest.raises(FrozenInstanceError):
        recipe.batch_size = 1
    said = json.loads(json.dumps(recipe.described()))
    assert said["name"] == recipe.name
    assert [said[f] for f in FUNCTIONS] == [getattr(recipe, f).__name__ for f in FUNCTIONS]
    assert recipe.make_schedule().T == recipe.T
    with torch.device("meta"):
        net = UNet(recipe.net)
    assert net.num_classes == (None if recipe is CIFAR10 else 10)


def test_cifar10_has_the_size_of_the_papers_network():
    with torch.device("meta"):
        count = sum(p.numel() for p in UNet(CIFAR10.net).parameters())
    # Ho et al. 2020, appendix B: 35.7 million.
    assert abs(count / 35.7e6 - 1) < 0.05


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": "mnist"}, "data must be a function, got 'mnist'; try: fashion"),
        ({"predicts": "x0"}, "predicts must be a function, got 'x0'; try: predicts_v"),
        ({"schedule": "flat"}, "schedule must be a function, got 'flat'; try: cosine_schedule"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": "32"}, "batch_size must be an integer >= 1, got '32'"),
        ({"T": 10.5}, "T must be an integer >= 1, got 10.5"),
        ({"net": None}, "net must be a UNetConfig, got NoneType"),
        ({"train": {}}, "train must be a TrainConfig, got dict"),
    ],
)
def test_impossible_recipe_is_refused(change, says):
    with pytest.raises(ValueError, match=f"^{says}"):
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
        {"precision": "half"},
        {"compile": "no"},
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


@pytest.mark.parametrize("step", [0, -1, 51, 1.5])
def test_a_rate_outside_the_training_is_refused(step):
    with pytest.raises(ValueError, match=r"^step must be an integer in 1\.\.50, got"):
        learning_rate(step, TrainConfig(steps=50))


def test_rate_without_decay_stays():
    config = TrainConfig(steps=50, warmup=0, decay="none", learning_rate=0.01)
    assert {learning_rate(s, config) for s in range(1, 51)} == {0.01}


def test_held_rate_does_not_depend_on_the_end():
    """A run may be made longer while it is still held, without a trace."""
    short, long = (TrainConfig(steps=n, warmup=10, hold=0.5) for n in (100, 1000))
    assert [learning_rate(s, short) for s in range(1, 56)] == [
        learning_rate(s, long) for s in range(1, 56)
    ]
