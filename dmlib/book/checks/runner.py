"""Run a student's code: with a time limit, and so that no error of theirs gets out."""

from __future__ import annotations

import ctypes
import dis
import itertools
import linecache
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

# Frames below these folders are not the student's lines.
_OURS = str(Path(__file__).parents[2])


class _TimeUp(BaseException):
    """Not an Exception, so that a student's `except Exception` does not swallow it."""


@dataclass(frozen=True)
class Run:
    """What came of it: a value, or an error, or the time limit."""

    value: Any = None
    error: BaseException | None = None
    timed_out: bool = False


def run_limited(work: Callable[[], Any], *, seconds: float) -> Run:
    """Call `work()`; stop it after `seconds`, on the main thread by a timer, else in a thread.

    KeyboardInterrupt gets out: the reader's own stop button must work.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, "setitimer"):
        return _run_with_timer(work, seconds)
    return _run_in_thread(work, seconds)


def _students(work: Callable[[], Any]) -> Any:
    """Marks the border: the timer raises only above this frame."""
    return work()


def _run(work: Callable[[], Any]) -> Run:
    try:
        return Run(value=_students(work))
    except _TimeUp:
        return Run(timed_out=True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Run(error=error)


def _run_with_timer(work: Callable[[], Any], seconds: float) -> Run:
    # After the first time the timer fires again within microseconds, at varying distances: a
    # bare `except:` in a loop swallows what is raised in its `try`, but not what hits beside it.
    distances = itertools.cycle(4e-6 * 1.5**k for k in range(12))

    def fire(signum: int, frame: FrameType | None) -> None:
        if _in_students_code(frame):
            signal.setitimer(signal.ITIMER_REAL, next(distances), 0.05)
            raise _TimeUp

    before = signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        return _run(work)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _in_students_code(frame: FrameType | None) -> bool:
    """Whether `_students` waits below this frame, so that `_run` catches what is raised here."""
    if frame is None or frame.f_code.co_filename == __file__:
        return False
    while frame is not None:
        if frame.f_code is _students.__code__:
            return True
        frame = frame.f_back
    return False


def _run_in_thread(work: Callable[[], Any], seconds: float) -> Run:
    runs: list[Run] = []

    def target() -> None:
        runs.append(_run(work))

    thread = threading.Thread(target=target, daemon=True, name="dmlib-check")
    thread.start()
    thread.join(seconds)
    # Asks the thread to stop; repeated, because a bare `except:` swallows one. What swallows all
    # is left behind as a daemon: Python has no way to end a thread by force.
    for _ in range(20):
        if not thread.is_alive():
            break
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_TimeUp))
        thread.join(0.05)
    return runs[0] if runs else Run(timed_out=True)


def is_stub(error: BaseException) -> bool:
    """Whether a `raise NotImplementedError` of the student's own raised it, not torch or NumPy.

    torch raises the same kind of error for `x ^ 2`, and for much that half precision cannot do.
    """
    trace = error.__traceback__
    if hasattr(error, "told"):  # by the grader's other process
        return bool(error.told["stub"])
    if not isinstance(error, NotImplementedError) or trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    if _is_library(trace.tb_frame.f_code.co_filename):
        return False
    last = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    return dis.opname[last] == "RAISE_VARARGS"


# Errors whose message says little to a beginner: a part of it, and what is meant.
_ADVICE = (
    ("bitwise_xor", "`^` is no power in Python: write `x ** 2`."),
    ("for ^:", "`^` is no power in Python: write `x ** 2`."),
    ("does not require a grad", "Do not call backward() inside: return the loss as it is."),
    ("not implemented for 'Half'", "Half precision cannot do this: stay with float32 or float64."),
    ("not implemented for 'BFloat16'", "16 bits cannot do this: stay with float32 or float64."),
    ("must match the size of tensor", "Two shapes do not fit: print them, and reshape one."),
    ("numpy() on Tensor that requires grad", "This tensor is being trained: stay with torch."),
    ("does not require grad", "Do not call backward() inside: return the loss as it is."),
    ("has no attribute 'sqrt'", "A plain number has no .sqrt(): use math.sqrt or ** 0.5."),
    ("'float' object has no attribute", "This argument is a plain number: use math, or **."),
    ("must be Tensor, not float", "This argument is a plain number: use math, or **."),
    ("is not defined", "A name is missing: is it imported, or spelled as in the arguments?"),
)


def advice(error: BaseException) -> str:
    """What is most likely meant by an error's message, or ""."""
    return next((said for part, said in _ADVICE if part in str(error)), "")


def short_trace(error: BaseException) -> str:
    """The error and the student's own lines that led to it; no line of a library."""
    if hasattr(error, "told"):
        return str(error.told["trace"])
    frames = traceback.extract_tb(error.__traceback__)
    lines = []
    for frame in frames:
        if _is_library(frame.filename):
            continue
        lines.append(f"{_place(frame.filename)}, line {frame.lineno}, in {frame.name}")
        source = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if source:
            lines.append(f"    {source}")
    if isinstance(error, SyntaxError) and error.text:
        lines.append(f"    {error.text.strip()}")
    text = str(error)
    lines.append(f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__)
    return "\n".join(lines[-13:])


def _is_library(filename: str) -> bool:
    parts = Path(filename).parts
    return (
        filename.startswith(_OURS)
        or "site-packages" in parts
        or "dist-packages" in parts
        or filename.startswith("<frozen")
        or any(part.startswith("python3.") for part in parts)
    )


def _place(filename: str) -> str:
    """A notebook's cell lives in a temporary file whose name says nothing."""
    cell = "ipykernel" in filename or filename.startswith("<ipython")
    return "your cell" if cell else Path(filename).name
