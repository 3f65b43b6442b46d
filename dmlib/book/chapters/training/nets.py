"""A hidden stand-in for a network: a fixed random function of x_t, t and y. Nothing is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw


class HiddenNet:
    """net(xt, t) or net(xt, t, y) -> eps_hat; every one of its inputs counts.

    Without y it answers as for the null class.

    Args:
        generator: draws its numbers.
        num_classes: y is in 0..num_classes, the last one the null class, as in dmlib's networks.
        trainable: whether its numbers ask for gradients, as a network's weights do.
    """

    def __init__(
        self, *, generator: Generator, num_classes: int = 5, trainable: bool = False
    ) -> None:
        self.num_classes = num_classes
        self._numbers = 0.5 + draw.normal(3, generator=generator).abs()
        self._numbers.requires_grad_(trainable)
        self._classes = draw.normal(num_classes + 1, generator=generator)

    def __call__(self, xt: Tensor, t: Any, y: Any = None) -> Tensor:
        column = (-1, *(1,) * (xt.ndim - 1))
        a, b, c = self._numbers
        time = torch.sin(b * torch.as_tensor(t, dtype=xt.dtype).reshape(column))
        y = self.num_classes if y is None else y
        shift = self._classes[torch.as_tensor(y)].reshape(column)
        return torch.tanh(a * xt + time + c * shift) + 0.3 * time

    def gradient(self) -> Tensor | None:
        """What backward() has left in its numbers; it is taken away."""
        gradient, self._numbers.grad = self._numbers.grad, None
        return gradient

    def plain(self) -> dict[str, Any]:
        """Its numbers, to be handed to another process."""
        return {
            "numbers": self._numbers.tolist(),
            "classes": self._classes.tolist(),
            "trainable": self._numbers.requires_grad,
        }

    @classmethod
    def from_plain(cls, numbers: dict[str, Any]) -> HiddenNet:
        """The same one again."""
        net = cls(generator=Generator(), num_classes=len(numbers["classes"]) - 1)
        net._numbers = torch.tensor([float(x) for x in numbers["numbers"]], dtype=torch.float64)
        net._numbers.requires_grad_(bool(numbers["trainable"]))
        net._classes = torch.tensor([float(x) for x in numbers["classes"]], dtype=torch.float64)
        return net

    def mark_gradient(self) -> None:
        """As if backward() had been called on what it answered."""
        self._numbers.grad = torch.zeros_like(self._numbers)
