"""The quick quizzes at the end of the chapters: questions only, no widget."""

from __future__ import annotations

from dmlib.book.chapters.continuous import quiz as continuous
from dmlib.book.chapters.forward import quiz as forward
from dmlib.book.chapters.introduction import quiz as introduction
from dmlib.book.chapters.kernel import quiz as kernel
from dmlib.book.chapters.pixels import quiz as pixels
from dmlib.book.chapters.restore import quiz as restore
from dmlib.book.chapters.reverse import quiz as reverse
from dmlib.book.chapters.shapes import quiz as shapes
from dmlib.book.chapters.training import quiz as training
from dmlib.book.chapters.translate import quiz as translate
from dmlib.book.chapters.unet import quiz as unet
from dmlib.book.chapters.words import quiz as words
from dmlib.book.exercises.question import Question

# In the order of the book; the names are those of the exercises' chapters.
QUIZZES: dict[str, tuple[Question, ...]] = {
    "introduction": introduction.QUESTIONS,
    "forward": forward.QUESTIONS,
    "kernel": kernel.QUESTIONS,
    "reverse": reverse.QUESTIONS,
    "unet": unet.QUESTIONS,
    "training": training.QUESTIONS,
    "restore": restore.QUESTIONS,
    "translate": translate.QUESTIONS,
    "words": words.QUESTIONS,
    "pixels": pixels.QUESTIONS,
    "shapes": shapes.QUESTIONS,
    "continuous": continuous.QUESTIONS,
}
TITLES: dict[str, str] = {
    "introduction": "Introduction",
    "forward": "Forward process",
    "kernel": "Diffusion kernel",
    "reverse": "Reverse process",
    "unet": "U-Net",
    "training": "Training",
    "restore": "Change, fill, restore",
    "translate": "From one picture to another",
    "words": "From words to pictures",
    "pixels": "Which pixel is what",
    "shapes": "Shapes in space",
    "continuous": "One process, three views",
}
