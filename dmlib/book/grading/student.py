"""The process in which a student's notebook runs. It judges nothing: it runs cells and answers.

Started by the judge with two file descriptors; everything that it is told and tells goes over
them as plain data (`wire`). Whatever a notebook breaks in here, it breaks for itself alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.checks.calling import as_function, changed, copied
from dmlib.book.checks.rules import helpers_used
from dmlib.book.checks.runner import is_stub, run_limited, short_trace
from dmlib.book.exercises.exercise import Function, Open, answer_name
from dmlib.book.exercises.values import WrongForm
from dmlib.book.grading.cells import Cells
from dmlib.book.grading.wire import MESSAGE, Line, pack, unpack


def limit_memory(mebibytes: int) -> None:
    """Cap this process's address space and file size, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    size = mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 2**20, 64 * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Student:
    """Answers the judge's messages: run a cell, say what there is, call it."""

    def __init__(self, line: Line) -> None:
        self.line, self.cells, self.kept = line, Cells(), []

    def serve(self) -> None:
        """Until the judge says that it is enough."""
        while True:
            message = self.line.receive()
            todo: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
                "cell": self.cell, "describe": self.describe, "call": self.call,
                "helpers": self.helpers,
            }  # fmt: skip
            if message["do"] == "end":
                return
            self.line.send(todo[message["do"]](message))

    def cell(self, message: dict[str, Any]) -> dict[str, Any]:
        run = run_limited(lambda: self.cells.run(message["source"]), seconds=message["seconds"])
        if run.timed_out:
            return {"trouble": f"stopped after {message['seconds']:g} s"}
        if run.error is not None:
            return {"trouble": _text(run.error)}
        return {"trouble": run.value or ""}

    def describe(self, message: dict[str, Any]) -> dict[str, Any]:
        """What stands under the exercise's name: nothing, a value, or something to call."""
        exercise = EXERCISES[message["exercise"]]
        name = answer_name(exercise)
        if name not in self.cells.space:
            return {"missing": True}
        answer = self.cells.space[name]
        if isinstance(exercise, (Function, Open)) and answer is not None and answer is not ...:
            try:
                answer = as_function(answer, exercise.call)
            except WrongForm as problem:
                return {"form": str(problem)[:MESSAGE]}
        return {"answer": pack(answer, self.keep)}

    def keep(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept) - 1

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Call it; say what came back, and what became of the arguments."""
        args = self.arguments(message)
        before = copied(args)
        try:
            value = self.kept[message["handle"]](*args)
        except KeyboardInterrupt:
            return {"error": {"type": "RuntimeError", "text": "interrupted", "stub": False,
                              "trace": "interrupted"}}  # fmt: skip
        except BaseException as error:
            return {"error": _error(error)}
        spoiled = [i for i in range(len(args)) if changed(before[i : i + 1], args[i : i + 1])]
        gradients = [i for i, arg in enumerate(args)
                     if hasattr(arg, "gradient") and arg.gradient() is not None]  # fmt: skip
        states = {str(i): pack(arg, self.keep) for i, arg in enumerate(args)
                  if hasattr(arg, "get_state")}  # fmt: skip
        return {"value": pack(value, self.keep), "spoiled": spoiled, "gradients": gradients,
                "states": states}  # fmt: skip

    def helpers(self, message: dict[str, Any]) -> dict[str, Any]:
        args, function = self.arguments(message), self.kept[message["handle"]]
        try:
            return {"used": sorted(helpers_used(lambda: function(*args), tuple(message["names"])))}
        except BaseException:
            return {"used": []}

    def arguments(self, message: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(unpack(arg, self.asks_back) for arg in message["args"])

    def asks_back(self, handle: int, kind: str) -> Callable[..., Any]:
        """A function that lives with the judge, such as a network that counts its calls."""

        def function(*args: Any) -> Any:
            self.line.send({"back": handle, "args": [pack(arg, self.keep) for arg in args]})
            reply = self.line.receive()
            if "error" in reply:
                raise ValueError(str(reply["error"]))
            return unpack(reply["value"], self.asks_back)

        return function


def _error(error: BaseException) -> dict[str, Any]:
    try:
        trace = short_trace(error)
    except BaseException:  # an error may have a __str__ of its own
        trace = type(error).__name__
    return {"type": type(error).__name__[:100], "text": _text(error)[:MESSAGE],
            "stub": is_stub(error), "trace": trace[:MESSAGE]}  # fmt: skip


def _text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:200]
    except BaseException:
        return type(error).__name__


def main() -> None:
    """Serve the judge over the two descriptors of the command line."""
    reads, writes, memory = (int(word) for word in sys.argv[1:4])
    for descriptor in (reads, writes):
        os.set_inheritable(descriptor, False)  # no program that a notebook starts gets them
    limit_memory(memory)
    student = Student(Line(reads, writes))
    with contextlib.suppress(Exception):  # without IPython a notebook has none either
        import IPython
        from IPython.core import getipython

        IPython.get_ipython = getipython.get_ipython = lambda: student.cells.shell
    student.line.send({"ready": True})
    student.serve()


if __name__ == "__main__":
    main()
