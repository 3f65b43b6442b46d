"""What a step of training did, read from the device only when somebody looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


class Numbers:
    """A step's numbers on their way from the device: the gradient's norm, losses and counts.

    On CUDA the copy is asked for at once and read later: reading waits for this step's work, but
    not for what was asked for after it.

    Args:
        grad_norm: ().
        sums: (2, K), the losses' sums and the number of images by range of t.
    """

    def __init__(self, grad_norm: Tensor, sums: Tensor) -> None:
        values = torch.cat([grad_norm.reshape(1).float(), sums.flatten()])
        self._arrived = None
        self._values = values.to("cpu", non_blocking=values.is_cuda)
        if values.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    @cached_property
    def read(self) -> tuple[float, list[float], list[float]]:
        """grad_norm, losses, counts."""
        if self._arrived is not None:
            self._arrived.synchronize()
        grad_norm, *rest = self._values.tolist()
        return grad_norm, rest[: len(rest) // 2], rest[len(rest) // 2 :]


@dataclass(frozen=True, eq=False)
class Record:
    """What one step of the optimizer did.

    Args:
        step: 1 after the first.
        learning_rate: that the step used.
        images: in this step.
        seconds: that the step took, the wait for its data included.
        numbers: on their way from the device; `loss`, `bucket_loss` and `grad_norm` read them.
    """

    step: int
    learning_rate: float
    images: int
    seconds: float
    numbers: Numbers

    @property
    def loss(self) -> float:
        """Mean over the step's images and pixels of (eps - eps_hat)^2, without weights."""
        _, losses, counts = self.numbers.read
        return sum(losses) / sum(counts)

    @property
    def bucket_loss(self) -> tuple[float, ...]:
        """The same by ranges of t, from small t to large; NaN where t was not drawn."""
        _, losses, counts = self.numbers.read
        return tuple(a / b if b else math.nan for a, b in zip(losses, counts, strict=True))

    @property
    def grad_norm(self) -> float:
        """Norm of the gradient before it was cut."""
        return self.numbers.read[0]

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers; where they are not, the weights stayed."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)
