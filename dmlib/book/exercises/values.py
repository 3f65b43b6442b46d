"""What a student's function returned, as a float64 tensor, or a sentence on what it is instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class WrongForm(Exception):
    """The answer is no number, array or tensor; its text is for the student."""


class StillDots(Exception):
    """The three dots of a stub are still there; its text says where."""


COARSE = (torch.float16, torch.bfloat16)


def to_tensor(value: Any) -> Tensor:
    """Tensor, array, number, or (nested) list of these -> float64 tensor on the CPU."""
    if value is None:
        raise WrongForm("Your function returned None. Is the `return` missing?")
    if value is ...:  # the dots of a stub
        raise StillDots("Put your answer in place of the dots.")
    if isinstance(value, (list, tuple)):
        _look_inside(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        parts = [to_tensor(v) for v in value]
        if len({p.shape for p in parts}) > 1:
            raise WrongForm("Your function returned a list of tensors of different shapes.")
        return torch.stack(parts)
    try:
        if isinstance(value, Tensor):
            tensor = value.detach().cpu()
        else:
            tensor = torch.as_tensor(np.asarray(value))
        if tensor.is_complex():
            raise WrongForm(
                "Your function returned complex numbers; real ones were expected. If their "
                "imaginary part is 0, return .real."
            )
        return tensor.to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise WrongForm(
            f"Your function returned a {kind}; a tensor, an array or a number was expected."
        ) from None


def _look_inside(values: list | tuple) -> None:
    """Say it plainly if a list holds something that is no number."""
    for i, value in enumerate(values):
        if value is None:
            raise WrongForm(f"Entry {i} of what you return is None: was it never filled in?")
        if value is ...:
            raise StillDots(f"Entry {i} still holds the three dots.")
        if isinstance(value, (str, bytes)):
            raise WrongForm(f"Entry {i} of what you return is the text {value!r}, not a number.")
        if isinstance(value, (list, tuple)):
            _look_inside(value)


def is_coarse(value: Any) -> bool:
    """Whether the numbers are in half precision (16 bits), anywhere inside."""
    if isinstance(value, dict):
        return any(is_coarse(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_coarse(v) for v in value)
    return getattr(value, "dtype", None) in (*COARSE, np.float16)
