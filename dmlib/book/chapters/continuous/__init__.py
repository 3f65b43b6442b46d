"""The exercises of the chapter on continuous time, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.continuous.build import EULER_MARUYAMA, REVERSE
from dmlib.book.chapters.continuous.derive import FLOW, VARIANCE
from dmlib.book.chapters.continuous.flow import HEUN
from dmlib.book.chapters.continuous.names import CONVERSIONS
from dmlib.book.chapters.continuous.open import TEN_LOOKS
from dmlib.book.chapters.continuous.understand import CHURN, DRIFT, LEFT
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    DRIFT,
    LEFT,
    CHURN,
    VARIANCE,
    FLOW,
    CONVERSIONS,
    EULER_MARUYAMA,
    REVERSE,
    HEUN,
    TEN_LOOKS,
)
