"""What a distance measures besides the model: the number of samples, and copies that moved."""

from __future__ import annotations

import pytest
import torch

from dmlib.data import fashion_sample, to_unit
from dmlib.metrics import (
    FeatureStats,
    frechet_distance,
    frechet_extrapolated,
    nearest_neighbours,
    nearest_shifted,
)

TRUE = 3.0
MODELS = {"moved": (1.0, TRUE**0.5), "wider": (1 + (TRUE / 64) ** 0.5, 0.0)}


def cloud(n, generator, std=1.0, gap=0.0):
    x = std * torch.randn(n, 64, generator=generator, dtype=torch.float64)
    x[:, 0] += gap
    return x


def found(n, generator, reference, *model, draws=5):
    return sum(frechet_distance(cloud(n, generator, *model), reference) for _ in range(draws)) / 5


def test_a_ratio_to_the_floor_measures_n_and_the_difference_does_not():
    generator = torch.Generator().manual_seed(0)
    reference = FeatureStats.of(cloud(20_000, generator))
    ratio, gap = {}, {}
    for n in (200, 5000):
        floor = found(n, generator, reference)
        distance = found(n, generator, reference, *MODELS["moved"])
        ratio[n], gap[n] = distance / floor, distance - floor
    assert ratio[5000] > 4 * ratio[200]
    # n = 200, five draws: the standard deviation of the mean is about 0.1.
    assert abs(gap[200] - TRUE) < 0.5
    assert abs(gap[5000] - TRUE) < 0.2


def test_bias_depends_on_the_model_so_equal_n_does_not_cure_it():
    generator = torch.Generator().manual_seed(1)
    reference = FeatureStats.of(cloud(20_000, generator))
    at_200 = {name: found(200, generator, reference, *model) for name, model in MODELS.items()}
    assert at_200["wider"] - at_200["moved"] > 0.6  # both have d^2 = 3


@pytest.mark.parametrize("model", MODELS)
def test_straight_line_in_1_over_n_finds_the_true_distance(model):
    generator = torch.Generator().manual_seed(2)
    reference = cloud(50_000, generator)
    samples = cloud(4000, generator, *MODELS[model])
    plain = frechet_distance(samples, FeatureStats.of(reference))
    line = frechet_extrapolated(samples, reference, generator=generator)
    # 4000 samples: the distance itself has a standard deviation of about 0.06.
    assert abs(line - TRUE) < 0.2 < plain - TRUE


def test_extrapolation_needs_enough_samples():
    with pytest.raises(ValueError, match="N > 4 D"):
        frechet_extrapolated(torch.randn(200, 64), torch.randn(500, 64))


def test_copies_that_moved_pass_the_plain_distance_and_not_the_shifted_one():
    pictures = to_unit(fashion_sample()[0])
    train, unseen = pictures[:500], pictures[500:540]
    right = train[:40].roll(1, -1)
    for copies in (right, train[:40].flip(-1), right.flip(-1), train[:40].roll(-1, -2)):
        plain = nearest_neighbours(copies, train)[0].median()
        assert plain > 0.8 * nearest_neighbours(unseen, train)[0].median()
        assert nearest_shifted(copies, train).median() < 0.1
    assert nearest_shifted(unseen, train).median() > 0.25
    # With nothing to move over it is the plain distance.
    still = nearest_shifted(unseen, train, shift=0, flip=False)
    assert torch.equal(still, nearest_neighbours(unseen, train)[0])
