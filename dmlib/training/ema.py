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
        net: the network that is trained, in float32 or float64: a 16-bit average would round the
            small steps away. `ema.net` is the copy, without gradients, in eval mode.
        decay: in [0, 1); 0 follows at once.

    Raises:
        ValueError: decay is out of its range, or net has 16-bit parameters.
    """

    def __init__(self, net: nn.Module, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        for name, x in net.named_parameters():
            if x.dtype in (torch.bfloat16, torch.float16):
                raise ValueError(
                    f"net must have float32 or float64 parameters, got {x.dtype} ({name}): its "
                    "average would never move; try: net.float(), and "
                    'TrainConfig(precision="auto") computes in 16 bits all the same'
                )
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
            ValueError: `net` has other parameters or buffers than the copy; nothing has changed.
        """
        mine, its = _shapes(self.net), _shapes(net)
        if mine != its:
            odd = sorted(name for name in mine | its if mine.get(name) != its.get(name))
            raise ValueError(
                f"net must have the parameters and buffers of the averaged copy: {odd[0]} must "
                f"have the shape {mine.get(odd[0])}, got {its.get(odd[0])}"
            )
        self.updates += 1
        ours, theirs = dict(self.net.named_parameters()), dict(net.named_parameters())
        values = [theirs[name].detach() for name in ours]
        step = 1 - self.decay_at(self.updates)
        torch._foreach_lerp_(list(ours.values()), values, step)
        buffers = dict(net.named_buffers())
        for name, buffer in self.net.named_buffers():
            buffer.copy_(buffers[name])


def _shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter and buffer, by name."""
    both = (*net.named_parameters(), *net.named_buffers())
    return {name: tuple(x.shape) for name, x in both}
