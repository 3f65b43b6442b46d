"""The exercises of the introduction, in the order of the book."""

from __future__ import annotations

from dmlib.checks.exercise import Exercise
from dmlib.checks.introduction.build import GAS, LIKENESS, TO_UNIT
from dmlib.checks.introduction.derive import ENTROPY
from dmlib.checks.introduction.open import DESTROY
from dmlib.checks.introduction.understand import COST, GRADUAL, LEARNED

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
