"""The exercises of chapter 2, the diffusion kernel, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.kernel.build import ALPHA_BAR, BETA, KERNEL
from dmlib.book.chapters.kernel.derive import LOG_SNR, SHIFT, TWO_STEPS
from dmlib.book.chapters.kernel.open import SURVIVES
from dmlib.book.chapters.kernel.prior import PRIOR
from dmlib.book.chapters.kernel.understand import EQUAL_PARTS, LEAK
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    EQUAL_PARTS,
    ALPHA_BAR,
    KERNEL,
    TWO_STEPS,
    LOG_SNR,
    LEAK,
    BETA,
    PRIOR,
    SHIFT,
    SURVIVES,
)
