"""The quick quizzes at the end of the chapters: questions only, no widget."""

from __future__ import annotations

from dmlib.widgets.quizzes import forward, introduction, kernel, reverse, training, unet
from dmlib.widgets.quizzes.question import Choice, Question, fingerprint

# In the order of the book; the names are those of the exercises' chapters.
QUIZZES: dict[str, tuple[Question, ...]] = {
    "introduction": introduction.QUESTIONS,
    "forward": forward.QUESTIONS,
    "kernel": kernel.QUESTIONS,
    "reverse": reverse.QUESTIONS,
    "unet": unet.QUESTIONS,
    "training": training.QUESTIONS,
}
TITLES: dict[str, str] = {
    "introduction": "Introduction",
    "forward": "Forward process",
    "kernel": "Diffusion kernel",
    "reverse": "Reverse process",
    "unet": "U-Net",
    "training": "Training",
}

__all__ = ["QUIZZES", "TITLES", "Choice", "Question", "fingerprint"]
