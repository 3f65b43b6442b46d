"""The exercises of chapter 2, the diffusion kernel, in the order of the book."""

from __future__ import annotations

from dmlib.checks.exercise import Exercise
from dmlib.checks.kernel.build import ALPHA_BAR, BETA, KERNEL
from dmlib.checks.kernel.derive import LOG_SNR, SHIFT, TWO_STEPS
from dmlib.checks.kernel.open import SURVIVES
from dmlib.checks.kernel.prior import PRIOR
from dmlib.checks.kernel.understand import EQUAL_PARTS, LEAK

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
