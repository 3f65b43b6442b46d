"""The exercises of chapter 4, the U-Net, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.unet.build import EMBEDDING, SCALE_SHIFT
from dmlib.book.chapters.unet.count import BLOCK, SKIP_SHAPES
from dmlib.book.chapters.unet.derive import FIRST_LOSS, RECEPTIVE_FIELD
from dmlib.book.chapters.unet.layers import ATTENTION, GROUP_NORM
from dmlib.book.chapters.unet.open import CONFIG
from dmlib.book.chapters.unet.understand import MIDDLE, SKIPS, TURNS
from dmlib.book.exercises.exercise import Exercise

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
