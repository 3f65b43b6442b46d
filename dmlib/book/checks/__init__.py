"""Exercises that check themselves: `check("ex-kernel-1", my_function)` and `progress()`."""

from dmlib.book.checks.engine import check
from dmlib.book.checks.state import progress

__all__ = ["check", "progress"]
