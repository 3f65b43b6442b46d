"""A network that predicts v inside and answers with eps, as every network here does."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EpsFromV(nn.Module):
    """eps_hat = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v_hat, v_hat = net(x_t, t, y).

    At large t the noise is nearly x_t itself, and x0_hat = (x_t - ...) / sqrt(alpha_bar_t)
    blows up the slightest error in eps_hat. A network that predicts v need not copy x_t: the
    formula does it exactly.
    Source: Salimans & Ho 2022, section 4 and appendix D; the book's equation eq-v.

    Args:
        net: predicts v; its `config` and `num_classes` are handed on.
        alpha_bar: (T+1,), the schedule's table.
    """

    def __init__(self, net: nn.Module, alpha_bar: Tensor) -> None:
        super().__init__()
        self.net = net
        self.config, self.num_classes = net.config, net.num_classes
        # Computed from the schedule, so no part of the weights. float32 is enough: eps_hat is
        # used where 1 - alpha_bar_t is not small or is multiplied with it.
        self.register_buffer("on_xt", (1 - alpha_bar).sqrt().float(), persistent=False)
        self.register_buffer("on_v", alpha_bar.sqrt().float(), persistent=False)

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
        v_hat = self.net(xt, t, y)
        t = torch.as_tensor(t, device=xt.device).expand(xt.shape[0])
        if not torch.compiler.is_compiling() and xt.device.type == "cpu":
            self._check_t(t)
        shape = (-1, *(1,) * (xt.ndim - 1))
        on_xt, on_v = (table[t].view(shape).to(xt.dtype) for table in (self.on_xt, self.on_v))
        return on_xt * xt + on_v * v_hat.to(xt.dtype)

    def _check_t(self, t: Tensor) -> None:
        T = len(self.on_v) - 1
        if int(t.max()) > T:
            raise ValueError(f"t must be in 0..{T}, got {int(t.max())}")
