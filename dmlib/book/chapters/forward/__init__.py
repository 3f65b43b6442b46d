"""The exercises of chapter 1, the forward process, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.forward.build import LINEAR, STEP
from dmlib.book.chapters.forward.chain import BATCH, CHAIN
from dmlib.book.chapters.forward.derive import DENSITY, VARIANCE
from dmlib.book.chapters.forward.open import DESIGN
from dmlib.book.chapters.forward.understand import HALF, SHRINK
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    SHRINK,
    HALF,
    STEP,
    VARIANCE,
    LINEAR,
    CHAIN,
    BATCH,
    DENSITY,
    DESIGN,
)
