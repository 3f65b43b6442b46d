"""The exercises of chapter 4, the U-Net: predictions and quizzes."""

from __future__ import annotations

import math

import torch

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option
from dmlib.models.unet import UNetConfig

SKIPS = Quiz(
    id="ex-unet-1",
    level="understand",
    title="What are the skips for?",
    minutes=3,
    question="A U-Net without its skip connections is still trained to predict the noise. What "
    "does it lose most?",
    options={
        "a": Option(
            "The view of the whole picture.",
            "That is what the way down gives: in the middle, each place has seen everything. "
            "It stays without skips, too.",
        ),
        "b": Option(
            "The step t: it reaches the way up through the skips only.",
            "Every residual block gets the embedding of t directly, on the way down and on the "
            "way up.",
        ),
        "c": Option(
            "The single pixels: the noise has another value in each, and the small map in the "
            "middle only knows places.",
            "The noise of a pixel says nothing about its neighbour's. What cannot be guessed from "
            "the coarse map must come along at full size: by the skip.",
            right=True,
        ),
        "d": Option(
            "Nothing but speed: the skips are shortcuts for the gradient.",
            "They help the gradient, too, but they also carry the fine maps of the way down, "
            "which no block behind the middle can compute again.",
        ),
    },
)


WIDTHS, SIZE, CHANNELS_MIDDLE = (32, 64, 96, 128), 32, 128


def _middle() -> float:
    sizes = UNetConfig(image_size=SIZE, widths=WIDTHS, attention=()).sizes
    return WIDTHS[-1] * sizes[-1] ** 2


MIDDLE = Number(
    id="ex-unet-2",
    level="understand",
    title="How wide is the bottleneck?",
    minutes=4,
    tolerance=0.5,
    reference=_middle,
    mistakes=(
        Mistake(
            "halved once too often",
            lambda: WIDTHS[-1] * (SIZE // 2 ** len(WIDTHS)) ** 2,
            "The first level works at full size: four levels are three halvings.",
        ),
        Mistake(
            "halved once too seldom",
            lambda: WIDTHS[-1] * (SIZE // 4) ** 2,
            "Four levels have three gaps between them, and in each the map is halved.",
        ),
        Mistake(
            "the places only, without the channels",
            lambda: (SIZE // 8) ** 2,
            "At each place of the map stand as many numbers as there are channels.",
        ),
        Mistake(
            "only the height is halved",
            lambda: WIDTHS[-1] * (SIZE // 8) * SIZE,
            "Height and width are halved together: a quarter of the places a level.",
        ),
        Mistake(
            "not halved at all",
            lambda: WIDTHS[-1] * SIZE**2,
            "In the middle the map is small: between two levels its height and width are halved.",
        ),
    ),
)


DIM, STEPS, PERIOD = 64, 1000, 10_000.0


def _turning(turn: float) -> float:
    """How many of the waves pass at least the angle `turn` in 1000 steps."""
    k = torch.arange(DIM // 2, dtype=torch.float64)
    return float((STEPS * PERIOD ** (-k / (DIM // 2)) >= (1 - 1e-9) * turn).sum())


def _turns() -> float:
    return _turning(2 * math.pi)


TURNS = Number(
    id="ex-unet-3",
    level="understand",
    title="Waves that turn, waves that creep",
    minutes=6,
    tolerance=0.25,
    reference=_turns,
    mistakes=(
        Mistake(
            "the largest k instead of the number of waves",
            lambda: _turns() - 1,
            "k is counted from 0.",
        ),
        Mistake(
            "one radian instead of a full turn",
            lambda: _turning(1.0),
            "A full turn is the angle 2 pi.",
        ),
        Mistake(
            "half a turn instead of a full one",
            lambda: _turning(math.pi),
            "After pi a cosine is at its lowest point, only halfway round.",
        ),
        Mistake(
            "cosines and sines counted apart",
            lambda: 2 * _turns(),
            "A cosine and its sine are one wave: there are 32 frequencies.",
        ),
    ),
)
