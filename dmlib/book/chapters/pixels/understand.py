"""The exercises of the chapter on which pixel is what: a table to read, a choice to make."""

from __future__ import annotations

import numpy as np

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

# Row: what a pixel is; column: what it was called. Ground, circle, square.
CALLED = ((880, 12, 8), (20, 30, 10), (10, 0, 30))


def _counts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class: pixels called so rightly, pixels that are so, pixels that are called so."""
    table = np.array(CALLED, dtype=float)
    return table.diagonal(), table.sum(1), table.sum(0)


def _mean_iou() -> float:
    right, true, called = _counts()
    return float((right / (true + called - right)).mean())


def _other(kind: str) -> float:
    right, true, called = _counts()
    each = {
        "recall": right / true,
        "precision": right / called,
        "dice": 2 * right / (true + called),
        "twice": right / (true + called),
        "iou": right / (true + called - right),
    }[kind]
    return float(each.mean())


def _by_size() -> float:
    right, true, called = _counts()
    return float((right / (true + called - right) * true).sum() / true.sum())


def _without_ground() -> float:
    right, true, called = _counts()
    return float((right / (true + called - right))[1:].mean())


TABLE = Number(
    id="ex-pixels-1",
    level="understand",
    title="Read the table",
    minutes=6,
    tolerance=0.002,
    reference=_mean_iou,
    mistakes=(
        Mistake(
            "the share of all pixels that are right",
            lambda: float(_counts()[0].sum() / _counts()[1].sum()),
            "That is the accuracy, and the ground decides it. First a ratio for each class, then "
            "the mean.",
        ),
        Mistake(
            "of each class only the share that was found",
            lambda: _other("recall"),
            "That is the recall: pixels that were wrongly called so are missing below the line.",
        ),
        Mistake(
            "of each class only the share of its calls that are right",
            lambda: _other("precision"),
            "That is the precision: pixels of the class that were missed are missing below the "
            "line.",
        ),
        Mistake(
            "the intersection is counted twice in the union",
            lambda: _other("twice"),
            "Row and column both hold the pixels on the diagonal; the union holds them once.",
        ),
        Mistake(
            "the Dice score",
            lambda: _other("dice"),
            "2 TP / (2 TP + FP + FN) is another score. The union holds the intersection once, and "
            "above the line it stands once.",
        ),
        Mistake(
            "the ground is left out",
            _without_ground,
            "The ground is a class like the others.",
        ),
        Mistake(
            "classes are weighted by their size",
            _by_size,
            "In the mean each class counts alike, however small: that is its point.",
        ),
    ),
)

WHICH_T = Quiz(
    id="ex-pixels-2",
    level="understand",
    title="Which time?",
    minutes=3,
    question="You look for the t whose features are best. You have ten labelled scenes, 60 "
    "further labelled scenes, and 150 test scenes for the figure that you publish. How do you "
    "choose?",
    options={
        "a": Option(
            "Train at each t, and take the t with the best mIoU on the 150 test scenes.",
            "Then the published figure is the largest of many noisy ones, and too good. What "
            "chooses must not measure.",
        ),
        "b": Option(
            "Train at each t, and take the t with the best mIoU on the ten scenes.",
            "The classifiers have seen these pixels. The t wins whose features are easiest to "
            "learn by heart.",
        ),
        "c": Option(
            "Take the t at which the network's loss is least.",
            "The loss is least where hardly anything is to be guessed. That says little of shapes.",
        ),
        "d": Option(
            "Train at each t, take the t with the best mIoU on the 60 scenes, measure on the 150.",
            "The choice is part of the training. (And the 60 are labels, too: whoever counts "
            "labels should say so.)",
            right=True,
        ),
    },
)
