"""The seeded generator that a widget's JavaScript and Python share (shared/math.js).

A counter-based generator: number n of the stream `seed` needs none of the numbers before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def uniform(seed: int, n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers n of the stream `seed`, uniform in (0, 1).

    Source: T. Ettinger's mulberry32, with the counter in the open (public domain).

    Args:
        seed: any integer; streams of different seeds are different.
        n: any shape, >= 0, which numbers of the stream.

    Returns:
        float64 of the shape of n.
    """
    # uint64 with a mask after each product, so that numpy never warns of an overflow.
    mask = np.uint64(0xFFFFFFFF)
    count = (np.asarray(n).astype(np.uint64) + np.uint64(1)) & mask
    a = (np.uint64(seed & 0xFFFFFFFF) + count * np.uint64(0x6D2B79F5)) & mask
    a = ((a ^ (a >> np.uint64(15))) * (a | np.uint64(1))) & mask
    a ^= (a + (((a ^ (a >> np.uint64(7))) * (a | np.uint64(61))) & mask)) & mask
    return ((a ^ (a >> np.uint64(14))).astype(np.float64) + 0.5) / 2**32


def normal(seed: int, n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers n of the stream `seed`, standard normal (Box-Muller); arguments as `uniform`."""
    n = np.asarray(n)
    radius = np.sqrt(-2 * np.log(uniform(seed, 2 * n)))
    return radius * np.cos(2 * np.pi * uniform(seed, 2 * n + 1))
