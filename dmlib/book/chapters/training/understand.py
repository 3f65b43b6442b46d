"""The exercises of chapter 5, training: predictions and quizzes."""

from __future__ import annotations

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

BY_TIME = Quiz(
    id="ex-training-1",
    level="understand",
    title="Where does the network know least?",
    minutes=4,
    question="In the plot of the loss by ranges of t the loss at small t is many times larger "
    "than at large t. Is the network's guess of the picture worst at small t?",
    options={
        "a": Option(
            "Yes. A larger loss is a worse guess.",
            "It is a worse guess of the noise. How much does a slip in the noise move the picture "
            "when there is hardly any noise?",
        ),
        "b": Option(
            "Yes. At small t there is most noise.",
            "At small t there is least noise: t = 0 is the clean picture.",
        ),
        "c": Option(
            "No. Small t are drawn less often, so the network has only learned them later.",
            "t is uniform in 1..T: every range is drawn equally often.",
        ),
        "d": Option(
            "No. The picture's error is the loss divided by the SNR, which is huge at small t.",
            "At small t the picture lies open, and the little noise on it is hard to tell from "
            "its grain. At large t it is the other way round.",
            right=True,
        ),
    },
)


def _memory() -> float:
    numbers = 1_500_000
    weights, gradients, moments, average = 1, 1, 2, 1
    return numbers * 4 * (weights + gradients + moments + average) / 1e6


MEMORY = Number(
    id="ex-training-3",
    level="understand",
    title="What lies in memory",
    minutes=5,
    tolerance=0.2,
    reference=_memory,
    mistakes=(
        Mistake(
            "only the weights",
            lambda: 1.5 * 4,
            "Which other tensors of the same shapes does one step of training need?",
        ),
        Mistake(
            "four copies: one is missing",
            lambda: 1.5 * 4 * 4,
            "Weights, gradients, and of Adam two. And what does one sample with in the end?",
        ),
        Mistake(
            "Adam without its two averages",
            lambda: 1.5 * 4 * 3,
            "Adam keeps a running mean of the gradient and one of its square, for every weight.",
        ),
        Mistake(
            "two bytes a number",
            lambda: 1.5 * 2 * 5,
            "float32 has 32 bits.",
        ),
        Mistake(
            "bits, not bytes",
            lambda: 1.5 * 32 * 5,
            "A byte has 8 bits.",
        ),
        Mistake(
            "mebibytes: divided by 1024 squared",
            lambda: 1.5e6 * 4 * 5 / 2**20,
            "A MB is a million bytes here.",
        ),
    ),
)
