"""Compare what a student's function returned with what is right: tensors, arrays, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlib.book.checks import picture
from dmlib.book.checks.verdict import Row
from dmlib.book.exercises.values import StillDots, WrongForm, to_tensor

# Stated in every verdict. Wide enough for float32, far below any known mistake.
RTOL = 1e-4
ATOL_OF_SCALE = 1e-5

Terms = dict[str, Tensor]


def to_terms(value: Any, names: tuple[str, ...]) -> Terms:
    """The value by term: one unnamed term, or a dict (or a tuple in order) of named ones."""
    if not names:
        return {"": to_tensor(value)}
    listed = ", ".join(names)
    if isinstance(value, Mapping):
        missing = [name for name in names if name not in value]
        if missing:
            raise WrongForm(f"The dict must have the keys {listed}; missing: {missing[0]}.")
        return _filled({name: value[name] for name in names})
    rows = isinstance(value, (Tensor, np.ndarray)) and value.ndim and len(value) == len(names)
    if rows or (isinstance(value, (tuple, list)) and len(value) == len(names)):
        return _filled(dict(zip(names, value, strict=True)))
    raise WrongForm(f"Return {len(names)} terms, as a dict or in this order: {listed}.")


def _filled(terms: dict[str, Any]) -> Terms:
    """The terms as tensors; where dots are left, or something that is no number, by its name."""
    dots = [name for name, value in terms.items() if value is ...]
    if len(dots) == len(terms):
        raise StillDots("Put your formulas in place of the dots.")
    if dots:
        raise StillDots(f"The term {dots[0]} still holds the three dots: put its formula there.")
    made = {}
    for name, value in terms.items():
        try:
            made[name] = to_tensor(value)
        except WrongForm as problem:
            said = str(problem).replace("Your function returned", "it is", 1)
            raise WrongForm(f"The term {name}: {said}") from None
    return made


def fitted(found: Terms, expected: Terms) -> Terms:
    """One number in brackets, of shape (1,), is taken for the number that was asked for."""
    return {
        name: value.reshape(expected[name].shape)
        if value.numel() == expected[name].numel() == 1 and value.ndim <= 2
        else value
        for name, value in found.items()
    }


def close(found: Tensor, expected: Tensor) -> bool:
    """Same shape, and equal within RTOL of each value plus ATOL_OF_SCALE of the largest one."""
    return found.shape == expected.shape and bool(_close_where(found, expected).all())


def coarsely_close(found: Terms, expected: Terms) -> bool:
    """Whether the terms agree as well as half precision can tell."""
    return all(
        found[name].shape == e.shape
        and bool(torch.isclose(found[name], e, rtol=0.02, atol=0.01 * float(e.abs().max())).all())
        for name, e in expected.items()
        if e.numel()
    )


def terms_close(found: Terms, expected: Terms) -> bool:
    """Whether every term is close."""
    return all(close(found[name], expected[name]) for name in expected)


def _close_where(found: Tensor, expected: Tensor) -> Tensor:
    finite = expected[torch.isfinite(expected)].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    # NaN equals NaN: no right answer has any, but a known mistake may.
    tolerance = ATOL_OF_SCALE * scale
    return torch.isclose(found, expected, rtol=RTOL, atol=tolerance, equal_nan=True)


def shape_problem(found: Terms, expected: Terms) -> str:
    """A sentence on the first term of a wrong shape, or ""."""
    for name, right in expected.items():
        if found[name].shape != right.shape:
            of = f" of the term {name}" if name else ""
            return f"The shape{of} is {tuple(found[name].shape)}, expected {tuple(right.shape)}."
    return ""


def evidence(found: Terms, expected: Terms, *, most: int = 5) -> tuple[Row, ...]:
    """Expected and found, term by term; within one term, where they differ most."""
    rows: list[Row] = []
    for name, right in expected.items():
        value = found[name]
        if value.shape != right.shape:
            rows.append(
                Row(
                    f"{name} shape".strip(), str(tuple(right.shape)), str(tuple(value.shape)), False
                )
            )
            continue
        good = _close_where(value, right).flatten()
        gap = torch.nan_to_num((value - right).abs().flatten(), nan=torch.inf)
        count = 1 if len(expected) > 1 else most
        for i in sorted(gap.argsort(descending=True)[:count].tolist()):
            where = _place(name, i, right.shape)
            row = (number(right.flatten()[i]), number(value.flatten()[i]))
            rows.append(Row(where, *row, bool(good[i])))
    return tuple(rows)


def drawn(found: Terms, expected: Terms) -> str:
    """A picture of the first term that differs, where there are enough values for one."""
    for name, right in expected.items():
        value = found[name]
        if close(value, right) or value.shape != right.shape or right.numel() < 6:
            continue
        if not (torch.isfinite(value).all() and torch.isfinite(right).all()):
            continue
        return picture.curve(right, value) if right.ndim == 1 else picture.scatter(right, value)
    return ""


def number(value: Tensor | float) -> str:
    """Five digits: enough to see every known mistake."""
    return f"{float(value):.5g}"


def _place(name: str, flat: int, shape: torch.Size) -> str:
    index = ", ".join(str(int(i)) for i in np.unravel_index(flat, tuple(shape) or (1,)))
    if not len(shape):
        return name or "value"
    return f"{name}[{index}]"
