"""Bad input at a public entry: one place that says what was wrong and what was expected."""

from __future__ import annotations

import math
import numbers
import operator
import reprlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def check_floating(name: str, x: Tensor) -> None:
    """Raise unless `x` is a dense floating-point tensor; its values are not looked at."""
    if not isinstance(x, Tensor):
        fix = f"; try: torch.tensor({name})" if _is_array(x) else ""
        raise ValueError(f"{name} must be a torch.Tensor, got {type(x).__name__}{fix}")
    if not x.is_floating_point():
        fix = "" if x.is_complex() or x.dtype == torch.bool else f"; try: {name}.float()"
        if x.dtype == torch.uint8:  # grey levels 0..255; networks and schedules want [-1, 1]
            fix = f"; try: dmlib.data.to_unit({name})"
        raise ValueError(f"{name} must be floating point, got {x.dtype}{fix}")
    if x.is_meta:
        raise ValueError(f"{name} must hold values, got a tensor on the device meta")
    if x.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got {x.layout}; try: {name}.to_dense()")


def check_float(name: str, x: Tensor) -> None:
    """Raise unless `x` is a floating-point tensor without NaN or infinity: a door, it waits."""
    check_floating(name, x)
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite value(s)")


def check_alike(**tensors: Tensor) -> None:
    """Raise unless all are floating-point tensors (B, ...) of one shape on one device.

    Only what is free to ask is asked: no value is read, so that no device is waited for.
    """
    first_name, first = next(iter(tensors.items()))
    for name, x in tensors.items():
        check_floating(name, x)
        if x.ndim == 0:
            raise ValueError(f"{name} must have a batch axis (B, ...), got a 0-d tensor")
        for what in ("shape", "device"):
            ours, theirs = getattr(x, what), getattr(first, what)
            if ours != theirs:
                of = f"{name} must have the {what} of {first_name}, "
                if what == "shape":
                    ours, theirs = tuple(ours), tuple(theirs)
                raise ValueError(f"{of}{theirs}, got {ours}")


def as_index(
    name: str, index: int | Tensor, *, batch: int, device: torch.device | None = None
) -> Tensor:
    """Return a whole number or an integer tensor as int64 (B,), or raise ValueError.

    Its values are not looked at. It goes to `device`; if None, a tensor stays where it is.
    """
    if not isinstance(index, Tensor):
        number = whole(index)
        if number is None:
            fix = f"; try: torch.tensor({name})" if _is_array(index) else ""
            expected = f"an int or an int64 tensor of shape ({batch},)"
            raise ValueError(f"{name} must be {expected}, got {reprlib.repr(index)}{fix}")
        return torch.full((batch,), number, dtype=torch.int64, device=device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        fix = f"; try: {name}.long()" if index.is_floating_point() else ""
        raise ValueError(f"{name} must hold integers, got {index.dtype}{fix}")
    if index.is_meta or index.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor with values, got {index.layout} on meta")
    index = index.to(device=index.device if device is None else device, dtype=torch.int64)
    if index.ndim == 0:
        return index.expand(batch)
    if index.shape != (batch,):
        raise ValueError(f"{name} must have shape (B,) = ({batch},), got {tuple(index.shape)}")
    return index


def check_int(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in low..high, or raise; numpy's integers pass, a bool does not."""
    number = whole(value)
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        span = "" if low is None else f" >= {low}" if high is None else f" in {low}..{high}"
        raise ValueError(f"{name} must be an integer{span}, got {reprlib.repr(value)}")
    return number


def check_ints(name: str, values: object, *, low: int | None = None) -> tuple[int, ...]:
    """Return a list or tuple of whole numbers as a tuple of int, or raise ValueError."""
    if not isinstance(values, (list, tuple)):
        fix = f"; try: ({values},)" if whole(values) is not None else ""
        raise ValueError(f"{name} must be a tuple of integers, got {reprlib.repr(values)}{fix}")
    return tuple(check_int(f"{name}[{i}]", value, low=low) for i, value in enumerate(values))


def check_classes(num_classes: object) -> int | None:
    """Return the number of classes, or None for a network without classes, or raise ValueError."""
    if num_classes is None or (whole(num_classes) or 0) >= 1:
        return whole(num_classes)
    got = reprlib.repr(num_classes)
    raise ValueError(f"num_classes must be None or an integer >= 1, got {got}")


def check_real(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a finite float from low to high (an open end is left out), or raise."""
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    span = f"in {left}{low:g}, {high:g}{right}"
    span = "finite" if math.isinf(low) and math.isinf(high) else span
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        fix = f"; try: {name}.item()" if isinstance(value, Tensor) and value.numel() == 1 else ""
        raise ValueError(f"{name} must be a number, {span}, got {reprlib.repr(value)}{fix}")
    inside = (low < value if open_low else low <= value) and math.isfinite(value)
    if not (inside and (value < high if open_high else value <= high)):
        raise ValueError(f"{name} must be {span}, got {value}")
    return float(value)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_generator(generator: torch.Generator | None, name: str = "generator") -> None:
    """Raise unless `generator` is one of torch's or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        fix = ""
        if whole(generator) is not None:
            fix = f"; try: torch.Generator().manual_seed({generator})"
        got = reprlib.repr(generator)
        raise ValueError(f"{name} must be a torch.Generator or None, got {got}{fix}")


# The doors of the mathematics: values are looked at here, once.


def check_beta(beta: Tensor) -> None:
    """Raise unless `beta` is the table (T+1,) of a schedule: 0, then variances in (0, 1]."""
    check_floating("beta", beta)
    if beta.ndim != 1 or len(beta) < 2:
        raise ValueError(f"beta must have shape (T+1,) with T >= 1, got {tuple(beta.shape)}")
    if beta[0] != 0:
        got = f"{float(beta[0]):g}; try: put a zero in front"
        raise ValueError(f"beta[0] must be 0 (slot 0 is the clean data), got {got}")
    wrong = beta[1:][~((beta[1:] > 0) & (beta[1:] <= 1))]
    if len(wrong):
        raise ValueError(f"beta[1..T] must lie in (0, 1], got {float(wrong[0]):g}")
    if 1 - float(beta[1]) == 1:  # 1 - alpha_bar[1] would be 0, and much divides by it
        raise ValueError(f"beta[1] must be >= 1.2e-16, or 1 - beta[1] is 1, got {beta[1]:g}")


def check_schedule(schedule: Any) -> None:
    """Raise unless `schedule` is a NoiseSchedule (or another path); say how one is made."""
    if hasattr(schedule, "mix"):
        return
    kind, fix = type(schedule).__name__, "linear_schedule(1000)"
    if isinstance(schedule, Tensor):
        fix = "the NoiseSchedule itself, not a table of it"
    elif getattr(schedule, "__name__", "").endswith("_schedule"):
        kind, fix = "the function that makes one", f"{schedule.__name__}()"
    raise ValueError(f"schedule must be a NoiseSchedule, got {kind}; try: {fix}")


def check_call(schedule: Any, **tensors: Tensor) -> None:
    """The one check of every equation: a schedule, and tensors (B, ...) that may be combined."""
    check_schedule(schedule)
    check_alike(**tensors)


def check_mixture(weights: Tensor, means: Tensor, stds: Tensor) -> None:
    """Raise unless these are (K,), (K, D) and (K,), weights sum to 1 and stds are positive."""
    for name, value in (("weights", weights), ("means", means), ("stds", stds)):
        check_float(name, value)
    K = len(weights) if weights.ndim == 1 else 0
    if K == 0:
        raise ValueError(f"weights must have shape (K,), got {tuple(weights.shape)}")
    if means.ndim != 2 or len(means) != K or means.shape[1] == 0:
        raise ValueError(f"means must have shape (K, D), K = {K}, got {tuple(means.shape)}")
    if stds.shape != (K,) or not bool((stds > 0).all()):
        raise ValueError(f"stds must be (K,) = ({K},) and positive, got {stds.tolist()}")
    if bool((weights < 0).any()) or abs(float(weights.sum()) - 1) > 1e-6:
        raise ValueError(f"weights must be >= 0 and sum to 1, got {weights.tolist()}")


def check_points(name: str, x: Tensor, size: int, *, flat: bool = False) -> None:
    """Raise unless `x` is finite and (B, ...) with `size` values a sample (flat: (B, size))."""
    check_float(name, x)
    if x.ndim < 2 or math.prod(x.shape[1:]) != size or (flat and x.ndim != 2):
        expected = f"(N, D) = (N, {size})" if flat else f"(B, ...) with {size} values a sample"
        raise ValueError(f"{name} must have shape {expected}, got {tuple(x.shape)}")


def check_grey_levels(name: str, x: Tensor) -> None:
    """Raise unless `x` (float64) holds grey levels 0..255 scaled to [-1, 1]."""
    level = (x + 1) * 127.5
    wrong = ((level - level.round()).abs() > 1e-3) | (level < -0.5) | (level > 255.5)
    if bool(wrong.any()):
        raise ValueError(
            f"{name} must hold grey levels 0..255 scaled to [-1, 1], got {float(x[wrong][0]):g}; "
            "try: dmlib.data.to_unit of the grey levels, or bound_L0_density (in "
            "variational_bound: discrete=False) for data that has none"
        )


def check_denoiser(denoiser: Any) -> None:
    """Raise unless `denoiser` can be called and carries its path."""
    if not callable(denoiser) or not hasattr(denoiser, "path"):
        raise ValueError(
            f"denoiser must carry its path and answer denoiser(xt, t), got "
            f"{type(denoiser).__name__}; try: dmlib.models.predicts_eps(net, schedule)"
        )


def check_guess(name: str, guess: Any, *, xt: Tensor) -> None:
    """Raise unless `guess` is a Guess of the shape and device of xt; no value is read."""
    if not hasattr(guess, "x0_hat") or not hasattr(guess, "eps_hat"):
        kind = type(guess).__name__
        raise ValueError(
            f"{name} must be a Guess(x0_hat, eps_hat), got {kind}; try: predicts_eps(net, schedule)"
        )
    check_alike(xt=xt, x0_hat=guess.x0_hat, eps_hat=guess.eps_hat)


def check_move(path: Any, t: float, t_prev: float) -> None:
    """Raise unless t and t_prev lie on the path, t is not the data, and they differ."""
    for name, value in (("t", t), ("t_prev", t_prev)):
        try:
            path.level(value)
        except ValueError as error:
            raise ValueError(str(error).replace("t must", f"{name} must", 1)) from None
    if t in (t_prev, 0):
        raise ValueError(f"t_prev must differ from t > 0, got {t_prev}, t = {t}")


def check_rule(step: Any, makers: tuple[Any, ...]) -> None:
    """Raise unless `step` can be called, and is not one of the functions that make a rule."""
    if not callable(step):
        raise ValueError(f"step must be callable, got {type(step).__name__}")
    if step in makers:
        name = step.__name__
        raise ValueError(f"step must be a rule, got {name}, which makes one; try: {name}()")


def check_times(times: Any, path: Any) -> list[float]:
    """Return the times as a list, or raise unless they fall from the path's end (or less) to 0."""
    if isinstance(times, str) or not isinstance(times, Sequence):
        fix = "; try: times.tolist()" if getattr(times, "ndim", 0) else ""
        kind = type(times).__name__
        raise ValueError(f"times must be a number or a list of steps, got {kind}{fix}")
    check = check_int if hasattr(path, "T") else check_real
    found = [check(f"times[{i}]", t, low=0) for i, t in enumerate(times)]
    falling = all(a > b for a, b in pairwise(found))
    if len(found) < 2 or found[-1] != 0 or found[0] > path.end or not falling:
        raise ValueError(f"times must fall from at most {path.end} to 0, got {found}")
    return found


def check_condition(y: Any, denoiser: Any) -> None:
    """Raise unless the denoiser has a path and y holds classes of it, where it has classes."""
    check_denoiser(denoiser)
    K = getattr(denoiser, "num_classes", None)
    if K is None and whole(y) is None:
        return
    if isinstance(y, Tensor) and y.ndim > 1:
        raise ValueError(f"y must have shape (B,), got {tuple(y.shape)}")
    labels = as_index("y", y, batch=y.numel() if isinstance(y, Tensor) else 1)
    if K is None or not labels.numel():
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= K:
        null = "" if high != K else f"; try: for no class, {K}, the denoiser itself"
        raise ValueError(f"y must be in 0..{K - 1}, got values from {low} to {high}{null}")


def whole(value: object) -> int | None:
    """`value` as an int if it is a whole number by its type: no float, no bool, no tensor."""
    if isinstance(value, (bool, Tensor)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_array(value: object) -> bool:
    """Whether torch.tensor(value) may be what was meant: a list or an array of numpy.

    A tuple is rather a shape, or the answer of a network that gives several.
    """
    return isinstance(value, list) or hasattr(value, "__array__")
