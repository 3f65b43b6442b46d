"""The exercises of the introduction, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.introduction.build import GAS, LIKENESS, TO_UNIT
from dmlib.book.chapters.introduction.derive import ENTROPY
from dmlib.book.chapters.introduction.open import DESTROY
from dmlib.book.chapters.introduction.understand import COST, GRADUAL, LEARNED
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    LEARNED,
    GRADUAL,
    COST,
    TO_UNIT,
    ENTROPY,
    GAS,
    LIKENESS,
    DESTROY,
)
