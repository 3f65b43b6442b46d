"""The four kinds of exercise. A chapter's file is a table of these; `engine` judges them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Generator

from dmlib.book.exercises.question import Option

Level = Literal["understand", "derive", "build"]


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer.

    Args:
        name: what went wrong, in words that end the sentence "Recognised: ...".
        wrong: what a student who makes it hands in. It is recognised by testing: the answer equals
            this one on all hidden inputs.
        hint: what to think about; it does not give the solution away.
    """

    name: str
    wrong: Any
    hint: str


@dataclass(frozen=True)
class Exercise:
    """What every exercise has.

    Args:
        id: such as "ex-kernel-1".
        level: understand, derive or build.
        title: a few words.
        minutes: how long a student needs.
    """

    id: str
    level: Level
    title: str
    minutes: int


@dataclass(frozen=True)
class Function(Exercise):
    """The student writes a function; it is compared with `reference` on hidden random inputs.

    Args:
        call: the call as in the stub, such as "q_step(x_prev, beta_t, eps)".
        cases: draws the hidden inputs from a generator; a list of argument tuples.
        reference: the right function.
        mistakes: at least two.
        terms: names of the terms of a derivation, which the function returns as a dict or as a
            tuple in this order; empty for a single value.
        forbidden: names of helpers that the statement rules out; "dmlib" is all of the library.
        look: looks at the inputs after the call and at what came back, before it is judged; it
            returns a mistake that the values alone do not show, or None.
    """

    call: str
    cases: Callable[[Generator], list[tuple[Any, ...]]]
    reference: Callable[..., Any]
    mistakes: tuple[Mistake, ...]
    terms: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    look: Callable[[tuple[Any, ...], Any], Mistake | None] | None = None


@dataclass(frozen=True)
class Number(Exercise):
    """The student predicts or computes a number.

    Args:
        reference: computes it, so that no figure is typed in by hand.
        tolerance: absolute.
        mistakes: at least two; `wrong` computes the number.
    """

    reference: Callable[[], float]
    tolerance: float
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class Quiz(Exercise):
    """One right option; the student hands in its letter.

    Args:
        question: the question, for the static page's quiz too.
        options: by letter, "a" onwards.
    """

    question: str
    options: dict[str, Option]

    @property
    def reference(self) -> str:
        """The right letter."""
        return next(letter for letter, option in self.options.items() if option.right)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Every wrong option, with its reason."""
        return tuple(
            Mistake(f"option {letter}", letter, option.reason)
            for letter, option in self.options.items()
            if not option.right
        )


@dataclass(frozen=True)
class Requirement:
    """What an open-ended answer must show when it is measured.

    Args:
        name: what is wrong where it is not met, in words that end "Recognised: ...".
        measured: key of the measurement.
        low, high: the measurement must lie between them.
        wrong: an answer that fails here, for the tests.
        hint: what to think about.
    """

    name: str
    measured: str
    low: float
    high: float
    wrong: Any
    hint: str


@dataclass(frozen=True)
class Open(Exercise):
    """Many right answers: the answer is measured, and the check only asks for plausibility.

    Args:
        call: the call as in the stub.
        measure: runs the answer and returns measurements by name; it may raise WrongForm.
        mistakes: requirements, in the order in which they are looked at.
        reference: a good answer.
        forbidden: as for a Function.
        prepare: runs before the clock starts, such as what is slow only the first time.
        slow: the hint for an answer that runs out of time; "" for the one that all share.
    """

    call: str
    measure: Callable[[Callable[..., Any], Generator], dict[str, float]]
    mistakes: tuple[Requirement, ...]
    reference: Callable[..., Any]
    prepare: Callable[[], Any] | None = None
    forbidden: tuple[str, ...] = ()
    slow: str = ""


def argument_names(call: str) -> tuple[str, ...]:
    """ "q_step(x_prev, beta_t)" -> ("x_prev", "beta_t")."""
    inside = call[call.index("(") + 1 : call.rindex(")")]
    return tuple(name.strip() for name in inside.split(",") if name.strip())


def answer_name(exercise: Exercise) -> str:
    """What the answer is called in the notebook: the function's name, or answer_3 for ex-…-3."""
    if isinstance(exercise, (Function, Open)):
        return exercise.call[: exercise.call.index("(")]
    return f"answer_{exercise.id.rsplit('-', 1)[1]}"
