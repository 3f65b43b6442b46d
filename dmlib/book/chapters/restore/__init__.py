"""The exercises of the chapter on changing, filling and restoring, in the order of the book."""

from __future__ import annotations

from dmlib.book.chapters.restore.build import PUSH, PUT_IN, UP
from dmlib.book.chapters.restore.derive import AT_T, POSTERIOR
from dmlib.book.chapters.restore.open import RESAMPLE
from dmlib.book.chapters.restore.understand import SHARE, TIME
from dmlib.book.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (TIME, SHARE, POSTERIOR, AT_T, PUT_IN, UP, PUSH, RESAMPLE)
