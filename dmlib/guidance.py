"""Conditioning and guidance: from a denoiser that hears a condition to one that needs none.

A sampler knows nothing of classes or words. It calls a denoiser; what that denoiser is asked for,
and how hard, is decided here. The condition y may be anything that the network understands; the
network itself knows what "no condition" is: y = None.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dmlib._validate import as_index, check_condition, check_real, whole
from dmlib.parameterization import Denoiser, Guess


def conditioned(denoiser: Any, y: Any) -> Denoiser:
    """The denoiser of p(x | y): what is said of x_t if y is known.

    Args:
        denoiser: answers denoiser(xt, t, y) -> Guess, such as predicts_eps(net, schedule).
        y: one class for all, or (B,) integers, a class for each sample; or whatever condition the
            network takes, (B, ...), or (1, ...) for all.

    Returns:
        A denoiser, (xt, t) -> Guess.

    Raises:
        ValueError: y holds no classes of the network; and at a call, y does not have xt's batch
            size.
    """
    check_condition(y, denoiser)
    return Denoiser(denoiser.path, lambda xt, t: denoiser(xt, t, _for_batch(y, xt)))


def guided(denoiser: Any, y: Any, *, guidance_scale: float, against: Any = None) -> Denoiser:
    """Classifier-free guidance: go further in the direction in which the condition points.

    eps_hat = eps_hat(x_t, none) + guidance_scale (eps_hat(x_t, y) - eps_hat(x_t, none)),
    and x0_hat alike. 0 asks for no condition at all, 1 for y as it is, more for y and less variety.
    With `against`, a negative prompt, that condition stands where "none" stands.
    Source: Ho & Salimans 2022, eq. 6 (their w is guidance_scale - 1); the book's equations
    eq-guidance and eq-negative-prompt.

    Args:
        denoiser: answers denoiser(xt, t, y) -> Guess, and without a condition for y = None.
        y: as for `conditioned`; not the null class, with which guidance would do nothing.
        guidance_scale: any finite number. Each step calls the network twice, but only once at
            0 and at 1.
        against: as y, what to go away from; None for no condition.

    Returns:
        A denoiser, (xt, t) -> Guess.

    Raises:
        ValueError: y holds no classes of the network or guidance_scale is not finite; and at a
            call, y does not have xt's batch size.
    """
    check_condition(y, denoiser)
    if against is not None:
        check_condition(against, denoiser)
    w = check_real("guidance_scale", guidance_scale)

    def look(xt: Tensor, t: Any) -> Guess:
        if w == 1:
            return denoiser(xt, t, _for_batch(y, xt))
        free = denoiser(xt, t, None if against is None else _for_batch(against, xt))
        if w == 0:
            return free
        asked = denoiser(xt, t, _for_batch(y, xt))
        return Guess(*(none + w * (told - none) for none, told in zip(free, asked, strict=True)))

    return Denoiser(denoiser.path, look)


def _for_batch(y: Any, xt: Tensor) -> Any:
    """y for each of xt, on its device: a number or (1, ...) is repeated."""
    if whole(y) is not None or (isinstance(y, Tensor) and y.ndim == 0):
        return as_index("y", y, batch=len(xt), device=xt.device)
    if not isinstance(y, Tensor):
        return y
    if len(y) not in (1, len(xt)):
        raise ValueError(f"y must have shape (B, ...), B = {len(xt)}, got {tuple(y.shape)}")
    return y.to(xt.device).expand(len(xt), *y.shape[1:])
