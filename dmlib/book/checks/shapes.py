"""How a result of a wrong shape is related to the right one."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from dmlib.book.checks.relations import same


def shape_relation(found: Tensor, expected: Tensor) -> str:
    """One sentence; at least it says which axes there are and which there should be."""
    f, e = found, expected
    if f.numel() == e.numel():
        if f.ndim == e.ndim and f.ndim > 1:
            for order in itertools.permutations(range(e.ndim)):
                if f.shape == e.permute(order).shape and same(f, e.permute(order)):
                    return "the right numbers, transposed: the axes stand in another order."
        if same(f.flatten(), e.flatten()):
            return "the right numbers in another shape: reshape them."
    if f.ndim and e.ndim and f.shape[1:] == e.shape[1:]:
        words = _longer(f, e)
        if words:
            return words
    for name, reduce in (("mean", torch.mean), ("sum", torch.sum)):
        for axis in range(f.ndim):
            if same(reduce(f, axis), e):
                return f"the {name} along axis {axis} is still to be taken."
        for axis in range(e.ndim):
            if same(f, reduce(e, axis)):
                return f"axis {axis} is summed up or averaged ({name}), but it should stay."
        if f.numel() == 1 and same(f.reshape(()), reduce(e)):
            return f"all numbers are put into one, their {name}; they should stay apart."
    if f.ndim == e.ndim + 1 and 1 in f.shape:
        return f"the axis of length 1 in {tuple(f.shape)} is one too many."
    if f.ndim < e.ndim:
        return f"{e.ndim - f.ndim} of the axes of {tuple(e.shape)} got lost."
    if f.ndim > e.ndim:
        return f"there are {f.ndim - e.ndim} axes too many: {tuple(f.shape)}, not {tuple(e.shape)}."
    axis = next(i for i in range(f.ndim) if f.shape[i] != e.shape[i])
    return f"axis {axis} has the length {f.shape[axis]}; it should have {e.shape[axis]}."


def _longer(f: Tensor, e: Tensor) -> str:
    """One entry or more too few or too many along the first axis."""
    for k in range(1, min(3, len(e))):
        if len(f) == len(e) - k:
            for where, part in (("first", e[k:]), ("last", e[:-k])):
                if same(f, part):
                    return f"the {where} {_entries(k)} missing; all others are right."
    for k in (1, 2):
        if len(f) == len(e) + k:
            for where, part in (("first", f[k:]), ("last", f[:-k])):
                if same(part, e):
                    return f"the {where} {_entries(k)} too many; all others are right."
    return ""


def _entries(k: int) -> str:
    return "entry is" if k == 1 else f"{k} entries are"
