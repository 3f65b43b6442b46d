"""Call an answer on hidden inputs: whatever it is written in, and without harm to the inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dmlib.book.checks.runner import is_stub
from dmlib.book.exercises.exercise import argument_names
from dmlib.book.exercises.values import WrongForm
from dmlib.schedules import NoiseSchedule

Args = tuple[Any, ...]


def as_function(answer: Any, call: str) -> Callable[..., Any]:
    """The answer as a function of positional arguments; a SymPy formula becomes one.

    Raises:
        WrongForm: it is no function, or takes other arguments than `call` says.
    """
    names = argument_names(call)
    if hasattr(answer, "asked_elsewhere"):  # the grader's: the arguments were looked at there
        return answer
    if hasattr(answer, "free_symbols") or _is_sympy_dict(answer):
        return _from_sympy(answer, names)
    if not callable(answer):
        raise WrongForm(
            f"Hand in the function itself, without brackets behind it: {call.split('(')[0]}. "
            f"What arrived is a {type(answer).__name__}."
        )
    try:
        parameters = inspect.signature(answer).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none
        return answer
    only_named = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    by_name = [name in only_named for name in names]

    def function(*args: Any) -> Any:
        pairs = list(zip(names, args, by_name, strict=True))
        positional = [value for _, value, named in pairs if not named]
        return answer(*positional, **{name: value for name, value, named in pairs if named})

    try:
        slots = [None] * (len(names) - sum(by_name))
        inspect.signature(answer).bind(
            *slots, **{n: None for n, named in zip(names, by_name, strict=True) if named}
        )
    except TypeError:
        raise WrongForm(f"Your function must take these arguments: {call}.") from None
    return function


def _is_sympy_dict(answer: Any) -> bool:
    return isinstance(answer, dict) and any(hasattr(v, "free_symbols") for v in answer.values())


def _from_sympy(answer: Any, names: tuple[str, ...]) -> Callable[..., Any]:
    import sympy  # torch depends on it, but most answers do not need it

    parts = answer if isinstance(answer, dict) else {"": answer}
    unknown = {str(s) for part in parts.values() for s in sympy.sympify(part).free_symbols}
    unknown -= set(names)
    if unknown:
        raise WrongForm(
            f"The formula uses {sorted(unknown)[0]}; it may use only {', '.join(names)}."
        )
    compiled = {key: sympy.lambdify(names, part, "numpy") for key, part in parts.items()}

    def function(*args: Any) -> Any:
        arrays = _arrays(args)
        values = {key: part(*arrays) for key, part in compiled.items()}
        return values if isinstance(answer, dict) else values[""]

    return function


def copied(args: Args) -> Args:
    """A deep enough copy: the answer may spoil it."""
    return tuple(_copy(arg) for arg in args)


def _copy(arg: Any) -> Any:
    if isinstance(arg, Tensor):
        return arg.clone()
    if isinstance(arg, NoiseSchedule):
        return NoiseSchedule(arg.beta, arg.name)  # it copies the table
    if isinstance(arg, Generator):
        return Generator().set_state(arg.get_state())
    return arg


def changed(before: Args, after: Args) -> bool:
    """Whether the answer changed a tensor, or a table of a schedule, in place."""
    return any(_changed(a, b) for a, b in zip(before, after, strict=True))


def _changed(a: Any, b: Any) -> bool:
    if isinstance(a, NoiseSchedule) and isinstance(b, NoiseSchedule):
        return any(_changed(getattr(a, name), getattr(b, name)) for name in ("beta", "alpha_bar"))
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return False
    return a.shape != b.shape or not torch.equal(a, b)


def _tensors(args: Args) -> Args:
    """Numbers as 0-d tensors, for those who write torch.sqrt(beta_t)."""
    return tuple(
        torch.tensor(arg, dtype=torch.float64) if isinstance(arg, float) else arg for arg in args
    )


def _arrays(args: Args) -> Args:
    """Tensors as arrays, for those who write NumPy."""
    return tuple(arg.numpy() if isinstance(arg, Tensor) else arg for arg in args)


def fitting_form(function: Callable[..., Any], args: Args) -> Callable[[Args], Args]:
    """The form of the arguments on which the function runs: as they are, 0-d tensors, arrays.

    The first form is returned where none works, so that its error is the one shown.
    """
    forms: tuple[Callable[[Args], Args], ...] = (copied, _tensors, _arrays)
    for form in forms:
        try:
            function(*form(copied(args)))
        except Exception as error:  # any error of the student's: try the next form
            if is_stub(error):
                return copied
            continue
        return form
    return copied


def is_number(value: Any) -> bool:
    """A Python, NumPy or 0-d tensor number (or anything that holds just one)."""
    if isinstance(value, (bool, str)) or value is None:
        return False
    try:
        return np.asarray(value.detach() if isinstance(value, Tensor) else value).size == 1
    except (TypeError, ValueError, RuntimeError):
        return False
