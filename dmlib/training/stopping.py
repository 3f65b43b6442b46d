"""Ctrl-C, SIGTERM and SIGUSR1 as a flag, which a training reads between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

# Windows knows no SIGUSR1.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
]


@contextlib.contextmanager
def stop_between_steps(*, patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C, SIGTERM or SIGUSR1 only raises a flag, which the yielded function reads.

    SIGUSR1 is what a cluster sends some time before its limit (Slurm's --signal=USR1@120).
    A second Ctrl-C acts at once, but for `patient`: of several processes none may leave alone, and
    a launcher passes on to them what they had already got.
    """
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT and not patient:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may set handlers
        return
    before = {n: signal.signal(n, note) for n in SIGNALS}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
