"""The exercises of chapter 3, the reverse process, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.reverse.ddim import DDIM
from dmlib.book.chapters.reverse.derive import GAUSSIAN, SQUARE, WEIGHT
from dmlib.book.chapters.reverse.open import FEW_CALLS
from dmlib.book.chapters.reverse.steps import DDPM, V
from dmlib.book.chapters.reverse.tables import BETA_TILDE, MU_TILDE, X0_HAT
from dmlib.book.chapters.reverse.understand import INTRACTABLE, SMALL_ENOUGH
from dmlib.book.exercises.exercise import Exercise

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
