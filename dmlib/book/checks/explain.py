"""How a wrong result differs from the right one, in one line, where no known mistake was met."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dmlib.book.checks.calling import Args, copied
from dmlib.book.checks.changed_inputs import changed_inputs
from dmlib.book.checks.compare import Terms, close, to_terms
from dmlib.book.checks.factors import factor_of_each_input, factors_of_tensors
from dmlib.book.checks.relations import relation, same, size_of_error
from dmlib.book.checks.shapes import shape_relation
from dmlib.book.checks.slips import find_slip
from dmlib.book.exercises.exercise import Function, argument_names

Pairs = list[tuple[Tensor, Tensor]]  # (found, expected), one for each hidden input


def explain(
    exercise: Function,
    function: Callable[..., Any],
    cases: list[Args],
    found: list[Terms],
    expected: list[Terms],
) -> str:
    """One sentence on how `found` differs from `expected`, most telling first.

    Args:
        exercise: with the reference, which is tried with exchanged and changed arguments.
        function: the student's, which is asked whether it looks at all of its arguments.
        cases: hidden inputs; found, expected: what came out and what is right, as far as it got.
    """
    names = argument_names(exercise.call)
    pairs = {name: [(f[name], e[name]) for f, e in zip(found, expected, strict=False)]
             for name in expected[0]}  # fmt: skip
    bad = [name for name, rows in pairs.items() if not all(close(f, e) for f, e in rows)]
    if len(bad) > 1:
        words = _between_terms(pairs, bad)
        if words:
            return words
    steps: tuple[Callable[[], str], ...] = (
        lambda: _first(bad, pairs, cases, names, _whole),
        lambda: changed_inputs(exercise, names, cases, found),
        lambda: _first(bad, pairs, cases, names, _factors),
        lambda: changed_inputs(exercise, names, cases, found, two=True),
        lambda: find_slip(exercise, cases, found),
        lambda: _first(bad, pairs, cases, names, _unknown_factors),
        lambda: _ignored(exercise, function, names, cases),
        lambda: _first(bad, pairs, cases, names, _partly),
        lambda: _last_resort(pairs[bad[0]] if bad else []),
    )
    return next((words for step in steps if (words := step())), "")


def _first(
    bad: list[str],
    pairs: dict[str, Pairs],
    cases: list[Args],
    names: tuple[str, ...],
    look: Callable[[Pairs, list[Args], tuple[str, ...]], str],
) -> str:
    """What the look finds in the first term that it finds something in."""
    for name in bad:
        said = look(pairs[name], cases, names)
        if said:
            said = said.replace("?.", "?")
            return f"The term `{name}`: {said}" if name else said[0].upper() + said[1:]
    return ""


def _whole(pairs: Pairs, cases: list[Args], names: tuple[str, ...]) -> str:
    """What holds for all of the numbers together: a shape, a relation, an order."""
    for f, e in pairs:
        if f.shape != e.shape:
            return shape_relation(f, e)
    return _all_together(pairs) or _reordered(pairs)


def _factors(pairs: Pairs, cases: list[Args], names: tuple[str, ...]) -> str:
    """A factor for each input, or one before each of the tensors that went in."""
    wrong = [(p, c) for p, c in zip(pairs, cases, strict=False) if not close(*p)]
    return factor_of_each_input(wrong, names) or factors_of_tensors(wrong, names)


def _unknown_factors(pairs: Pairs, cases: list[Args], names: tuple[str, ...]) -> str:
    """The same, where nothing is known of the factors but that they are off."""
    wrong = [(p, c) for p, c in zip(pairs, cases, strict=False) if not close(*p)]
    return factors_of_tensors(wrong, names, unknown=True) or factor_of_each_input(
        wrong, names, unknown=True
    )


def _partly(pairs: Pairs, cases: list[Args], names: tuple[str, ...]) -> str:
    """What holds for a part of them: some inputs, or some entries, are right."""
    wrong = [pair for pair in pairs if not close(*pair)]
    return _some_inputs(pairs, cases, names) or _some_entries(wrong)


def _all_together(pairs: Pairs) -> str:
    f, e = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    words = relation(f, e)
    return f"what you return is {words}." if words else ""


def _reordered(pairs: Pairs) -> str:
    """The right numbers at other places, or along one axis summed up or cut off."""
    forms: list[tuple[str, Callable[[Tensor], Tensor]]] = []
    for axis in range(max(pair[1].ndim for pair in pairs)):
        forms += [
            (f"in reverse order along axis {axis}", lambda e, a=axis: e.flip(a)),
            (f"one place too late along axis {axis}", lambda e, a=axis: e.roll(1, a)),
            (f"one place too early along axis {axis}", lambda e, a=axis: e.roll(-1, a)),
        ]
        forms.append((f"summed up along axis {axis}", lambda e, a=axis: e.cumsum(a)))
    forms += [("with the last two axes exchanged", lambda e: e.transpose(-1, -2)),
              ("sorted", lambda e: e.flatten().sort().values.reshape(e.shape))]  # fmt: skip
    for words, form in forms:
        try:
            if all(same(f, form(e)) for f, e in pairs):
                return f"the right numbers, {words}."
        except (RuntimeError, IndexError):
            continue
    # The same but for its first or last entries: a shift that is filled up with something.
    for words, mine, right in (("too late", slice(1, None), slice(None, -1)),
                               ("too early", slice(None, -1), slice(1, None))):  # fmt: skip
        if all(e.ndim and len(e) > 3 and same(f[mine], e[right]) for f, e in pairs):
            return f"the right numbers, one place {words}: off by one."
    return ""


def _some_inputs(pairs: Pairs, cases: list[Args], names: tuple[str, ...]) -> str:
    """Right for some of the hidden inputs, wrong for others: what is common to these?"""
    good = [close(f, e) for f, e in pairs]
    if not any(good) or all(good):
        return ""
    bad = [case for case, ok in zip(cases, good, strict=False) if not ok]
    fine = [case for case, ok in zip(cases, good, strict=False) if ok]
    for i, name in enumerate(names):
        values = [case[i] for case in bad]
        others = [case[i] for case in fine]
        if all(isinstance(v, (int, float)) for v in values + others):
            if len({*values}) == 1 and values[0] not in others:
                return f"right for other {name}, wrong for {name} = {values[0]:g}."
            if max(others) < min(values):
                return f"right for small {name}, wrong from {name} = {min(values):g} on."
            if min(others) > max(values):
                return f"right for large {name}, wrong up to {name} = {max(values):g}."
    wrong = [pair for pair, ok in zip(pairs, good, strict=True) if not ok]
    f, e = (torch.cat([pair[i].flatten() for pair in wrong]) for i in (0, 1))
    words = relation(f, e)
    there = f"there it is {words}" if words else f"there {size_of_error(f, e)}"
    return f"right on {len(fine)} of {len(cases)} hidden inputs; on the others, {there}."


def _some_entries(pairs: Pairs) -> str:
    """Most entries are right: which are not?"""
    wrong = [~torch.isclose(f, e, rtol=1e-4, atol=1e-9) for f, e in pairs]
    if not all(0 < int(w.sum()) < w.numel() for w in wrong):
        return ""
    e, f = (torch.cat([pair[i][w] for pair, w in zip(pairs, wrong, strict=True)]) for i in (1, 0))
    right = torch.cat([pair[1][~w] for pair, w in zip(pairs, wrong, strict=True)])
    words = relation(f, e)
    there = f": there it is {words}" if words else ""
    for axis in range(pairs[0][1].ndim):
        hit = [{int(i) for i in w.nonzero()[:, axis]} for w in wrong]
        lengths = [w.shape[axis] for w in wrong]
        if all(n > 1 for n in lengths):
            if all(h == {0} for h in hit):
                return f"only the first place along axis {axis} is wrong{there}."
            if all(h == {n - 1} for h, n in zip(hit, lengths, strict=True)):
                return f"only the last place along axis {axis} is wrong{there}."
    if bool((e < 0).all()) and bool((right >= 0).all()):
        return f"wrong just where the right number is negative{there}."
    if bool((e > 0).all()) and bool((right <= 0).all()):
        return f"wrong just where the right number is positive{there}."
    many = sum(int(w.sum()) for w in wrong), sum(w.numel() for w in wrong)
    if len(right) and float(e.min()) > float(right.max()):
        return f"right for small results, wrong for large ones ({many[0]} of {many[1]}){there}."
    if len(right) and float(e.max()) < float(right.min()):
        return f"right for large results, wrong for small ones ({many[0]} of {many[1]}){there}."
    return f"{many[0]} of {many[1]} entries are wrong, the others right{there}."


def _between_terms(pairs: dict[str, Pairs], bad: list[str]) -> str:
    """Terms that are exchanged, or whose sum is right."""
    for a, b in itertools.combinations(bad, 2):
        rows = zip(pairs[a], pairs[b], strict=True)
        if all(same(fa, eb) and same(fb, ea) for (fa, ea), (fb, eb) in rows):
            return f"The terms `{a}` and `{b}` are exchanged."
    try:
        whole = [sum(pairs[name][k][i] for name in pairs) for i in (0, 1)
                 for k in range(len(pairs[bad[0]]))]  # fmt: skip
    except RuntimeError:
        return ""
    half = len(whole) // 2
    if all(same(f, e) for f, e in zip(whole[:half], whole[half:], strict=True)):
        return "The sum of the terms is right; it is split up differently."
    return ""


def _ignored(
    exercise: Function, function: Callable[..., Any], names: tuple[str, ...], cases: list[Args]
) -> str:
    """An argument that the right answer depends on and the student's does not."""
    for i, name in enumerate(names):
        for case in cases[-1:]:
            arg = case[i]
            if isinstance(arg, Tensor) and arg.is_floating_point():
                other: Any = arg.flip(0) * 1.3 + 0.1
            elif isinstance(arg, float):
                other = arg * 0.9
            else:
                continue
            moved = (*case[:i], other, *case[i + 1 :])
            try:
                mine, theirs = (
                    [to_terms(g(*copied(c)), exercise.terms) for c in (case, moved)]
                    for g in (function, exercise.reference)
                )
            except Exception:  # whatever the student's code raises: then nothing is said
                return ""
            if all(close(mine[0][k], mine[1][k]) for k in mine[0]) and not all(
                close(theirs[0][k], theirs[1][k]) for k in theirs[0]
            ):
                return f"What you return does not depend on `{name}`."
    return ""


def _last_resort(pairs: Pairs) -> str:
    fitting = [(f, e) for f, e in pairs if f.shape == e.shape]
    if not fitting:
        return ""
    f, e = (torch.cat([pair[i].flatten() for pair in fitting]) for i in (0, 1))
    return f"No simple relation to the right result: {size_of_error(f, e)}."


def failing_input(case: Args, names: tuple[str, ...]) -> str:
    """The input on which it failed, short enough for one line."""
    return ", ".join(f"{name} = {_short(arg)}" for name, arg in zip(names, case, strict=True))


def _short(arg: Any) -> str:
    if isinstance(arg, Tensor):
        values = arg.flatten()[:4].tolist()
        listed = ", ".join(f"{v:.4g}" for v in values) + (", …" if arg.numel() > 4 else "")
        return f"tensor of shape {tuple(arg.shape)}: [{listed}]"
    if isinstance(arg, float):
        return f"{arg:.4g}"
    if hasattr(arg, "alpha_bar"):
        return f"a schedule with T = {arg.T}"
    return repr(arg) if isinstance(arg, (int, str, tuple)) else f"a {type(arg).__name__}"
