"""What every network checks before it computes: the right tensors, or a sentence that helps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dmlib._validate import as_index, check_floating


def check_inputs(
    net: nn.Module, xt: Tensor, t: int | Tensor, y: Tensor | None, *, num_classes: int | None
) -> tuple[Tensor, Tensor | None]:
    """Return t as int64 (B,) and y as int64 (B,) (the null class where None), or raise.

    No value is read: on a GPU that would wait for the device at every call.

    Args:
        net: the network, for the dtype and device of its weights.
        xt: (B, ...), already of the right shape.
        t: int or (B,) int64, >= 0.
        y: (B,) int64 in 0..num_classes, or None.
        num_classes: how many classes the network knows; None if it is unconditional.

    Raises:
        ValueError: an argument does not fit the network.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return t, _null_class(xt, num_classes) if y is None else y
    weight = next(net.parameters())
    if not weight.is_meta:  # a network without memory is asked for shapes alone
        check_floating("xt", xt)
    if not len(xt):
        raise ValueError(f"xt must hold at least one item, got shape {tuple(xt.shape)}")
    if xt.device != weight.device:
        raise ValueError(f"xt must be on the network's device {weight.device}, got {xt.device}")
    if xt.dtype != weight.dtype and not torch.is_autocast_enabled(xt.device.type):
        raise ValueError(
            f"xt must have the network's dtype {weight.dtype}, got {xt.dtype}; "
            f"try: xt.to({weight.dtype})"
        )
    t = as_index("t", t, batch=xt.shape[0], device=xt.device)
    if y is None:
        return t, _null_class(xt, num_classes)
    if num_classes is None:
        raise ValueError("y was given, but this network has no class embedding (num_classes=None)")
    return t, as_index("y", y, batch=xt.shape[0], device=xt.device)


def _null_class(xt: Tensor, num_classes: int | None) -> Tensor | None:
    if num_classes is None:
        return None
    return torch.full((xt.shape[0],), num_classes, dtype=torch.int64, device=xt.device)
