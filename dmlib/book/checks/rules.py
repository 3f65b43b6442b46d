"""Rules that a statement gives: which helpers are not to be used, and whose randomness."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import dmlib

_DMLIB = str(Path(dmlib.__file__).parent)
_BOOK = str(Path(dmlib.__file__).parent / "book")


def helpers_used(work: Callable[[], Any], forbidden: tuple[str, ...]) -> set[str]:
    """Names out of `forbidden` that are called while `work` runs, by whatever name they go there.

    Args:
        work: calls the answer once; its errors get out.
        forbidden: names of functions of dmlib or torch; "dmlib" stands for all of the library.
    """
    wanted, seen = set(forbidden), set()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            name, file = frame.f_code.co_name, frame.f_code.co_filename
            ours = file.startswith(_DMLIB) and not file.startswith(_BOOK)
            library = ours or "site-packages" in file
            if ours and "dmlib" in wanted and name != "__getattr__":
                seen.add("dmlib")
        elif event == "c_call":
            name, library = getattr(arg, "__name__", ""), True
        else:
            return
        # A student's own function may have the name of the one that it replaces.
        if library and name in wanted:
            seen.add(name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return seen
