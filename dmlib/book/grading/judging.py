"""The judge of one notebook: a process that a student's code never runs in.

It starts the student's process, hands it the cells and the hidden inputs, and judges the numbers
that come back. Where that process hangs or dies in a cell, a new one runs the others again.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.checks.engine import judge
from dmlib.book.exercises.exercise import Exercise
from dmlib.book.grading.cells import sources_of
from dmlib.book.grading.wire import Broken, Line, pack, unpack

_START = 120.0  # seconds for a process to begin, before any student's code runs
_GRACE = 5.0  # seconds that a cell may go on after it was asked to stop
_STARTS = 12  # of a student's process, at most

Row = tuple[str, str, str]


class Notebook:
    """A student's process, started anew where it must be."""

    def __init__(self, sources: list[str], limits: dict[str, float]) -> None:
        self.sources, self.limits = sources, limits
        self.skipped: set[int] = set()
        self.trouble, self.starts = "", 0
        self.until = time.monotonic() + limits["seconds"] + _START
        self.line: Line | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A process in which all cells have run that can.

        Raises:
            Broken: none can be had, or the time for the notebook is over.
        """
        while self.line is None:
            if self.starts >= _STARTS:
                raise Broken("its process died too often")
            self.starts += 1
            self._begin()
            for number, source in enumerate(self.sources):
                if number not in self.skipped and not self._cell(number, source):
                    break

    def _begin(self) -> None:
        ours, theirs = os.pipe(), os.pipe()
        command = [sys.executable, "-m", "dmlib.book.grading.student", str(ours[0]),
                   str(theirs[1]), str(int(self.limits["memory_mib"]))]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=(ours[0], theirs[1]), start_new_session=True,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self.line = Line(theirs[0], ours[1])
        self.line.receive(_START)
        # The clock starts here: a slow machine takes long to import torch.
        self.until = time.monotonic() + self.limits["seconds"]

    def _cell(self, number: int, source: str) -> bool:
        """Run a cell; False if it took the process with it."""
        seconds = min(self.limits["cell_seconds"], max(self.until - time.monotonic(), 0.0))
        if seconds <= 0:
            self._note(f"cell {number + 1}: no time left, stopped after "
                       f"{self.limits['seconds']:g} s in all")  # fmt: skip
            self.skipped |= set(range(number, len(self.sources)))
            return True
        try:
            assert self.line is not None
            self.line.send({"do": "cell", "source": source, "seconds": seconds})
            trouble = self.line.receive(seconds + _GRACE).get("trouble", "")
        except Broken as broken:
            self.skipped.add(number)
            self._note(f"cell {number + 1}: {broken}")
            self.end()
            return False
        if str(trouble).startswith("stopped"):
            trouble = f"cell {number + 1}: {trouble}"
        self._note(str(trouble))
        return True

    def _note(self, trouble: str) -> None:
        self.trouble = self.trouble or trouble[:200]

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and wait; a process that fails is ended, and Broken raised."""
        self.start()
        try:
            assert self.line is not None
            self.line.send(message)
            return self.line.receive(self.limits["answer_seconds"] + 2 * _GRACE)
        except Broken:
            self.end()
            raise

    def end(self) -> None:
        """End the process, its group, and whatever it left running."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        _end_children()
        self.process = self.line = None


class Remote:
    """A function that lives in the student's process."""

    def __init__(self, notebook: Notebook, handle: int, kind: str = "function") -> None:
        self._notebook, self._handle, self._kind = notebook, handle, kind
        self._born = notebook.starts
        self._given: list[Any] = []

    def __repr__(self) -> str:
        return f"a {self._kind}"

    def __call__(self, *args: Any) -> Any:
        reply = self._ask({"do": "call"}, args)
        if "error" in reply:
            raise _error(reply["error"])
        for i in reply.get("spoiled", []):
            _spoil(args[i])
        for i in reply.get("gradients", []):
            args[i].mark_gradient()
        for i, state in reply.get("states", {}).items():
            args[int(i)].set_state(unpack(state, self._remote).get_state())
        return unpack(reply["value"], self._remote)

    def asked_elsewhere(self, args: tuple[Any, ...], forbidden: tuple[str, ...]) -> set[str]:
        """Which of the forbidden helpers it calls there."""
        reply = self._ask({"do": "helpers", "names": list(forbidden)}, args)
        return {name for name in reply["used"] if name in forbidden}

    def _ask(self, message: dict[str, Any], args: tuple[Any, ...]) -> dict[str, Any]:
        if self._notebook.line is None or self._notebook.starts != self._born:
            raise Broken("the process ended")
        self._given = []
        packed = [pack(arg, self._keep) for arg in args]
        reply = self._notebook.ask(message | {"handle": self._handle, "args": packed})
        while "back" in reply:  # it asks the network that it was given
            reply = self._notebook.ask(self._answer(reply))
        return reply

    def _keep(self, value: Any) -> int:
        self._given.append(value)
        return len(self._given) - 1

    def _answer(self, reply: dict[str, Any]) -> dict[str, Any]:
        try:
            function = self._given[int(reply["back"])]
            value = function(*(unpack(arg, self._remote) for arg in reply["args"]))
            return {"value": pack(value, self._keep)}
        except Exception as error:  # a bad argument of the student's: theirs to see
            return {"error": str(error)[:300]}

    def _remote(self, handle: int, kind: str) -> Remote:
        return Remote(self._notebook, handle, kind)


def _spoil(arg: Any) -> None:
    """Show the judge that this argument was changed in place over there."""
    tensor = arg if isinstance(arg, Tensor) else getattr(arg, "beta", None)
    if isinstance(tensor, Tensor) and tensor.numel():
        tensor.view(-1)[:1] = torch.where(tensor.view(-1)[:1] == 0, 1, 0).to(tensor.dtype)


def _error(told: dict[str, Any]) -> BaseException:
    """An error of the same kind, with what the other process says of it."""
    found = getattr(builtins, str(told["type"]), None)
    known = isinstance(found, type) and issubclass(found, Exception)
    text = str(told["text"])
    try:
        error = found(text) if known else RuntimeError(text)
    except TypeError:  # such as UnicodeDecodeError, which wants five arguments
        error = RuntimeError(text)
    error.told = {"stub": bool(told["stub"]), "trace": str(told["trace"])}  # type: ignore[attr-defined]
    return error


def row_of(notebook: Notebook, exercise: Exercise) -> Row:
    """(status, mistake, note) for one exercise."""
    try:
        notebook.start()
        told = notebook.ask({"do": "describe", "exercise": exercise.id})
    except Broken as broken:
        return "not graded", "", notebook.trouble or str(broken)
    if told.get("missing"):
        return "missing", "", notebook.trouble
    if "form" in told:
        return "wrong", "", str(told["form"])
    try:
        answer = unpack(told["answer"], lambda handle, kind: Remote(notebook, handle, kind))
        seconds = notebook.limits["answer_seconds"]
        verdict = judge(exercise, answer, seed=None, seconds=seconds)
    except (Broken, KeyError) as broken:
        notebook.end()
        return "not graded", "", f"the answer's process: {broken}"
    status, mistake, note = verdict.status, verdict.mistake, verdict.message
    if "Broken" in verdict.trace or "could not be read" in verdict.trace:
        status = "not graded"
    if status in ("too slow", "not graded"):
        notebook.end()  # it still computes, or the line holds half an answer
    return status, mistake, "" if verdict.passed else f"{note} {verdict.how}".strip()


def _hide() -> None:
    """No other process of the user may look into this one's memory or environment (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
        libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what is left over comes to us


def _end_children() -> None:
    """End what came to us because its parents are gone (Linux)."""
    for _ in range(20):
        children = _children()
        if not children:
            return
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    task = Path(f"/proc/{os.getpid()}/task")
    try:
        files = [thread / "children" for thread in task.iterdir()]
        return [int(pid) for file in files for pid in file.read_text().split()]
    except (OSError, ValueError):
        return []


def read_notebook(data: bytes) -> list[str]:
    """Sources of the code cells.

    Raises:
        ValueError: this is no notebook.
    """
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
        return sources_of(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("not a notebook") from None


def main() -> None:
    """Read the order from stdin, write a line of JSON for each exercise to stdout."""
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _hide()
    order = json.loads(sys.stdin.readline())
    results = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.set_inheritable(results.fileno(), False)
    torch.set_num_threads(1)
    try:
        sources, trouble = read_notebook(Path(order["notebook"]).read_bytes()), ""
    except (ValueError, OSError) as error:
        sources, trouble = [], str(error)
    notebook = Notebook(sources, order["limits"])
    notebook.trouble = trouble
    print("ready", file=results, flush=True)
    try:
        for name in order["exercises"]:
            row = row_of(notebook, EXERCISES[name])
            print(json.dumps([name, *row]), file=results, flush=True)
    finally:
        notebook.end()


if __name__ == "__main__":
    main()
