"""Exercises that check themselves: `check("ex-kernel-1", my_function)` and `progress()`."""

from dmlib.checks.engine import check
from dmlib.checks.state import progress

__all__ = ["check", "progress"]
