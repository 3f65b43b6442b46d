"""Laws of the training's numbers; those of the rate are in test_recipes.py."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from dmlib.training.config import TrainConfig, learning_rate


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 1.5}, "an integer >= 1, got 1.5"),
        ({"steps": math.nan}, "an integer >= 1, got nan"),
        ({"steps": 1e4}, "an integer >= 1, got 10000.0"),
        ({"steps": "10"}, "an integer >= 1, got '10'"),
        ({"steps": None}, "an integer >= 1, got None"),
        ({"steps": True}, "an integer >= 1, got True"),
        ({"warmup": 0.1}, "an integer >= 0, got 0.1"),
        ({"accumulation": 1.0}, "an integer >= 1, got 1.0"),
        ({"t_buckets": 2.5}, "an integer >= 1, got 2.5"),
        ({"seed": None}, "an integer, got None"),
        ({"learning_rate": "1e-3"}, r"a number, in \(0, inf\], got '1e-3'"),
        ({"learning_rate": math.nan}, None),
        ({"grad_clip": None}, r"a number, in \(0, inf\], got None"),
        ({"ema_decay": None}, r"a number, in \[0, 1\), got None"),
    ],
)
def test_a_wrong_number_is_refused_by_name(change, says):
    name = next(iter(change))
    with pytest.raises(
        ValueError, match=f"^{name} must be " + (f"{says}$" if says else r"in \(0, inf")
    ):
        TrainConfig(**{"steps": 10, **change})


@pytest.mark.parametrize("change", [{"grad_clip": math.inf}, {"weight_decay": -1}, {"hold": 1.0}])
def test_a_number_outside_its_range_is_told_the_range(change):
    with pytest.raises(
        ValueError, match=rf"^{next(iter(change))} must be in [\[(]0, \w+[\])], got"
    ):
        TrainConfig(steps=10, **change)


@pytest.mark.parametrize(
    ("steps", "warmup"), [(1, 0), (10, 1), (200, 20), (5000, 500), (10**6, 500)]
)
def test_the_warm_up_of_a_short_training_is_short(steps, warmup):
    config = TrainConfig(steps=steps)
    assert config.warmup == warmup
    rates = [learning_rate(step, config) for step in range(1, min(steps, 600) + 1)]
    assert max(rates) == config.learning_rate


def test_a_warm_up_that_is_named_stays():
    assert TrainConfig(steps=10, warmup=7).warmup == 7
    assert replace(TrainConfig(steps=10, warmup=7), steps=100).warmup == 7


def test_numpys_numbers_become_pythons():
    config = TrainConfig(steps=np.int64(10), learning_rate=np.float64(0.1), seed=np.int32(3))
    assert json.loads(json.dumps(asdict(config))) == asdict(
        TrainConfig(steps=10, learning_rate=0.1, seed=3)
    )
