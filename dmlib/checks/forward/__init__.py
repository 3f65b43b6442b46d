"""The exercises of chapter 1, the forward process, in the order of the book."""

from __future__ import annotations

from dmlib.checks.exercise import Exercise
from dmlib.checks.forward.build import LINEAR, STEP
from dmlib.checks.forward.chain import BATCH, CHAIN
from dmlib.checks.forward.derive import DENSITY, VARIANCE
from dmlib.checks.forward.open import DESIGN
from dmlib.checks.forward.understand import HALF, SHRINK

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
