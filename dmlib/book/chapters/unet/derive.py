"""The exercises of chapter 4, the U-Net: the formulas of the first loss and of the view."""

from __future__ import annotations

import math

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake


def _loss(alpha_bar_t: float, m: float) -> dict[str, float]:
    return {"noise": alpha_bar_t**2, "picture": alpha_bar_t * (1 - alpha_bar_t) * m}


FIRST_LOSS = Function(
    id="ex-unet-10",
    level="derive",
    title="The first loss",
    minutes=12,
    call="first_loss(alpha_bar_t, m)",
    terms=("noise", "picture"),
    cases=lambda generator: [
        (draw.uniform(0.1, 0.9, generator=generator), draw.uniform(0.2, 2.0, generator=generator))
        for _ in range(5)
    ],
    reference=_loss,
    mistakes=(
        Mistake(
            "eps_hat = 0, as without the v inside",
            lambda a, m: (1.0, 0.0),
            "v_hat is 0, but eps_hat = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v_hat is not.",
        ),
        Mistake(
            "the noise in x_t is taken for another noise than eps",
            lambda a, m: (1 + (1 - a) ** 2, a * (1 - a) * m),
            "x_t contains the very eps that is to be guessed: put x_t in, then collect eps.",
        ),
        Mistake(
            "the picture in x_t is forgotten",
            lambda a, m: (a**2, 0.0),
            "x_t also contains sqrt(alpha_bar_t) x_0, and that gets into eps_hat.",
        ),
        Mistake(
            "the factor 1 - alpha_bar_t of the picture is lost",
            lambda a, m: (a**2, a * m),
            "x_0 comes in by way of x_t and eps_hat: its factor is "
            "sqrt(1 - alpha_bar_t) sqrt(alpha_bar_t).",
        ),
        Mistake(
            "the root in front of x_t is missing",
            lambda a, m: ((1 - math.sqrt(1 - a)) ** 2, a * m),
            "eps_hat is x_t times sqrt(1 - alpha_bar_t), not x_t itself.",
        ),
        Mistake(
            "the factors are not squared",
            lambda a, m: (a, math.sqrt(a * (1 - a)) * m),
            "The loss is a mean of squares: each factor is squared, together "
            "with what it multiplies.",
        ),
    ),
)


def _sees(levels: int, blocks: int) -> int:
    side, step = 3, 1
    for level in range(levels):
        if level > 0:
            side += 2 * step
            step = 2 * step
        side += 4 * blocks * step
    return side


RECEPTIVE_FIELD = Function(
    id="ex-unet-11",
    level="derive",
    title="How far does the way down see?",
    minutes=12,
    call="way_down_sees(levels, blocks)",
    cases=lambda generator: [
        (draw.integer(low, 7, generator=generator), draw.integer(1, 9, generator=generator))
        for low in (1, 2, 2, 3, 3)
    ],
    reference=_sees,
    mistakes=(
        Mistake(
            "one convolution a block",
            lambda L, b: 3 + 2 * b * (2**L - 1) + 2 * (2 ** (L - 1) - 1),
            "A residual block has two 3 x 3 convolutions, one after the other.",
        ),
        Mistake(
            "the first convolution of the network is forgotten",
            lambda L, b: _sees(L, b) - 2,
            "Before the first block stands the stem, a 3 x 3 convolution as well.",
        ),
        Mistake(
            "the convolutions that halve are forgotten",
            lambda L, b: 3 + 4 * b * (2**L - 1),
            "They have a 3 x 3 kernel, too, and widen the view before they halve.",
        ),
        Mistake(
            "a halving convolution is counted in steps of the smaller map",
            lambda L, b: 3 + 4 * b * (2**L - 1) + 2 * (2**L - 2),
            "Its kernel looks at the map before it is halved; only later layers look farther.",
        ),
        Mistake(
            "a halving after the last level, too",
            lambda L, b: 3 + 4 * b * (2**L - 1) + 2 * (2**L - 1),
            "Between `levels` levels there are `levels` - 1 halvings.",
        ),
        Mistake(
            "the halvings play no part",
            lambda L, b: 3 + 4 * b * L + 2 * (L - 1),
            "After a stride of 2, neighbours of the map are two pixels of the image apart.",
        ),
        Mistake(
            "as many halvings as levels",
            lambda L, b: 3 + 4 * b * (2 ** (L + 1) - 2) + 2 * (2**L - 1),
            "The first level works at full size: L levels have L - 1 halvings between them.",
        ),
    ),
)
