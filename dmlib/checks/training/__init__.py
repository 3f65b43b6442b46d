"""The exercises of chapter 5, training, in the order of the book."""

from __future__ import annotations

from dmlib.checks.exercise import Exercise
from dmlib.checks.training.build import GREY, LOSS
from dmlib.checks.training.derive import ACCUMULATED, LOWEST, V_WEIGHTS
from dmlib.checks.training.labels import DROP, GUIDED
from dmlib.checks.training.open import TRAIN
from dmlib.checks.training.plan import EMA, RATE, TIMES
from dmlib.checks.training.quality import FRECHET
from dmlib.checks.training.understand import BY_TIME, MEMORY

EXERCISES: tuple[Exercise, ...] = (
    BY_TIME,
    GREY,
    MEMORY,
    LOSS,
    EMA,
    DROP,
    RATE,
    LOWEST,
    GUIDED,
    TIMES,
    ACCUMULATED,
    V_WEIGHTS,
    FRECHET,
    TRAIN,
)
