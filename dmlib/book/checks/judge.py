"""Judge a function on hidden inputs: right, a known mistake, a general slip, or simply wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.checks import compare
from dmlib.book.checks.calling import Args, as_function, changed, copied, fitting_form
from dmlib.book.checks.compare import Terms, WrongForm, terms_close, to_terms
from dmlib.book.checks.runner import run_limited, short_trace
from dmlib.book.checks.verdict import Verdict
from dmlib.book.exercises.exercise import Function, Mistake

FAIR = f"tolerance {compare.RTOL:g} relative"


@dataclass
class Outcome:
    """What a function did on the hidden inputs, up to where it stopped."""

    values: list[Terms] = field(default_factory=list)
    error: BaseException | None = None
    timed_out: bool = False
    spoiled: bool = False


def judge_function(
    exercise: Function, answer: Any, generator: Generator, seconds: float
) -> Verdict:
    """The verdict on a student's function."""
    cases = exercise.cases(generator)
    try:
        function = as_function(answer, exercise.call)
    except WrongForm as problem:
        return _verdict(exercise, "wrong", str(problem))
    expected = [to_terms(exercise.reference(*copied(c)), exercise.terms) for c in cases]
    outcome = _outcome(function, cases, exercise.terms, seconds)
    if outcome.timed_out:
        return too_slow(exercise, seconds)
    if outcome.error is not None and not isinstance(outcome.error, WrongForm):
        known = _recognised(exercise, outcome, cases)
        return failed(exercise, outcome.error, known)
    if outcome.spoiled:
        return _spoiled(exercise)
    right = [terms_close(v, e) for v, e in zip(outcome.values, expected, strict=False)]
    if outcome.error is None and all(right):
        message = f"Right on {len(cases)} hidden random inputs ({FAIR})."
        return _verdict(exercise, "passed", message)
    known = _recognised(exercise, outcome, cases)
    if known is None and isinstance(outcome.error, WrongForm):
        return _verdict(exercise, "wrong", str(outcome.error))
    where = right.index(False) if False in right else 0
    problem = known or _slip(function, cases, outcome, where)
    return _wrong(exercise, problem, outcome.values[where], expected[where])


def failed(exercise: Any, error: BaseException, known: Any = None) -> Verdict:
    """The verdict on code that raised: a stub's NotImplementedError, or the student's own lines."""
    if isinstance(error, NotImplementedError):
        message = "The stub is still there: replace it by your own lines, then check again."
        return _verdict(exercise, "not yet", message)
    return Verdict(
        exercise.id,
        exercise.title,
        "error",
        "It happened on one of the hidden inputs; these are your lines.",
        mistake=known.name if known else "",
        hint=known.hint if known else "",
        trace=short_trace(error),
    )


LOOPS = "Is there a loop that never ends? Whole tensors at once are faster than loops."


def too_slow(exercise: Any, seconds: float, hint: str = LOOPS) -> Verdict:
    """The verdict on code that ran past the limit."""
    return _verdict(
        exercise,
        "too slow",
        f"Your code ran for {seconds:g} seconds and was stopped.",
        hint=hint,
    )


def _verdict(exercise: Any, status: Any, message: str, *, hint: str = "") -> Verdict:
    return Verdict(exercise.id, exercise.title, status, message, hint=hint)


def _outcome(
    function: Callable[..., Any], cases: list[Args], terms: tuple[str, ...], seconds: float
) -> Outcome:
    outcome = Outcome()

    def work() -> None:
        form = fitting_form(function, cases[0])
        for case in cases:
            given = form(copied(case))
            before = copied(given)
            value = function(*given)
            outcome.spoiled |= changed(before, given)
            outcome.values.append(to_terms(value, terms))

    run = run_limited(work, seconds=seconds)
    outcome.error, outcome.timed_out = run.error, run.timed_out
    return outcome


def _recognised(exercise: Function, outcome: Outcome, cases: list[Args]) -> Mistake | None:
    """The known mistake that gives just this outcome, errors included."""
    for mistake in exercise.mistakes:
        same = _outcome(mistake.wrong, cases, exercise.terms, 5.0)
        if type(same.error) is not type(outcome.error):
            continue
        if len(same.values) != len(outcome.values) or not (same.values or same.error):
            continue
        pairs = zip(outcome.values, same.values, strict=True)
        if all(terms_close(mine, theirs) for mine, theirs in pairs):
            return mistake
    return None


def _slip(
    function: Callable[..., Any], cases: list[Args], outcome: Outcome, where: int
) -> Mistake | None:
    """Slips that can happen in every exercise, each found by testing for it."""
    value, case = outcome.values[where], cases[where]
    first = next(iter(value.values()))
    again = _outcome(function, [case], tuple(value) if "" not in value else (), 5.0)
    if again.values and not terms_close(again.values[0], value):
        return Mistake(
            "two calls with the same inputs give two results",
            None,
            "Use the noise that is handed to your function; it must not draw its own.",
        )
    if not all(bool(torch.isfinite(v).all()) for v in value.values()):
        return Mistake(
            "NaN or infinity in the result",
            None,
            "Look for a division by zero, a root of a negative number, a logarithm of zero.",
        )
    if all(bool((v == 0).all()) for v in value.values()):
        return Mistake("everything is zero", None, "Which line should fill the result?")
    for given in case:
        same_shape = isinstance(given, Tensor) and given.shape == first.shape
        if same_shape and torch.allclose(given.to(torch.float64), first):
            return Mistake(
                "one of the inputs comes back unchanged", None, "Is the result what you return?"
            )
    return None


def _spoiled(exercise: Function) -> Verdict:
    return Verdict(
        exercise.id,
        exercise.title,
        "wrong",
        "Your function changed a tensor that was handed to it.",
        mistake="an input is changed in place",
        hint="x *= 2 or x[0] = 1 changes the caller's tensor too: write x = x * 2, or clone first.",
    )


def _wrong(exercise: Function, problem: Mistake | None, found: Terms, expected: Terms) -> Verdict:
    message = compare.shape_problem(found, expected)
    if not message and exercise.terms:
        bad = [n for n in expected if not compare.close(found[n], expected[n])]
        message = f"These terms differ: {', '.join(bad)} ({FAIR})."
    return Verdict(
        exercise.id,
        exercise.title,
        "wrong",
        message or f"The values differ on a hidden input ({FAIR}).",
        mistake=problem.name if problem else "",
        hint=problem.hint if problem else "",
        rows=compare.evidence(found, expected),
        picture=compare.drawn(found, expected),
    )
