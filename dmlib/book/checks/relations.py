"""How wrong numbers are related to the right ones: a sign, a root, a factor, a shift.

A relation is said only if it holds for all numbers that are given, and if there are enough of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RTOL = 1e-4

# "<what> is <words>". What is more particular stands first.
RELATIONS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("right but for its sign", lambda e: -e),
    ("the size of the right one: its sign is lost", torch.abs),
    ("twice the right one", lambda e: 2 * e),
    ("half the right one", lambda e: e / 2),
    ("the square of the right one: is a root missing?", lambda e: e * e),
    ("minus the square of the right one", lambda e: -e * e),
    ("the root of the right one: a root too many, or a square is missing", lambda e: e**0.5),
    (
        "half the square of the right one: `x ** 1/2` is (x ** 1) / 2; write `x ** 0.5`",
        lambda e: e * e / 2,
    ),
    ("one over the right one: it is upside down", lambda e: 1 / e),
    ("one over the square of the right one", lambda e: 1 / (e * e)),
    ("1 minus the right one", lambda e: 1 - e),
    ("1 more than the right one", lambda e: 1 + e),
    ("1 less than the right one", lambda e: e - 1),
    ("1 minus the square of the right one", lambda e: 1 - e * e),
    (
        "1 minus a root, where the root of 1 minus something belongs: mind the bracket",
        lambda e: 1 - (1 - e * e) ** 0.5,
    ),
    (
        "the root of 1 minus the square of the right one: the other factor",
        lambda e: (1 - e * e) ** 0.5,
    ),
    ("its exponential", torch.exp),
    ("its logarithm", torch.log),
    ("the right one in bits, not in nats: the logarithm is to base 2", lambda e: e / math.log(2)),
    ("the right one divided by 2.3026: the logarithm is to base 10", lambda e: e / math.log(10)),
    ("the right one, rounded down", torch.floor),
    ("the right one, rounded up", torch.ceil),
    ("the right one, rounded", torch.round),
    ("the right one modulo 256: it wraps around in uint8", lambda e: e.remainder(256)),
    ("the right one plus the root of it", lambda e: e + e**0.5),
    ("the third power of the right one", lambda e: e**3),
)


def same(found: Tensor, expected: Tensor, *, rtol: float = RTOL) -> bool:
    """Equal within rtol of each value and 1e-5 of the largest; NaN nowhere."""
    if found.shape != expected.shape or not bool(torch.isfinite(expected).all()):
        return False
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return bool(torch.isclose(found, expected, rtol=rtol, atol=max(1e-5 * scale, 1e-12)).all())


def relation(found: Tensor, expected: Tensor) -> str:
    """The relation in words ("the square of the right one"), or "".

    Args:
        found, expected: (N,) finite numbers; with fewer than three different ones nothing is said.
    """
    found, expected = found.flatten(), expected.flatten()
    if not bool(torch.isfinite(found).all()) or same(found, expected):
        return ""
    if same(found, torch.zeros_like(found)) and bool((found == 0).all()):
        return "0"
    if _different(expected) < 3:
        return _few(found, expected)
    for words, function in RELATIONS:
        if same(found, function(expected)):
            return words
    return factor(found, expected) or shift(found, expected) or _line(found, expected)


def factor(found: Tensor, expected: Tensor) -> str:
    """ "-0.5 times the right one", if one factor fits all."""
    large = expected.abs() > 1e-3 * expected.abs().max().clamp(min=1e-12)
    if int(large.sum()) < 2:
        return ""
    k = float((found[large] / expected[large]).median())
    if k == 0 or not math.isfinite(k) or not same(found, k * expected):
        return ""
    return f"{_known(k)} times the right one, everywhere"


def shift(found: Tensor, expected: Tensor) -> str:
    """ "the right one plus 3", if one shift fits all."""
    gap = float((found - expected).median())
    if len(found) < 2 or not same(found - expected, torch.full_like(found, gap)):
        return ""
    return f"the right one {'plus' if gap > 0 else 'minus'} {_known(abs(gap))}, everywhere"


def _line(found: Tensor, expected: Tensor) -> str:
    """ "2 times the right one minus 1": a factor and a shift, from enough numbers."""
    if _different(expected) < 4:
        return ""
    A = torch.stack([expected, torch.ones_like(expected)], 1)
    k, gap = torch.linalg.lstsq(A, found[:, None]).solution[:, 0].tolist()
    if abs(k) < 1e-6 or not same(found, k * expected + gap):
        return ""
    sign = "plus" if gap > 0 else "minus"
    return f"{_known(k)} times the right one {sign} {_known(abs(gap))}, everywhere"


def _few(found: Tensor, expected: Tensor) -> str:
    """Of one or two numbers only the plainest relations are said."""
    plain = RELATIONS[0], RELATIONS[2], RELATIONS[3]
    if bool((expected == 0).any()):
        return ""
    return next((words for words, function in plain if same(found, function(expected))), "")


def _different(numbers: Tensor) -> int:
    scale = float(numbers.abs().max()) if numbers.numel() else 0.0
    return len((numbers / max(scale, 1e-12)).round(decimals=4).unique())


_CONSTANTS = {
    math.pi: "pi",
    2 * math.pi: "2 pi",
    math.sqrt(2): "sqrt(2)",
    math.sqrt(2 * math.pi): "sqrt(2 pi)",
    math.e: "e",
}


def _known(k: float) -> str:
    for value, name in _CONSTANTS.items():
        if math.isclose(abs(k), value, rel_tol=1e-4):
            return name if k > 0 else f"-{name}"
    for n in range(1, 11):  # 1/3, 3/4, ...
        if math.isclose(k * n, round(k * n), rel_tol=1e-5) and 0 < abs(round(k * n)) < 1000:
            top = round(k * n)
            return str(top) if n == 1 else f"{top}/{n}"
    return f"{k:.4g}"


def size_of_error(found: Tensor, expected: Tensor) -> str:
    """How far off the numbers are, where no relation was found."""
    if not bool(torch.isfinite(found).all()):
        return f"{int((~torch.isfinite(found)).sum())} of {found.numel()} are not finite"
    scale = float(expected.abs().max().clamp(min=1e-12))
    off = float((found - expected).abs().max()) / scale
    wrong = ~torch.isclose(found, expected, rtol=RTOL, atol=1e-5 * scale)
    many = f"{int(wrong.sum())} of {found.numel()} numbers are off"
    return f"{many}, by up to {off:.1%} of the largest right one"
