"""`check`: judge an answer. It never raises on a student's error."""

from __future__ import annotations

import difflib
import hashlib
import os
import secrets
from dataclasses import replace
from typing import Any

from torch import Generator

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.chapters.clues import CLUES
from dmlib.book.checks import state
from dmlib.book.checks.judge import judge_function
from dmlib.book.checks.judge_simple import judge_number, judge_open, judge_quiz
from dmlib.book.checks.verdict import Verdict
from dmlib.book.exercises.exercise import Exercise, Function, Number, Open, Quiz

SECONDS = 10.0


def check(
    exercise_id: str,
    answer: Any,
    *,
    seed: int | None = None,
    seconds: float = SECONDS,
    record: bool = True,
) -> Verdict:
    """Judge an answer to an exercise on hidden inputs; show what is wrong and why.

    Args:
        exercise_id: such as "ex-kernel-1".
        answer: the function itself, a number, or a quiz's letter; what the exercise asks for.
        seed: of the hidden inputs; None draws fresh ones each time.
        seconds: the time limit for the answer's code.
        record: whether a passed or tried exercise goes into the progress file.

    Returns:
        The verdict; a notebook shows it, with a clue folded away if it is not "passed". It never
        raises on a wrong answer, unless a grader asks for it: nbgrader does, and whoever sets the
        environment variable DMLIB_STRICT_CHECKS=1.

    Raises:
        CheckFailed: the answer is not right, and a grader asks.
    """
    exercise = EXERCISES.get(str(exercise_id))
    if exercise is None:
        near = difflib.get_close_matches(str(exercise_id), EXERCISES, n=1, cutoff=0.3)
        message = f"There is no exercise {exercise_id!r}."
        hint = f"Did you mean {near[0]}?" if near else ""
        return Verdict(str(exercise_id), "?", "unknown", message, hint=hint)
    verdict = judge(exercise, answer, seed=seed, seconds=seconds)
    if record and verdict.status != "not yet":
        state.record(verdict)
    if not verdict.passed:
        verdict = replace(verdict, clue=CLUES.get(exercise.id, ""))
    return verdict.require() if _graded() else verdict


def _graded() -> bool:
    """Whether a failed check shall raise; nbgrader, which needs it, sets a variable of its own."""
    by_nbgrader = "1" if "NBGRADER_EXECUTION" in os.environ else "0"
    return os.environ.get("DMLIB_STRICT_CHECKS", by_nbgrader) == "1"


def judge(
    exercise: Exercise, answer: Any, *, seed: int | None, seconds: float, brief: bool = False
) -> Verdict:
    """The verdict on an answer, without a record of it; if brief, without what is wrong."""
    if answer is None or answer is ...:
        return Verdict(
            exercise.id, exercise.title, "not yet", "Put your answer in place of the dots."
        )
    generator = _generator(exercise.id, seed)
    if isinstance(exercise, Function):
        return judge_function(exercise, answer, generator, seconds, brief=brief)
    if isinstance(exercise, Open):
        return judge_open(exercise, answer, generator, seconds)
    if isinstance(exercise, Number):
        return judge_number(exercise, answer, seconds)
    if isinstance(exercise, Quiz):
        return judge_quiz(exercise, answer)
    raise TypeError(f"no judge for {type(exercise).__name__}")


def _generator(exercise_id: str, seed: int | None) -> Generator:
    fresh = secrets.token_hex(8) if seed is None else str(seed)
    digest = hashlib.sha256(f"{exercise_id}/{fresh}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:7], "big"))
