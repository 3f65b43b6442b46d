"""Weights in fewer bits, for sending a network to a browser."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


def to_eight_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Each row of a weight as whole numbers in -127..127 and one factor, weight ~ codes * scale.

    The factor takes the largest weight of the row to 127, and the codes are rounded to the
    nearest: no weight is off by more than half its row's factor.

    Args:
        weight: (out, ...), floating point; a row is all that leads to one output channel.

    Returns:
        codes, int8 of the shape of weight, and scale, float32 (out, 1, ...).

    Raises:
        ValueError: weight is not floating point or has no second axis.
    """
    if not weight.is_floating_point() or weight.ndim < 2:
        raise ValueError(
            f"weight must be floating point (out, ...), got {weight.dtype} {tuple(weight.shape)}"
        )
    weight = weight.detach().float()
    largest = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
    scale = torch.where(largest > 0, largest / 127, 1.0)
    return (weight / scale).round().to(torch.int8), scale


def rounded(net: Net, *, bits: int) -> Net:
    """A copy of `net` that computes as before, with weights that `bits` bits can hold.

    Only what has two axes or more is rounded: the few biases and norms stay as they are.

    Args:
        net: any module of floating-point weights.
        bits: 16 (the nearest half-precision numbers), 8 (`to_eight_bits`) or 32 (nothing changes).

    Raises:
        ValueError: bits is another number.
    """
    if bits not in (8, 16, 32):
        raise ValueError(f"bits must be 8, 16 or 32, got {bits!r}")
    net = copy.deepcopy(net)
    for weight in net.parameters():
        if weight.ndim < 2 or bits == 32:
            continue
        if bits == 16:
            weight.data = weight.data.half().to(weight.dtype)
        else:
            codes, scale = to_eight_bits(weight)
            weight.data = (codes * scale).to(weight.dtype)
    return net
