"""An exponential moving average of the weights: what one samples with."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A second copy of a network that follows the first one slowly.

    After update n = 1, 2, ...:  theta_ema <- d_n theta_ema + (1 - d_n) theta,
    d_n = min(decay, (1 + n) / (10 + n)), so that the random start is soon forgotten.
    Source: Ho et al. 2020, section 4 (decay 0.9999); the book's equation eq-ema.
    Parameters are averaged, buffers are copied: they are no weights.

    Args:
        net: the network that is trained; `ema.net` is the copy, without gradients, in eval mode.
        decay: in [0, 1); 0 follows at once.

    Raises:
        ValueError: decay is out of its range.
    """

    def __init__(self, net: nn.Module, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.updates = 0
        self.net = copy.deepcopy(net).eval().requires_grad_(False)

    def decay_at(self, n: int) -> float:
        """d_n, the weight of the past in update n (n >= 1)."""
        return min(self.decay, (1 + n) / (10 + n))

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take one step towards `net`; call it after the optimizer's step.

        Args:
            net: the network whose copy this is.

        Raises:
            ValueError: `net` has other parameters than the copy.
        """
        ours = dict(self.net.named_parameters())
        theirs = dict(net.named_parameters())
        if ours.keys() != theirs.keys():
            odd = sorted(ours.keys() ^ theirs.keys())
            raise ValueError(
                f"net must have the parameters of the averaged copy; differ: {odd[:3]}"
            )
        self.updates += 1
        values = [theirs[name].detach() for name in ours]
        step = 1 - self.decay_at(self.updates)
        torch._foreach_lerp_(list(ours.values()), values, step)
        for mine, other in zip(self.net.buffers(), net.buffers(), strict=True):
            mine.copy_(other)
