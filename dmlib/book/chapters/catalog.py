"""All exercises, by chapter and by id."""

from __future__ import annotations

from dmlib.book.chapters import (
    continuous,
    forward,
    introduction,
    kernel,
    pixels,
    restore,
    reverse,
    shapes,
    training,
    translate,
    unet,
    words,
)
from dmlib.book.exercises.exercise import Exercise

CHAPTERS: dict[str, tuple[Exercise, ...]] = {
    "introduction": introduction.EXERCISES,
    "forward": forward.EXERCISES,
    "kernel": kernel.EXERCISES,
    "reverse": reverse.EXERCISES,
    "unet": unet.EXERCISES,
    "training": training.EXERCISES,
    "restore": restore.EXERCISES,
    "translate": translate.EXERCISES,
    "words": words.EXERCISES,
    "pixels": pixels.EXERCISES,
    "shapes": shapes.EXERCISES,
    "continuous": continuous.EXERCISES,
}

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise for exercises in CHAPTERS.values() for exercise in exercises
}
