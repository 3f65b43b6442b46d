"""Denoisers of networks: a plain network says one thing of x_t, a denoiser says it all.

A network is any module called as net(xt, t) or net(xt, t, y) that answers in the shape of xt; it
knows nothing of schedules. Here it meets one, and becomes what samplers and training ask:
denoiser(xt, t, y) -> Guess(x0_hat, eps_hat), each found in the way that loses no digits. The
network computes in its own dtype; the arithmetic around it is done in float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dmlib._validate import as_index, check_floating, check_schedule
from dmlib.continuous import ContinuousPath, guess_from_velocity
from dmlib.parameterization import Guess, guess_from_eps, guess_from_v, guess_from_x0
from dmlib.schedules import NoiseSchedule, wide


class NetDenoiser(nn.Module):
    """A network and its path: a denoiser that can be trained, moved and saved.

    Made by `predicts_eps`, `predicts_v` and `predicts_x0`.

    Attributes:
        net: the plain network.
        path: the schedule that it was (or will be) trained with.
        predicts: "eps", "v" or "x0", what the network says.
        num_classes, config: of the network, None where it has none.
    """

    def __init__(
        self,
        net: nn.Module | Callable,
        path: Any,
        predicts: str,
        guess: Callable[..., Guess],
        *,
        clock: int | None = None,
    ) -> None:
        super().__init__()
        if not callable(net):
            raise ValueError(f"net must be a network, got {type(net).__name__}")
        if hasattr(net, "path"):
            raise ValueError(
                f"net must be a plain network, got a denoiser; try: {predicts} of its net"
            )
        self.net, self.path, self.predicts = net, path, predicts
        self._guess, self._clock = guess, clock

    @property
    def num_classes(self) -> int | None:
        """Number of classes, the index of the null class; None if the network knows none."""
        return getattr(self.net, "num_classes", None)

    @property
    def config(self) -> Any:
        """The network's shape, None where it has no `config`."""
        return getattr(self.net, "config", None)

    def forward(self, xt: Tensor, t: Any, y: Any = None) -> Guess:
        """What the network says of xt.

        Args:
            xt: (B, ...), floating point.
            t: int or (B,) int64, in 1..T (in 0..T where the network predicts v).
            y: the condition that the network takes, None for none.

        Returns:
            A Guess, both (B, ...), float32 at least.

        Raises:
            ValueError: an argument does not fit the network or the path, or the answer has not the
                shape of xt.
        """
        check_floating("xt", xt)
        if isinstance(self.path, NoiseSchedule):  # networks of others know t as a tensor only
            asked_t = t = as_index("t", t, batch=len(xt), device=xt.device)
        else:
            s = torch.as_tensor(t, dtype=wide(xt).dtype, device=xt.device).expand(len(xt))
            asked_t = (s * (self._clock / self.path.end)).round().long()
        asked = xt.to(self._dtype(xt))
        answer = self.net(asked, asked_t) if y is None else self.net(asked, asked_t, y)
        if getattr(answer, "shape", None) != xt.shape:
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ValueError(f"net must answer in the shape of xt, {tuple(xt.shape)}, got {got}")
        x = wide(xt)
        return self._guess(answer.to(x.dtype), x, t, schedule=self.path)

    def _dtype(self, xt: Tensor) -> Any:
        """Of the weights: a network in 16 bits is asked in 16 bits."""
        weights = self.net.parameters() if isinstance(self.net, nn.Module) else iter(())
        weight = next((w for w in weights if w.is_floating_point()), xt)
        return weight.dtype


def predicts_eps(net: nn.Module | Callable, schedule: NoiseSchedule) -> NetDenoiser:
    """The denoiser of a network that predicts the noise: eps_hat = net(x_t, t, y).

    x0_hat = (x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_bar_t).
    Source: Ho et al. 2020, eqs. 11 and 15; the book's equation eq-x0-from-eps.

    Args:
        net: a plain network (or a function of xt and t).
        schedule: that it was (or will be) trained with.

    Raises:
        ValueError: schedule is no NoiseSchedule, or has alpha_bar_T = 0, where eps_hat does not
            tell x_0.
    """
    check_schedule(schedule)
    if schedule.last < schedule.T:
        raise ValueError(
            f"schedule must have alpha_bar_T > 0 for a network that predicts eps, got "
            f"{schedule.name!r}: at t = {schedule.T} x_t is all noise; try: predicts_v"
        )
    return NetDenoiser(net, schedule, "eps", guess_from_eps)


def predicts_v(net: nn.Module | Callable, schedule: NoiseSchedule) -> NetDenoiser:
    """The denoiser of a network that predicts v = sqrt(alpha_bar_t) eps - sqrt(1-alpha_bar_t) x_0.

    x0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat,
    eps_hat = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v_hat; nothing is divided.
    At large t the noise is nearly x_t itself, and to find x_0 from eps_hat blows up the slightest
    error. A network that predicts v need not copy x_t: the formula does it exactly.
    Source: Salimans & Ho 2022, section 4 and appendix D; the book's equation eq-v.

    Args:
        net: a plain network (or a function of xt and t).
        schedule: that it was (or will be) trained with; zero terminal SNR is welcome.

    Raises:
        ValueError: schedule is no NoiseSchedule.
    """
    check_schedule(schedule)
    return NetDenoiser(net, schedule, "v", guess_from_v)


def predicts_x0(net: nn.Module | Callable, schedule: NoiseSchedule) -> NetDenoiser:
    """The denoiser of a network that predicts the clean data: x0_hat = net(x_t, t, y).

    eps_hat = (x_t - sqrt(alpha_bar_t) x0_hat) / sqrt(1 - alpha_bar_t).
    Source: Ho et al. 2020, section 3.2; the book's equation eq-x0-from-eps.

    Args:
        net: a plain network (or a function of xt and t).
        schedule: that it was (or will be) trained with.

    Raises:
        ValueError: schedule is no NoiseSchedule.
    """
    check_schedule(schedule)
    return NetDenoiser(net, schedule, "x0", guess_from_x0)


def predicts_velocity(
    net: nn.Module | Callable, path: ContinuousPath, *, clock: int = 1000
) -> NetDenoiser:
    """The denoiser of a network that predicts the velocity u = a'_s x_0 + b'_s eps, on any path.

    Both ends follow from x_s and u; on the straight path x0_hat = x_s - s u_hat.
    Source: Lipman et al. 2023, section 4; the book's equation eq-velocity.

    Args:
        net: a plain network (or a function of xs and t).
        path: that it was (or will be) trained on.
        clock: the network is asked with whole numbers, t = s / end times this, rounded.

    Raises:
        ValueError: path is no continuous path.
    """
    if not isinstance(path, ContinuousPath):
        kind = type(path).__name__
        raise ValueError(f"path must be a continuous one, got {kind}; try: StraightPath()")

    def guess(u: Tensor, xs: Tensor, t: Any, *, schedule: ContinuousPath) -> Guess:
        return guess_from_velocity(u, xs, t, path=schedule)

    return NetDenoiser(net, path, "velocity", guess, clock=clock)
