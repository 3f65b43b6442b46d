"""Laws of the doors of the metrics: values that would make a number of nothing are refused."""

from __future__ import annotations

import pytest
import torch

from dmlib.data import fashion_sample, to_unit
from dmlib.metrics import Features, FeatureStats, features_of, frechet_distance
from dmlib.metrics.judge import Judge

F64 = torch.float64
IMAGES, LABELS = fashion_sample()
REAL = to_unit(IMAGES[:100])


@pytest.mark.parametrize(
    ("images", "fix"),
    [(IMAGES[:100, None].float(), r"x / 127\.5 - 1"), ((REAL + 1) / 2, r"x \* 2 - 1")],
    ids=["0..255", "0..1"],
)
def test_images_of_another_range_are_refused_with_the_fix(images, fix):
    with pytest.raises(ValueError, match=rf"^x must lie in \[-1, 1\], got .*try: {fix}"):
        features_of(images, Features.trained())
    with pytest.raises(ValueError, match=r"^images must lie in \[-1, 1\], got .*try: images"):
        Judge(REAL).score(images, LABELS[:100])


def test_samples_a_little_outside_are_taken_as_they_are_shown():
    beyond = Judge(REAL).score(REAL * 1.2, LABELS[:100])
    assert beyond == Judge(REAL).score((REAL * 1.2).clamp(-1, 1), LABELS[:100])


@pytest.mark.parametrize("labels", [LABELS[:100] + 1, LABELS[:100] - 1, LABELS[:100].float()])
def test_labels_of_another_range_are_refused(labels):
    with pytest.raises(ValueError, match=r"^labels must be"):
        Judge(REAL).score(REAL, labels)


def test_a_covariance_with_a_negative_eigenvalue_is_refused():
    """With it the distance to itself would be 0 and to others less than it is."""
    good = FeatureStats(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64), 9)
    bad = FeatureStats(
        torch.zeros(2, dtype=F64), torch.diag(torch.tensor([1.0, -1.0], dtype=F64)), 9
    )
    with pytest.raises(ValueError, match=r"^cov must have no negative eigenvalue, got -1"):
        frechet_distance(good, bad)
    singular = FeatureStats(torch.zeros(2, dtype=F64), torch.ones(2, 2, dtype=F64), 9)
    assert frechet_distance(singular, singular) < 1e-12
