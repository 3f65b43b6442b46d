"""The exercises of chapter 4, the U-Net, in the order of the book."""

from __future__ import annotations

from dmlib.checks.exercise import Exercise
from dmlib.checks.unet.build import EMBEDDING, SCALE_SHIFT
from dmlib.checks.unet.count import BLOCK, SKIP_SHAPES
from dmlib.checks.unet.derive import FIRST_LOSS, RECEPTIVE_FIELD
from dmlib.checks.unet.layers import ATTENTION, GROUP_NORM
from dmlib.checks.unet.open import CONFIG
from dmlib.checks.unet.understand import MIDDLE, SKIPS, TURNS

EXERCISES: tuple[Exercise, ...] = (
    SKIPS,
    MIDDLE,
    TURNS,
    EMBEDDING,
    SKIP_SHAPES,
    GROUP_NORM,
    SCALE_SHIFT,
    ATTENTION,
    BLOCK,
    FIRST_LOSS,
    RECEPTIVE_FIELD,
    CONFIG,
)
