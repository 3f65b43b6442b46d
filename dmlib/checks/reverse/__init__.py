"""The exercises of chapter 3, the reverse process, in the order of the book."""

from __future__ import annotations

from dmlib.checks.exercise import Exercise
from dmlib.checks.reverse.ddim import DDIM
from dmlib.checks.reverse.derive import GAUSSIAN, SQUARE, WEIGHT
from dmlib.checks.reverse.open import FEW_CALLS
from dmlib.checks.reverse.steps import DDPM, V
from dmlib.checks.reverse.tables import BETA_TILDE, MU_TILDE, X0_HAT
from dmlib.checks.reverse.understand import INTRACTABLE, SMALL_ENOUGH

EXERCISES: tuple[Exercise, ...] = (
    INTRACTABLE,
    SMALL_ENOUGH,
    X0_HAT,
    GAUSSIAN,
    SQUARE,
    BETA_TILDE,
    MU_TILDE,
    DDPM,
    WEIGHT,
    V,
    DDIM,
    FEW_CALLS,
)
