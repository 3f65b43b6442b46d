"""The exercises of the chapter on shapes in space: a quiz and a count."""

from __future__ import annotations

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option

ORDER = Quiz(
    id="ex-shapes-1",
    level="understand",
    title="Which network?",
    minutes=4,
    question="Which network takes a cloud of N points and gives answers that change places with "
    "the points, whatever the weights?",
    options={
        "a": Option(
            "Write the cloud as one row of 3N numbers, and apply an MLP.",
            "Each place of the row has weights of its own: point 1 is treated unlike point 2.",
        ),
        "b": Option(
            "A convolution with a kernel of length 3 along the N points.",
            "It looks at the neighbours in the list, and who is next to whom there means nothing.",
        ),
        "c": Option(
            "The same MLP for each point, which gets the point and the mean of all points.",
            "The mean is the same in any order, and each point is treated alike.",
            right=True,
        ),
        "d": Option(
            "The same MLP for each point, which gets the point and its number in the list.",
            "The number tells the order: exchange two points, and both get other answers.",
        ),
    },
)

POINTS, TOKENS = 512, 32


def _ratio(gather: int = 1, among: int = 1, spread: int = 1) -> float:
    pairs = (gather + spread) * POINTS * TOKENS + among * TOKENS**2
    return POINTS**2 / pairs


PAIRS = Number(
    id="ex-shapes-2",
    level="understand",
    title="Fewer pairs",
    minutes=5,
    tolerance=0.05,
    reference=_ratio,
    mistakes=(
        Mistake(
            "the tokens do not look at each other",
            lambda: _ratio(among=0),
            "There is a third attention in the block: among the tokens.",
        ),
        Mistake(
            "only one of the two ways between points and tokens",
            lambda: _ratio(spread=0),
            "The tokens look at the points, and the points at the tokens.",
        ),
        Mistake(
            "only one of the two ways, and nothing among the tokens",
            lambda: _ratio(spread=0, among=0),
            "Three attentions stand in the block. How many pairs has each?",
        ),
        Mistake(
            "the ratio upside down",
            lambda: 1 / _ratio(),
            "How many times fewer: the larger number over the smaller.",
        ),
        Mistake(
            "each pair of points counted once",
            lambda: _ratio() * (POINTS - 1) / (2 * POINTS),
            "In attention each point asks each, also itself: N times N.",
        ),
    ),
)
