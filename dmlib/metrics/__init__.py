"""How good are samples? Distances in a feature space, and a test for copying."""

from dmlib.metrics.features import (
    FEATURES,
    Features,
    features_of,
    nearest_neighbours,
    nearest_shifted,
)
from dmlib.metrics.frechet import (
    FeatureStats,
    frechet_distance,
    frechet_extrapolated,
    frechet_floor,
    frechet_spread,
)

__all__ = [
    "FEATURES",
    "FeatureStats",
    "Features",
    "features_of",
    "frechet_distance",
    "frechet_extrapolated",
    "frechet_floor",
    "frechet_spread",
    "nearest_neighbours",
    "nearest_shifted",
]
