"""The exercises of chapter 5, training: predictions and quizzes."""

from __future__ import annotations

from dmlib.checks.exercise import Mistake, Number, Option, Quiz

PLATEAU = Quiz(
    id="ex-training-1",
    level="understand",
    title="The loss hardly falls any more",
    minutes=3,
    question="After a tenth of the steps L_simple lies at 0.06, and for the rest of the run it "
    "sinks only a little. What does that tell?",
    options={
        "a": Option(
            "Training is finished: a loss that stays means that nothing is learned any more.",
            "Look at samples from early and late in the run: they keep getting better, while the "
            "loss moves in its third digit only.",
        ),
        "b": Option(
            "The learning rate is too small: the loss should go to 0.",
            "It cannot go to 0. From x_t nobody can tell eps exactly: a perfect network has a "
            "loss, too.",
        ),
        "c": Option(
            "Little: most of what is left cannot be learned. Look at samples, and at ranges of t.",
            "The noise itself is not to be known from x_t. What remains to be won is small beside "
            "that, but it is what one sees.",
            right=True,
        ),
        "d": Option(
            "The network is too small: a larger one would come to 0.",
            "A larger one comes a little lower, but never below the loss of the exact denoiser.",
        ),
    },
)


def _memory() -> float:
    numbers = 1_500_000
    weights, gradients, moments, average = 1, 1, 2, 1
    return numbers * 4 * (weights + gradients + moments + average) / 1e6


def _memory_again() -> float:
    one_copy = 1.5 * 32 / 8  # MB
    return one_copy + one_copy + 2 * one_copy + one_copy


MEMORY = Number(
    id="ex-training-3",
    level="understand",
    title="What lies in memory",
    minutes=5,
    tolerance=0.2,
    reference=_memory,
    alternative=_memory_again,
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
