"""The exercises of the chapter on networks that are shown a picture, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.translate.build import CONSISTENT, INPUT, PEAK
from dmlib.book.chapters.translate.derive import ERRORS
from dmlib.book.chapters.translate.guess import GUESS
from dmlib.book.chapters.translate.open import LARGER
from dmlib.book.chapters.translate.understand import BLUR, DECIBELS
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    DECIBELS,
    BLUR,
    ERRORS,
    PEAK,
    INPUT,
    GUESS,
    CONSISTENT,
    LARGER,
)
