"""Judge numbers, quizzes and open-ended answers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from torch import Generator

from dmlib.book.checks.calling import as_function, changed, copied, is_number
from dmlib.book.checks.compare import number
from dmlib.book.checks.judge import LOOPS, failed, spoiled, too_slow
from dmlib.book.checks.runner import run_limited
from dmlib.book.checks.verdict import Row, Verdict
from dmlib.book.exercises.exercise import Number, Open, Quiz, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor


def judge_number(exercise: Number, answer: Any, seconds: float) -> Verdict:
    """The verdict on a number, or on a function without arguments that returns it."""

    def verdict(status: Any, message: str, mistake: str = "", hint: str = "") -> Verdict:
        return Verdict(exercise.id, exercise.title, status, message, mistake, hint)

    if callable(answer):
        run = run_limited(answer, seconds=seconds)
        if run.timed_out:
            return too_slow(exercise, seconds)
        if run.error is not None:
            return failed(exercise, run.error)
        answer = run.value
    if not is_number(answer):
        return verdict("wrong", f"A number was expected, not a {type(answer).__name__}.")
    try:
        value = float(to_tensor(answer).reshape(()))
    except WrongForm:
        return verdict("wrong", f"A number was expected, not a {type(answer).__name__}.")
    if abs(value - exercise.reference()) <= exercise.tolerance:
        return verdict("passed", f"{number(value)} is right (within {exercise.tolerance:g}).")
    for mistake in exercise.mistakes:
        if abs(value - mistake.wrong()) <= exercise.tolerance:
            return verdict("wrong", f"{number(value)} is not it.", mistake.name, mistake.hint)
    if not math.isfinite(value):
        return verdict("wrong", "Not a finite number.")
    return verdict("wrong", f"{number(value)} is too {_how_far(value, exercise)}.")


def _how_far(value: float, exercise: Number) -> str:
    """Which way and roughly how far; the right number is not shown, it would end the exercise."""
    right = exercise.reference()
    side = "large" if value > right else "small"
    if value * right <= 0:
        return f"{side}: even its sign cannot be" if value else f"{side}: it is not 0"
    ratio = max(value / right, right / value)
    if abs(value - right) <= 2 * exercise.tolerance:
        return f"{side}, but only just: compute it with more digits"
    if ratio < 1.1:
        return f"{side}, by less than a tenth: look for an off-by-one, or for rounding"
    if ratio < 3:
        return f"{side}, by less than a factor of three"
    if ratio < 30:
        return f"{side}, by a factor of three to thirty: is a factor of the formula missing?"
    return f"{side}, by far: look at the units, and at what was squared"


def judge_quiz(exercise: Quiz, answer: Any) -> Verdict:
    """The verdict on a letter, with the reason for it."""

    def verdict(status: Any, message: str, mistake: str = "", hint: str = "") -> Verdict:
        return Verdict(exercise.id, exercise.title, status, message, mistake, hint)

    alone = re.findall(r"\b[a-z]\b", answer.lower()) if isinstance(answer, str) else []
    letter = alone[0] if len(alone) == 1 else ""  # "b", "(B)", "option b"
    if letter not in exercise.options:
        letters = ", ".join(f'"{name}"' for name in exercise.options)
        return verdict("wrong", f"Hand in one letter: {letters}.")
    option = exercise.options[letter]
    if option.right:
        return verdict("passed", option.reason)
    return verdict("wrong", f"You chose: {option.text}", f"option {letter}", option.reason)


def judge_open(exercise: Open, answer: Any, generator: Generator, seconds: float) -> Verdict:
    """The verdict on an open-ended answer: measured, and asked for plausibility only."""
    try:
        function = as_function(answer, exercise.call)
    except WrongForm as problem:
        return Verdict(exercise.id, exercise.title, "wrong", str(problem))
    if exercise.prepare is not None:
        exercise.prepare()
    watched = _Watched(function)
    run = run_limited(lambda: exercise.measure(watched, generator), seconds=seconds)
    if run.timed_out:
        return too_slow(exercise, seconds, exercise.slow or LOOPS)
    if run.error is None and watched.spoiled:
        return spoiled(exercise)
    if isinstance(run.error, WrongForm):
        return Verdict(exercise.id, exercise.title, "wrong", str(run.error))
    if run.error is not None:
        return failed(exercise, run.error)
    rows = _rows(exercise, run.value)
    missed = next((need for need in exercise.mistakes if not _met(need, run.value)), None)
    if missed is None:
        message = (
            "Plausible: your answer was measured and does what was asked. There are many good "
            "ones, so compare yours with the solution's, and with a neighbour's."
        )
        return Verdict(exercise.id, exercise.title, "passed", message, rows=rows)
    return Verdict(
        exercise.id,
        exercise.title,
        "wrong",
        "Your answer was measured; not everything that was asked for is met.",
        missed.name,
        missed.hint,
        rows,
    )


class _Watched:
    """The answer, called as it is; it is noted whether it spoils its inputs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self.spoiled = function, False

    def __call__(self, *args: Any) -> Any:
        before = copied(args)
        value = self._function(*args)
        self.spoiled |= changed(before, args)
        return value


def _met(need: Requirement, measured: dict[str, float]) -> bool:
    return need.low <= measured[need.measured] <= need.high  # NaN is not good


def _rows(exercise: Open, measured: dict[str, float]) -> tuple[Row, ...]:
    """One row a measurement, with all its bounds together."""
    bounds: dict[str, list[Requirement]] = {}
    for need in exercise.mistakes:
        bounds.setdefault(need.measured, []).append(need)
    rows = []
    for name, needs in bounds.items():
        asked = _range(max(need.low for need in needs), min(need.high for need in needs))
        good = all(_met(need, measured) for need in needs)
        rows.append(Row(name, asked, number(measured[name]), good))
    return tuple(rows)


def _range(low: float, high: float) -> str:
    if low == high:
        return f"{low:g}"
    if math.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
