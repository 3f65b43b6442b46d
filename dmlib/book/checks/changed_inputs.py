"""Would the right function give this result, had it got other inputs? Exchanged, negated, late?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from dmlib.book.checks.calling import Args, copied
from dmlib.book.checks.compare import Terms, terms_close, to_terms
from dmlib.book.exercises.exercise import Function
from dmlib.schedules import NoiseSchedule

Change = Callable[[Args], Args]
_INDICES = ("t", "t_prev", "T", "step", "steps", "blocks", "levels", "groups", "dim")


def changed_inputs(
    exercise: Function,
    names: tuple[str, ...],
    cases: list[Args],
    found: list[Terms],
    *,
    two: bool = False,
) -> str:
    """A sentence if the right function gives `found` on inputs that are changed, else "".

    Args:
        two: tries two changes at once, of two arguments.
    """
    for words, change in (_two_changes if two else _changes)(names, cases[0]):
        if _explains(exercise, change, cases, found):
            return words
    return ""


def _explains(exercise: Function, change: Change, cases: list[Args], found: list[Terms]) -> bool:
    if not found:
        return False
    for case, mine in zip(cases, found, strict=False):
        try:
            theirs = to_terms(exercise.reference(*change(copied(case))), exercise.terms)
            fit = terms_close(mine, theirs)
        except Exception:  # the reference may not bear the change; then it explains nothing
            return False
        if not fit:
            return False
    return True


def _changes(names: tuple[str, ...], case: Args) -> Iterator[tuple[str, Change]]:
    kinds = [_kind(arg) for arg in case]
    for i, j in itertools.combinations(range(len(case)), 2):
        if kinds[i] == kinds[j] != "other":
            yield f"It is as if `{names[i]}` and `{names[j]}` were exchanged.", _exchanged(i, j)
    for i, name in enumerate(names):
        for words, function in _of_one(kinds[i], name):
            yield f"It is as if `{name}` were {words}.", _put(i, function)


def _two_changes(names: tuple[str, ...], case: Args) -> Iterator[tuple[str, Change]]:
    kinds = [_kind(arg) for arg in case]
    singles = [(f"`{names[i]}` were {words}", i, function) for i in range(len(case))
               for words, function in _of_one(kinds[i], names[i])]  # fmt: skip
    for (a, i, f), (b, j, g) in itertools.combinations(singles, 2):
        if i != j:
            yield (f"It is as if {a}, and {b}.", _both(_put(i, f), _put(j, g)))


def _kind(arg: Any) -> str:
    if isinstance(arg, Tensor):
        return f"tensor {arg.dtype} {tuple(arg.shape)}" if arg.ndim else "number"
    if isinstance(arg, bool):
        return "other"
    if isinstance(arg, (int, float)):
        return type(arg).__name__
    return "schedule" if isinstance(arg, NoiseSchedule) else "other"


def _exchanged(i: int, j: int) -> Change:
    def change(case: Args) -> Args:
        swapped = list(case)
        swapped[i], swapped[j] = case[j], case[i]
        return tuple(swapped)

    return change


def _put(i: int, function: Callable[[Any], Any]) -> Change:
    return lambda case: (*case[:i], function(case[i]), *case[i + 1 :])


def _both(first: Change, second: Change) -> Change:
    return lambda case: second(first(case))


def _of_one(kind: str, name: str) -> list[tuple[str, Callable[[Any], Any]]]:
    if kind.startswith("tensor torch.float"):
        return _FLOATS
    if kind.startswith("tensor torch.int64") and name in _INDICES:
        return [*_OFF_BY_ONE, ("the same for all, the first one", lambda t: t[:1].expand(len(t)))]
    if kind == "int":
        more = [("0", lambda n: 0), ("1", lambda n: 1), ("twice as large", lambda n: 2 * n)]
        return [*_OFF_BY_ONE, *more]
    if kind == "float":
        return _NUMBERS
    return _TABLES if kind == "schedule" else []


_OFF_BY_ONE: list[tuple[str, Callable[[Any], Any]]] = [
    ("one less: off by one", lambda t: t - 1),
    ("one more: off by one", lambda t: t + 1),
]

_FLOATS: list[tuple[str, Callable[[Any], Any]]] = [
    ("negated: mind the sign", lambda x: -x),
    ("left out", torch.zeros_like),
    ("squared", lambda x: x * x),
    ("twice as large", lambda x: 2 * x),
    ("half as large", lambda x: x / 2),
    ("its absolute value", torch.abs),
    ("1 minus itself", lambda x: 1 - x),
    ("in reverse order", lambda x: x.flip(0)),
    ("transposed", lambda x: x.transpose(-1, -2)),
    ("the same for all, the first one", lambda x: x[:1].expand_as(x)),
]

_NUMBERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("its root", lambda x: abs(x) ** 0.5),
    ("its square", lambda x: x * x),
    ("1 minus itself", lambda x: 1 - x),
    ("negated: mind the sign", lambda x: -x),
    ("one over itself", lambda x: 1 / x),
    ("twice as large", lambda x: 2 * x),
    ("half as large", lambda x: x / 2),
    ("0", lambda x: 0.0),
    ("1", lambda x: 1.0),
]


def _with_tables(**tables: Callable[[NoiseSchedule], Tensor]) -> Callable[[Any], Any]:
    def change(schedule: NoiseSchedule) -> NoiseSchedule:
        other = NoiseSchedule(schedule.beta, schedule.name)
        values = {name: getattr(other, name) for name in ("beta", "alpha", "alpha_bar", "snr")}
        # The tables are cached in the instance's dictionary: there they can be replaced.
        other.__dict__.update(values | {name: f(schedule) for name, f in tables.items()})
        return other

    return change


def _late(table: Tensor) -> Tensor:
    return torch.cat([table[:1], table[:-1]])


_TABLES: list[tuple[str, Callable[[Any], Any]]] = [
    ("one whose alpha_bar_t is alpha_t: a single step", _with_tables(alpha_bar=lambda s: s.alpha)),
    ("one whose alpha_t is alpha_bar_t", _with_tables(alpha=lambda s: s.alpha_bar)),
    ("one whose alpha_bar_t is its root", _with_tables(alpha_bar=lambda s: s.alpha_bar.sqrt())),
    ("one whose alpha_bar_t is its square", _with_tables(alpha_bar=lambda s: s.alpha_bar**2)),
    (
        "one whose alpha_bar_t is 1 - alpha_bar_t",
        _with_tables(alpha_bar=lambda s: 1 - s.alpha_bar),
    ),
    ("one whose beta_t is its root", _with_tables(beta=lambda s: s.beta.sqrt())),
    ("one whose beta_t is its square", _with_tables(beta=lambda s: s.beta**2)),
    ("one whose beta_t is 1 - beta_t", _with_tables(beta=lambda s: 1 - s.beta)),
    ("one whose alpha_t is its root", _with_tables(alpha=lambda s: s.alpha.sqrt())),
    ("one whose alpha_t is its square", _with_tables(alpha=lambda s: s.alpha**2)),
    ("one whose alpha_t is 1 - alpha_t", _with_tables(alpha=lambda s: s.beta)),
    ("one whose alpha_t is 1", _with_tables(alpha=lambda s: torch.ones_like(s.alpha))),
    ("one whose beta_t is 1 - alpha_bar_t", _with_tables(beta=lambda s: 1 - s.alpha_bar)),
    (
        "one whose alpha_bar_t is that of t - 1",
        _with_tables(alpha_bar=lambda s: _late(s.alpha_bar)),
    ),
    ("one whose beta_t is that of t - 1", _with_tables(beta=lambda s: _late(s.beta))),
    ("one whose SNR is upside down", _with_tables(snr=lambda s: 1 / s.snr)),
    ("one whose SNR is its root", _with_tables(snr=lambda s: s.snr.sqrt())),
    ("one whose SNR is its square", _with_tables(snr=lambda s: s.snr**2)),
]
