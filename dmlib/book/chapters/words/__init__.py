"""The exercises of the chapter on words and pictures, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.words.build import ATTEND, DROP, MASK, NEGATIVE
from dmlib.book.chapters.words.derive import PULL, SCALE
from dmlib.book.chapters.words.maps import OVERLAP
from dmlib.book.chapters.words.open import COUNT
from dmlib.book.chapters.words.understand import AXIS, WEIGHT
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    WEIGHT,
    AXIS,
    SCALE,
    ATTEND,
    MASK,
    DROP,
    PULL,
    NEGATIVE,
    OVERLAP,
    COUNT,
)
