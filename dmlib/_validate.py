"""Bad input at a public entry: one place that says what was wrong and what was expected."""

from __future__ import annotations

import numbers
import operator
import re
import reprlib

import torch
from torch import Tensor

FINITE = "(-inf, inf)"  # an interval, see check_real


def check_float(name: str, x: Tensor) -> None:
    """Raise unless `x` is a floating-point tensor without NaN or infinity."""
    check_floating(name, x)
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite value(s)")


def check_floating(name: str, x: Tensor) -> None:
    """Raise unless `x` is a floating-point tensor that holds values."""
    if not isinstance(x, Tensor):
        mend = f"; mend: torch.tensor({name})" if _is_array(x) else ""
        raise ValueError(f"{name} must be a torch.Tensor, got {type(x).__name__}{mend}")
    if not x.is_floating_point():
        mend = "" if x.is_complex() or x.dtype == torch.bool else f"; mend: {name}.float()"
        if x.dtype == torch.uint8:  # grey levels 0..255; networks and schedules want [-1, 1]
            mend = f"; mend: dmlib.data.to_unit({name})"
        raise ValueError(f"{name} must be floating point, got {x.dtype}{mend}")
    check_values(name, x)


def check_values(name: str, x: Tensor) -> None:
    """Raise unless `x` holds values that can be computed with."""
    if x.is_meta:
        raise ValueError(f"{name} must hold values, got a tensor on the device meta")
    if x.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got {x.layout}; mend: {name}.to_dense()")


def check_like(name: str, x: Tensor, like_name: str, like: Tensor) -> None:
    """Raise unless `x` is a clean float tensor of the shape and device of `like`."""
    check_float(name, x)
    if x.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape of {like_name}, {tuple(like.shape)}, got {tuple(x.shape)}"
        )
    if x.device != like.device:
        raise ValueError(
            f"{name} must be on the device of {like_name}, {like.device}, got {x.device}"
        )


def check_t(t: int | Tensor, T: int, *, low: int = 1, batch: int, name: str = "t") -> Tensor:
    """Return `t` as an int64 tensor of shape (B,), all in low..T, or raise ValueError."""
    t = as_index(name, t, batch=batch)
    if t.numel() and (int(t.min()) < low or int(t.max()) > T):
        raise ValueError(
            f"{name} must be in {low}..{T}, got values from {int(t.min())} to {int(t.max())}"
        )
    return t


def as_index(
    name: str, index: int | Tensor, *, batch: int, device: torch.device | None = None
) -> Tensor:
    """Return a whole number or an integer tensor as int64 (B,), or raise ValueError.

    Its values are not looked at. It goes to `device`; if None, a tensor stays where it is.
    """
    if not isinstance(index, Tensor):
        whole = _whole(index)
        if whole is None:
            mend = f"torch.tensor({name})" if _is_array(index) else None
            raise ValueError(
                f"{name} must be an int or an int64 tensor of shape ({batch},), {_got(index, mend)}"
            )
        return torch.full((batch,), whole, dtype=torch.int64, device=device)
    if index.is_floating_point():
        raise ValueError(f"{name} must hold integers, got {index.dtype}; mend: {name}.long()")
    if index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, got {index.dtype}")
    check_values(name, index)
    index = index.to(device=index.device if device is None else device, dtype=torch.int64)
    if index.ndim == 0:
        return index.expand(batch)
    if index.shape != (batch,):
        raise ValueError(f"{name} must have shape (B,) = ({batch},), got {tuple(index.shape)}")
    return index


def check_int(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in low..high, or raise; numpy's integers pass, a bool does not."""
    whole = _whole(value)
    inside = whole is not None and not (low is not None and whole < low)
    if inside and not (high is not None and whole > high):
        return whole
    span = "" if low is None else f" >= {low}" if high is None else f" in {low}..{high}"
    raise ValueError(f"{name} must be an integer{span}, {_got(value)}")


def check_ints(name: str, values: object, *, low: int | None = None) -> tuple[int, ...]:
    """Return a list or tuple of whole numbers as a tuple of int, or raise ValueError."""
    if not isinstance(values, (list, tuple)):
        mend = f"({values},)" if _whole(values) is not None else None
        raise ValueError(f"{name} must be a tuple of integers, {_got(values, mend)}")
    return tuple(check_int(f"{name}[{i}]", value, low=low) for i, value in enumerate(values))


def check_classes(num_classes: object) -> int | None:
    """Return the number of classes, or None for a network without classes, or raise ValueError."""
    if num_classes is None:
        return None
    whole = _whole(num_classes)
    if whole is None or whole < 1:
        raise ValueError(f"num_classes must be None or an integer >= 1, {_got(num_classes)}")
    return whole


def check_real(name: str, value: object, within: str = FINITE) -> float:
    """Return `value` as a float within an interval such as "[0, 1)", or raise ValueError."""
    low, high = (float(end) for end in within[1:-1].split(","))
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        mend = f"{name}.item()" if isinstance(value, Tensor) and value.numel() == 1 else None
        kind = "a finite number" if within == FINITE else f"a number in {within}"
        raise ValueError(f"{name} must be {kind}, {_got(value, mend)}")
    above = value >= low if within[0] == "[" else value > low
    below = value <= high if within[-1] == "]" else value < high
    if not (above and below):
        kind = "be finite" if within == FINITE else f"lie in {within}"
        raise ValueError(f"{name} must {kind}, got {value}")
    return float(value)


def check_generator(generator: torch.Generator | None, name: str = "generator") -> None:
    """Raise unless `generator` is one of torch's or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        whole = _whole(generator)
        mend = None if whole is None else f"torch.Generator().manual_seed({whole})"
        raise ValueError(f"{name} must be a torch.Generator or None, {_got(generator, mend)}")


def _whole(value: object) -> int | None:
    """`value` as an int if it is a whole number by its type: no float, no bool, no tensor."""
    if isinstance(value, (bool, Tensor)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_array(value: object) -> bool:
    """Whether torch.tensor(value) may be what was meant: a list or an array of numpy.

    A tuple is rather a shape, or the answer of a network that gives several.
    """
    return isinstance(value, list) or hasattr(value, "__array__")


def _got(value: object, mend: object = None) -> str:
    """The end of an error's message: what came, and what to write instead where that is clear."""
    if isinstance(value, float) and value.is_integer():
        mend = int(value)
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value):
        mend = value  # without the quotes
    return f"got {reprlib.repr(value)}" + ("" if mend is None else f"; mend: {mend}")
