"""Networks that predict v or x0 inside and answer with eps, as every network here does."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from dmlib._validate import check_floating
from dmlib.models._inputs import check_index


class _EpsFrom(nn.Module):
    """What both have in common: the network, the schedule's roots, and checks."""

    lowest: ClassVar[int]  # the least t

    def __init__(self, net: nn.Module | Callable, alpha_bar: Tensor) -> None:
        super().__init__()
        table = getattr(alpha_bar, "alpha_bar", alpha_bar)
        if not isinstance(table, Tensor) or table.ndim != 1 or len(table) < 2 or table[0] != 1:
            got = tuple(table.shape) if isinstance(table, Tensor) else type(table).__name__
            raise ValueError(
                "alpha_bar must be a NoiseSchedule or its table alpha_bar, (T+1,) with "
                f"alpha_bar[0] = 1, got {got}; mend: cosine_schedule(1000)"
            )
        self.net = net
        self.config = getattr(net, "config", None)
        self.num_classes = getattr(net, "num_classes", None)
        # Computed from the schedule, so no part of the weights. float32 is enough: eps_hat is
        # used where 1 - alpha_bar_t is not small or is multiplied with it.
        self.register_buffer("signal", table.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - table).sqrt().float(), persistent=False)

    def _asked(self, xt: Tensor, t: int | Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), (B, 1, ..., 1), and net's answer."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            t = torch.as_tensor(t, device=xt.device).expand(xt.shape[0])
        else:
            t = self._checked(xt, t)
        answer = self.net(xt, t) if y is None else self.net(xt, t, y)
        if answer.shape != xt.shape:
            raise ValueError(
                f"net must answer in the shape of xt, {tuple(xt.shape)}, got {tuple(answer.shape)}"
            )
        signal, noise = (
            root[t].view(-1, *(1,) * (xt.ndim - 1)).to(xt.dtype)
            for root in (self.signal, self.noise)
        )
        return signal, noise, answer.to(xt.dtype)

    def _checked(self, xt: Tensor, t: int | Tensor) -> Tensor:
        check_floating("xt", xt)
        if xt.ndim == 0:
            raise ValueError("xt must have a batch axis (B, ...), got a 0-d tensor")
        high = len(self.signal) - 1
        return check_index("t", t, batch=len(xt), device=xt.device, low=self.lowest, high=high)


class EpsFromV(_EpsFrom):
    """eps_hat = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v_hat, v_hat = net(x_t, t, y).

    At large t the noise is nearly x_t itself, and x0_hat = (x_t - ...) / sqrt(alpha_bar_t)
    blows up the slightest error in eps_hat. A network that predicts v need not copy x_t: the
    formula does it exactly. Where alpha_bar_t = 0 eps_hat does not tell x_0 at all, but v does.
    Source: Salimans & Ho 2022, section 4 and appendix D; the book's equation eq-v.

    Args:
        net: predicts v; its `config` and `num_classes` are handed on, None if it has none.
        alpha_bar: the NoiseSchedule, or its table alpha_bar, (T+1,).

    Raises:
        ValueError: alpha_bar is neither.
    """

    lowest = 0

    def forward(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """Predict the noise in xt; arguments and errors as the network's, and t at most T.

        Args:
            xt: (B, ...), floating point.
            t: int or (B,) int64, in 0..T.
            y: (B,) int64 or None, as the network takes it.

        Returns:
            eps_hat, (B, ...), in the dtype of xt.

        Raises:
            ValueError: an argument does not fit the network or the schedule.
        """
        signal, noise, v_hat = self._asked(xt, t, y)
        return noise * xt + signal * v_hat

    def x0_hat(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """x0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat; arguments as `forward`."""
        signal, noise, v_hat = self._asked(xt, t, y)
        return signal * xt - noise * v_hat


class EpsFromX0(_EpsFrom):
    """eps_hat = (x_t - sqrt(alpha_bar_t) x0_hat) / sqrt(1 - alpha_bar_t), x0_hat = net(x_t, t, y).

    For a network that predicts the clean data, to be trained and sampled as every other.
    Source: Ho et al. 2020, section 3.2; the book's equation eq-x0-from-eps.

    Args:
        net: predicts x_0; its `config` and `num_classes` are handed on, None if it has none.
        alpha_bar: the NoiseSchedule, or its table alpha_bar, (T+1,).

    Raises:
        ValueError: alpha_bar is neither.
    """

    lowest = 1

    def forward(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """Predict the noise in xt: arguments, value and errors as of `EpsFromV`, but t >= 1."""
        signal, noise, x0_hat = self._asked(xt, t, y)
        return (xt - signal * x0_hat) / noise

    def x0_hat(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """The network's own answer; arguments as of `forward`."""
        return self._asked(xt, t, y)[2]
