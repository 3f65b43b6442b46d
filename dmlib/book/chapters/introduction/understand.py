"""The exercises of the introduction: predictions and quizzes."""

from __future__ import annotations

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

LEARNED = Quiz(
    id="ex-intro-1",
    level="understand",
    title="What is learned?",
    minutes=2,
    question="Which part of a diffusion model is learned from data?",
    options={
        "a": Option(
            "The forward process: how the noise is added.",
            "The forward process is chosen by us and has no trainable parameter; anybody can add "
            "noise.",
        ),
        "b": Option(
            "The reverse process: how the noise is removed, step by step.",
            "To remove noise one must know what data look like: only this needs a network.",
            right=True,
        ),
        "c": Option(
            "Both: the two networks train each other.",
            "That is the idea of a GAN. Here the forward process is fixed, so there is no "
            "opponent, and training is an ordinary regression.",
        ),
        "d": Option(
            "Neither: running the noise backwards is only algebra.",
            "Many pictures lead to the same noisy one: which of them are plausible is in no "
            "formula, it must come from data.",
        ),
    },
)


GRADUAL = Quiz(
    id="ex-intro-2",
    level="understand",
    title="Why in many steps?",
    minutes=3,
    question="Why is the picture destroyed in many small steps, not in one big one?",
    options={
        "a": Option(
            "Computing x_T from x_0 in one go would be impossible.",
            "It is possible: the chapter on the diffusion kernel jumps from x_0 to any x_t with "
            "one formula. The small steps are needed in the reverse process.",
        ),
        "b": Option(
            "Many steps give stronger noise at the end.",
            "The end is the same: pure noise. One big step reaches it just as well.",
        ),
        "c": Option(
            "Undoing one small step is an easy, nearly Gaussian problem; undoing all at once "
            "is not.",
            "Given a slightly noisier picture, the cleaner one is almost determined; given pure "
            "noise, every picture is possible, and a single best guess is a blur.",
            right=True,
        ),
        "d": Option(
            "Each step removes the noise of the one before.",
            "In the forward direction nothing is removed: the noise only grows. Look at the "
            "slider from left to right.",
        ),
    },
)


CALL_SECONDS, STEPS, IMAGES = 0.025, 1000, 64


def _seconds() -> float:
    return STEPS * CALL_SECONDS


COST = Number(
    id="ex-intro-3",
    level="understand",
    title="What does sampling cost?",
    minutes=3,
    tolerance=0.01,
    reference=_seconds,
    mistakes=(
        Mistake(
            "one call of the network instead of one a step",
            lambda: CALL_SECONDS,
            "A GAN would be done after one call. Here each of the T reverse steps needs its own.",
        ),
        Mistake(
            "each image counted on its own",
            lambda: STEPS * CALL_SECONDS * IMAGES,
            "The 25 ms are for the whole batch: its images are denoised together.",
        ),
        Mistake(
            "milliseconds instead of seconds",
            lambda: STEPS * CALL_SECONDS * 1000,
            "The network's time is given in milliseconds, the answer is asked in seconds.",
        ),
    ),
)
