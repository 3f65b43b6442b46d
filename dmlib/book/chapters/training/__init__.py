"""The exercises of chapter 5, training, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.training.build import GREY, LOSS
from dmlib.book.chapters.training.derive import ACCUMULATED, LOWEST, V_WEIGHTS
from dmlib.book.chapters.training.labels import DROP, GUIDED
from dmlib.book.chapters.training.open import TRAIN
from dmlib.book.chapters.training.plan import EMA, RATE, TIMES
from dmlib.book.chapters.training.quality import FRECHET
from dmlib.book.chapters.training.understand import BY_TIME, MEMORY
from dmlib.book.exercises.exercise import Exercise

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
