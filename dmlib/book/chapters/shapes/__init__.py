"""The exercises of the chapter on shapes in space, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.shapes.build import CHAMFER, FARTHEST, LAYER
from dmlib.book.chapters.shapes.complete import KNOW, NEIGHBOURS
from dmlib.book.chapters.shapes.derive import LEGS
from dmlib.book.chapters.shapes.open import GIVEN_WIDTH
from dmlib.book.chapters.shapes.understand import ORDER, PAIRS
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    ORDER,
    PAIRS,
    LEGS,
    LAYER,
    CHAMFER,
    FARTHEST,
    NEIGHBOURS,
    KNOW,
    GIVEN_WIDTH,
)
