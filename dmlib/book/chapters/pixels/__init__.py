"""The exercises of the chapter on which pixel is what, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.pixels.build import LISTEN, SCORE
from dmlib.book.chapters.pixels.derive import OVERLAPS
from dmlib.book.chapters.pixels.features import NORMALISE, SPREAD
from dmlib.book.chapters.pixels.open import FEW
from dmlib.book.chapters.pixels.understand import TABLE, WHICH_T
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    TABLE,
    WHICH_T,
    OVERLAPS,
    SCORE,
    LISTEN,
    SPREAD,
    NORMALISE,
    FEW,
)
