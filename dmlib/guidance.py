"""Conditioning and guidance: wrappers that turn net(xt, t, y) into a denoiser (xt, t) -> eps_hat.

A sampler knows nothing of classes. It calls a denoiser; what that denoiser is asked for, and how
hard, is decided here.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from dmlib._validate import as_index, check_real

Denoiser = Callable[[Tensor, "int | Tensor"], Tensor]
Conditional = Callable[[Tensor, "int | Tensor", "Tensor | None"], Tensor]


def conditioned(net: Conditional, y: int | Tensor) -> Denoiser:
    """The denoiser of p(x | y): eps_hat = net(x_t, t, y), y fixed.

    Args:
        net: answers net(xt, t, y) -> eps_hat.
        y: one class for all, or (B,) integers, a class for each sample.

    Returns:
        A denoiser, (xt, t) -> eps_hat; with net's x0_hat, if it has one.

    Raises:
        ValueError: y holds no classes of net; and at a call, y does not have xt's batch size.
    """
    _check_y(y, net)

    def denoiser(xt: Tensor, t: int | Tensor) -> Tensor:
        return net(xt, t, _labels(y, xt))

    if hasattr(net, "x0_hat"):
        denoiser.x0_hat = conditioned(net.x0_hat, y)
    return denoiser


def guided(net: Conditional, y: int | Tensor, *, guidance_scale: float) -> Denoiser:
    """Classifier-free guidance: go further in the direction in which the class points.

    eps_hat = net(x_t, t, none) + guidance_scale (net(x_t, t, y) - net(x_t, t, none)).
    0 asks for no class at all, 1 for the class as it is, more for the class and less variety.
    Source: Ho & Salimans 2022, eq. 6 (their w is guidance_scale - 1); the book's equation
    eq-guidance.

    Args:
        net: answers net(xt, t, y) -> eps_hat, and without a class for y = None; how many classes
            there are, its num_classes says, where it has one.
        y: one class for all, or (B,) integers, a class for each sample; not the null class, with
            which guidance would do nothing.
        guidance_scale: any finite number. Each step calls the network twice, but only once at
            0 and at 1.

    Returns:
        A denoiser, (xt, t) -> eps_hat; with net's x0_hat, guided alike, if it has one.

    Raises:
        ValueError: y holds no classes of net (where net says its num_classes: not in
            0..num_classes - 1) or guidance_scale is not finite; and at a call, y does not have
            xt's batch size.
    """
    _check_y(y, net)
    guidance_scale = check_real("guidance_scale", guidance_scale)

    def denoiser(xt: Tensor, t: int | Tensor) -> Tensor:
        labels = _labels(y, xt)
        if guidance_scale == 1:
            return net(xt, t, labels)
        eps_uncond = net(xt, t, None)
        if guidance_scale == 0:
            return eps_uncond
        eps_cond = net(xt, t, labels)
        return eps_uncond + guidance_scale * (eps_cond - eps_uncond)

    if hasattr(net, "x0_hat"):  # linear in eps_hat, so the same formula
        denoiser.x0_hat = guided(net.x0_hat, y, guidance_scale=guidance_scale)
    return denoiser


def _check_y(y: int | Tensor, net: Conditional) -> None:
    """Raise unless y holds whole numbers, and classes of the net where it says num_classes."""
    if isinstance(y, Tensor) and y.ndim > 1:
        raise ValueError(f"y must have shape (B,), got {tuple(y.shape)}")
    labels = as_index("y", y, batch=y.numel() if isinstance(y, Tensor) else 1)
    K = getattr(net, "num_classes", None)
    if K is None or not labels.numel():
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= K:
        null = "" if high != K else f"; mend: for no class, {K}, use net itself"
        raise ValueError(f"y must be in 0..{K - 1}, got values from {low} to {high}{null}")


def _labels(y: int | Tensor, xt: Tensor) -> Tensor:
    """y as (B,) int64 on the device of xt."""
    return as_index("y", y, batch=len(xt), device=xt.device)
