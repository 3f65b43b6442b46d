"""Bad input at a public entry: one place that says what was wrong and what was expected."""

from __future__ import annotations

import math
import numbers
import operator
import reprlib

import torch
from torch import Tensor


def check_floating(name: str, x: Tensor) -> None:
    """Raise unless `x` is a dense floating-point tensor; its values are not looked at."""
    if not isinstance(x, Tensor):
        fix = f"; try: torch.tensor({name})" if _is_array(x) else ""
        raise ValueError(f"{name} must be a torch.Tensor, got {type(x).__name__}{fix}")
    if not x.is_floating_point():
        fix = "" if x.is_complex() or x.dtype == torch.bool else f"; try: {name}.float()"
        if x.dtype == torch.uint8:  # grey levels 0..255; networks and schedules want [-1, 1]
            fix = f"; try: dmlib.data.to_unit({name})"
        raise ValueError(f"{name} must be floating point, got {x.dtype}{fix}")
    if x.is_meta:
        raise ValueError(f"{name} must hold values, got a tensor on the device meta")
    if x.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got {x.layout}; try: {name}.to_dense()")


def check_float(name: str, x: Tensor) -> None:
    """Raise unless `x` is a floating-point tensor without NaN or infinity: a door, it waits."""
    check_floating(name, x)
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite value(s)")


def check_alike(**tensors: Tensor) -> None:
    """Raise unless all are floating-point tensors (B, ...) of one shape on one device.

    Only what is free to ask is asked: no value is read, so that no device is waited for.
    """
    first_name, first = next(iter(tensors.items()))
    for name, x in tensors.items():
        check_floating(name, x)
        if x.ndim == 0:
            raise ValueError(f"{name} must have a batch axis (B, ...), got a 0-d tensor")
        for what in ("shape", "device"):
            ours, theirs = getattr(x, what), getattr(first, what)
            if ours != theirs:
                of = f"{name} must have the {what} of {first_name}, "
                if what == "shape":
                    ours, theirs = tuple(ours), tuple(theirs)
                raise ValueError(f"{of}{theirs}, got {ours}")


def check_like(name: str, x: Tensor, like_name: str, like: Tensor) -> None:
    """Raise unless `x` is a finite float tensor of the shape and device of `like`: a door."""
    check_float(name, x)
    check_alike(**{like_name: like, name: x})


def as_index(
    name: str, index: int | Tensor, *, batch: int, device: torch.device | None = None
) -> Tensor:
    """Return a whole number or an integer tensor as int64 (B,), or raise ValueError.

    Its values are not looked at. It goes to `device`; if None, a tensor stays where it is.
    """
    if not isinstance(index, Tensor):
        number = whole(index)
        if number is None:
            fix = f"; try: torch.tensor({name})" if _is_array(index) else ""
            expected = f"an int or an int64 tensor of shape ({batch},)"
            raise ValueError(f"{name} must be {expected}, got {reprlib.repr(index)}{fix}")
        return torch.full((batch,), number, dtype=torch.int64, device=device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        fix = f"; try: {name}.long()" if index.is_floating_point() else ""
        raise ValueError(f"{name} must hold integers, got {index.dtype}{fix}")
    if index.is_meta or index.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor with values, got {index.layout} on meta")
    index = index.to(device=index.device if device is None else device, dtype=torch.int64)
    if index.ndim == 0:
        return index.expand(batch)
    if index.shape != (batch,):
        raise ValueError(f"{name} must have shape (B,) = ({batch},), got {tuple(index.shape)}")
    return index


def check_int(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in low..high, or raise; numpy's integers pass, a bool does not."""
    number = whole(value)
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        span = "" if low is None else f" >= {low}" if high is None else f" in {low}..{high}"
        raise ValueError(f"{name} must be an integer{span}, got {reprlib.repr(value)}")
    return number


def check_ints(name: str, values: object, *, low: int | None = None) -> tuple[int, ...]:
    """Return a list or tuple of whole numbers as a tuple of int, or raise ValueError."""
    if not isinstance(values, (list, tuple)):
        fix = f"; try: ({values},)" if whole(values) is not None else ""
        raise ValueError(f"{name} must be a tuple of integers, got {reprlib.repr(values)}{fix}")
    return tuple(check_int(f"{name}[{i}]", value, low=low) for i, value in enumerate(values))


def check_classes(num_classes: object) -> int | None:
    """Return the number of classes, or None for a network without classes, or raise ValueError."""
    if num_classes is None or (whole(num_classes) or 0) >= 1:
        return whole(num_classes)
    got = reprlib.repr(num_classes)
    raise ValueError(f"num_classes must be None or an integer >= 1, got {got}")


def check_real(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a finite float from low to high (an open end is left out), or raise."""
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    span = f"in {left}{low:g}, {high:g}{right}"
    span = "finite" if math.isinf(low) and math.isinf(high) else span
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        fix = f"; try: {name}.item()" if isinstance(value, Tensor) and value.numel() == 1 else ""
        raise ValueError(f"{name} must be a number, {span}, got {reprlib.repr(value)}{fix}")
    inside = (low < value if open_low else low <= value) and math.isfinite(value)
    if not (inside and (value < high if open_high else value <= high)):
        raise ValueError(f"{name} must be {span}, got {value}")
    return float(value)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_generator(generator: torch.Generator | None, name: str = "generator") -> None:
    """Raise unless `generator` is one of torch's or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        fix = ""
        if whole(generator) is not None:
            fix = f"; try: torch.Generator().manual_seed({generator})"
        got = reprlib.repr(generator)
        raise ValueError(f"{name} must be a torch.Generator or None, got {got}{fix}")


def whole(value: object) -> int | None:
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
