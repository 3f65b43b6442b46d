"""Which cells are exercises, in the words of nbgrader (version 3 of its cell metadata)."""

from __future__ import annotations

import re

from nbformat import NotebookNode

_CHECK = re.compile(r'^check\("(ex-[\w-]+)"', re.MULTILINE)


def mark_exercises(cells: list[NotebookNode]) -> None:
    """Mark each stub as a solution and the check after it as a locked test, worth one point.

    nbgrader counts a test as failed if its cell raises: set DMLIB_STRICT_CHECKS=1 there.
    """
    stub: NotebookNode | None = None
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if "stub" in tags:
            stub = cell
        named = _CHECK.search(cell.source) if "check" in tags else None
        if stub is None or named is None:
            continue
        stub.metadata["nbgrader"] = _marks(named[1], solution=True)
        cell.metadata["nbgrader"] = _marks(f"{named[1]}-check", solution=False) | {"points": 1}
        stub = None


def _marks(grade_id: str, *, solution: bool) -> dict:
    return {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": not solution,
        "locked": not solution,
        "solution": solution,
        "task": False,
    }
