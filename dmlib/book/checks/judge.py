"""Judge a function on hidden inputs: right, a known mistake, a general slip, or simply wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.checks import compare
from dmlib.book.checks.calling import Args, as_function, changed, copied, fitting_form
from dmlib.book.checks.compare import Terms, fitted, terms_close, to_terms
from dmlib.book.checks.explain import explain, failing_input
from dmlib.book.checks.rules import helpers_used
from dmlib.book.checks.runner import advice, is_stub, run_limited, short_trace
from dmlib.book.checks.verdict import Verdict
from dmlib.book.exercises.exercise import Function, Mistake, argument_names
from dmlib.book.exercises.values import StillDots, WrongForm, is_coarse

FAIR = f"tolerance {compare.RTOL:g} relative"


@dataclass
class Outcome:
    """What a function did on the hidden inputs, up to where it stopped."""

    values: list[Terms] = field(default_factory=list)
    error: BaseException | None = None
    timed_out: bool = False
    spoiled: bool = False
    coarse: bool = False
    helpers: set[str] = field(default_factory=set)
    seen: Mistake | None = None  # by the exercise's own look


def judge_function(
    exercise: Function, answer: Any, generator: Generator, seconds: float, *, brief: bool = False
) -> Verdict:
    """The verdict on a student's function; a brief one does not ask what is wrong, or how."""
    cases = exercise.cases(generator)
    try:
        function = as_function(answer, exercise.call)
    except WrongForm as problem:
        return _verdict(exercise, "wrong", str(problem))
    expected = [to_terms(exercise.reference(*copied(c)), exercise.terms) for c in cases]
    outcome = _outcome(exercise, function, cases, seconds)
    if outcome.timed_out:
        return too_slow(exercise, seconds)
    if isinstance(outcome.error, StillDots):
        return _verdict(exercise, "not yet", str(outcome.error))
    if outcome.error is not None and not isinstance(outcome.error, WrongForm):
        known = _recognised(exercise, outcome, cases)
        return failed(exercise, outcome.error, known)
    if outcome.spoiled:
        return spoiled(exercise)
    outcome.values = [fitted(v, e) for v, e in zip(outcome.values, expected, strict=False)]
    right = [terms_close(v, e) for v, e in zip(outcome.values, expected, strict=False)]
    if outcome.error is None and all(right):
        return _right(exercise, outcome, len(cases))
    if brief:
        return _verdict(exercise, "wrong", "")
    known = _recognised(exercise, outcome, cases)
    if known is None and isinstance(outcome.error, WrongForm):
        return _verdict(exercise, "wrong", str(outcome.error))
    pairs = zip(outcome.values, expected, strict=False)
    if outcome.coarse and all(compare.coarsely_close(v, e) for v, e in pairs):
        return _verdict(exercise, "wrong", COARSE)
    where = right.index(False) if False in right else 0
    problem = known or outcome.seen or _slip(exercise, function, cases, outcome, where)
    how = "" if problem else _how(exercise, function, cases, outcome, expected)
    failing = failing_input(cases[_smallest(cases, right)], argument_names(exercise.call))
    return _wrong(exercise, problem, outcome.values[where], expected[where], how, failing)


COARSE = (
    "As far as 16 bits can tell, this is right. But half precision is too coarse to tell right "
    "from wrong: return float32 or float64."
)


def _right(exercise: Function, outcome: Outcome, count: int) -> Verdict:
    """The values are right; what is left are the rules of the statement."""
    if outcome.helpers:
        return forbidden(exercise, outcome.helpers)
    if outcome.seen is not None:
        message = "The values are right, but something else is not."
        return Verdict(exercise.id, exercise.title, "wrong", message, outcome.seen.name,
                       outcome.seen.hint)  # fmt: skip
    return _verdict(exercise, "passed", f"Right on {count} hidden random inputs ({FAIR}).")


def forbidden(exercise: Any, helpers: set[str]) -> Verdict:
    """The verdict on an answer that lets a forbidden helper do the work."""
    name = sorted(helpers)[0]
    said = "a function of dmlib" if name == "dmlib" else name
    return Verdict(
        exercise.id,
        exercise.title,
        "wrong",
        "The statement asks you to do without it.",
        mistake=f"{said} does the work",
        hint="Write the formula yourself: that is the exercise.",
    )


def failed(exercise: Any, error: BaseException, known: Any = None) -> Verdict:
    """The verdict on code that raised: a stub's NotImplementedError, or the student's own lines."""
    if is_stub(error):
        message = "The stub is still there: replace it by your own lines, then check again."
        return _verdict(exercise, "not yet", message)
    if isinstance(error, StillDots):
        return _verdict(exercise, "not yet", str(error))
    return Verdict(
        exercise.id,
        exercise.title,
        "error",
        "It happened on one of the hidden inputs; these are your lines.",
        mistake=known.name if known else "",
        hint=known.hint if known else advice(error),
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
    exercise: Function, function: Callable[..., Any], cases: list[Args], seconds: float
) -> Outcome:
    outcome = Outcome()

    def work() -> None:
        form = fitting_form(function, cases[0])
        for case in cases:
            given = form(copied(case))
            before = copied(given)
            value = function(*given)
            outcome.spoiled |= changed(before, given)
            if exercise.look is not None and outcome.seen is None:
                outcome.seen = exercise.look(given, value)
            outcome.coarse |= is_coarse(value)
            outcome.values.append(to_terms(value, exercise.terms))
        if exercise.forbidden:
            given = form(copied(cases[0]))
            elsewhere = getattr(function, "asked_elsewhere", None)
            outcome.helpers = (
                elsewhere(given, exercise.forbidden)
                if elsewhere
                else helpers_used(lambda: function(*given), exercise.forbidden)
            )

    run = run_limited(work, seconds=seconds)
    outcome.error, outcome.timed_out = run.error, run.timed_out
    return outcome


def _recognised(exercise: Function, outcome: Outcome, cases: list[Args]) -> Mistake | None:
    """The known mistake that gives just this outcome, errors included."""
    for mistake in exercise.mistakes:
        same = _outcome(exercise, mistake.wrong, cases, 5.0)
        if type(same.error) is not type(outcome.error):
            continue
        if len(same.values) != len(outcome.values) or not same.values:
            continue
        pairs = zip(outcome.values, same.values, strict=True)
        if all(terms_close(mine, theirs) for mine, theirs in pairs):
            return mistake
    return None


def _slip(
    exercise: Function,
    function: Callable[..., Any],
    cases: list[Args],
    outcome: Outcome,
    where: int,
) -> Mistake | None:
    """Slips that can happen in every exercise, each found by testing for it."""
    again = _outcome(exercise, function, cases, 5.0)
    if len(again.values) == len(outcome.values) and not all(
        _alike(a, b) for a, b in zip(again.values, outcome.values, strict=True)
    ):
        return Mistake(
            "two calls with the same inputs give two results",
            None,
            "Use the noise that is handed to your function; it must not draw its own.",
        )
    if not all(bool(torch.isfinite(v).all()) for v in outcome.values[where].values()):
        return Mistake(
            "NaN or infinity in the result",
            None,
            "Look for a division by zero, a root of a negative number, a logarithm of zero.",
        )
    if all(bool((v == 0).all()) for terms in outcome.values for v in terms.values()):
        return Mistake("everything is zero", None, "Which line should fill the result?")
    return _unchanged(cases, outcome)


def _alike(a: Terms, b: Terms) -> bool:
    return all(a[n].shape == b[n].shape and torch.equal(a[n].nan_to_num(), b[n].nan_to_num())
               for n in a)  # fmt: skip


def _unchanged(cases: list[Args], outcome: Outcome) -> Mistake | None:
    """An argument that comes back as it is, in every case."""
    if any("" not in value for value in outcome.values):
        return None
    for i in range(len(cases[0])):
        pairs = [(c[i], v[""]) for c, v in zip(cases, outcome.values, strict=False)]
        if all(isinstance(x, Tensor) and x.shape == v.shape for x, v in pairs) and all(
            torch.allclose(x.to(torch.float64), v) for x, v in pairs
        ):
            return Mistake(
                "one of the inputs comes back unchanged", None, "Is the result what you return?"
            )
    return None


def _how(
    exercise: Function,
    function: Callable[..., Any],
    cases: list[Args],
    outcome: Outcome,
    expected: list[Terms],
) -> str:
    """The explanation; it may run the student's code again, so it has a limit, too."""
    run = run_limited(
        lambda: explain(exercise, function, cases, outcome.values, expected), seconds=5.0
    )
    return run.value or ""


def _smallest(cases: list[Args], right: list[bool]) -> int:
    """The failing input with the fewest numbers: the one to try by hand."""
    bad = [k for k, ok in enumerate(right) if not ok] or [0]
    return min(bad, key=lambda k: sum(a.numel() for a in cases[k] if isinstance(a, Tensor)))


def spoiled(exercise: Any) -> Verdict:
    """The verdict on an answer that changed what it was given."""
    return Verdict(
        exercise.id,
        exercise.title,
        "wrong",
        "Your function changed a tensor that was handed to it.",
        mistake="an input is changed in place",
        hint="x *= 2 or x[0] = 1 changes the caller's tensor too: write x = x * 2, or clone first.",
    )


def _wrong(
    exercise: Function,
    problem: Mistake | None,
    found: Terms,
    expected: Terms,
    how: str,
    failing: str,
) -> Verdict:
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
        how=how,
        failed_on=failing,
    )
