"""What a student's function returned, as a float64 tensor, or a sentence on what it is instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class WrongForm(Exception):
    """The answer is no number, array or tensor; its text is for the student."""


def to_tensor(value: Any) -> Tensor:
    """Tensor, array, number, or (nested) list of these -> float64 tensor on the CPU."""
    if value is None:
        raise WrongForm("Your function returned None. Is the `return` missing?")
    if value is ...:  # the dots of a stub
        raise NotImplementedError
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
            raise WrongForm("Your function returned complex numbers; real ones were expected.")
        return tensor.to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise WrongForm(
            f"Your function returned a {kind}; a tensor, an array or a number was expected."
        ) from None
