"""What the chapter on words and pictures shows of its recorded measurements."""

from __future__ import annotations

import textwrap

import numpy as np
from numpy.typing import NDArray

from dmlib.assets import ASSETS

KINDS = ("two of a kind", "three of a kind", "relation", "binding")


def wrong_pictures(each: int = 3) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The first pictures of each kind that the judge called wrong.

    Args:
        each: how many of a kind, at most 4.

    Returns:
        Pictures (32, 32, 3), and their captions, broken into lines.
    """
    pictures, texts = [], []
    with np.load(ASSETS / "words_run.npz", allow_pickle=False) as run:
        for kind in KINDS:
            pictures += list(run[f"wrong, {kind}, images"][:each].transpose(0, 2, 3, 1))
            texts += [textwrap.fill(str(t), 18) for t in run[f"wrong, {kind}, texts"][:each]]
    return pictures, texts
