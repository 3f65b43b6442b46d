"""The grader's process for one notebook: run its cells, judge its answers, write them down."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.checks.engine import judge
from dmlib.book.exercises.exercise import answer_name


def limit_memory(mebibytes: int) -> None:
    """Cap this process's address space and file size, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    size = mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 2**20, 64 * 2**20))


def code_cells(notebook: dict[str, Any]) -> list[str]:
    """Sources of the cells to run: no check cell, no line that is for IPython alone."""
    sources = []
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        if cell.get("cell_type") != "code" or "check" in tags:
            continue
        source = cell.get("source", "")
        sources.append(plain_python(source if isinstance(source, str) else "".join(source)))
    return sources


def plain_python(source: str) -> str:
    """The source without checks, and without magics where Python does not understand it."""
    source = re.sub(r"^(check|progress)\(.*", "", source, flags=re.MULTILINE)
    try:
        compile(source, "<cell>", "exec")
    except (SyntaxError, ValueError):
        # `pass`, so that an `if` above keeps a body.
        return re.sub(r"^([ \t]*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
    return source


def run_cells(sources: list[str]) -> tuple[dict[str, Any], str]:
    """Run the cells in one namespace; go on after an error, and return the first."""
    space: dict[str, Any] = {"__name__": "__main__", "display": lambda *_args, **_kwargs: None}
    first = ""
    for number, source in enumerate(sources, 1):
        try:
            exec(compile(source, f"<cell {number}>", "exec"), space)
        except BaseException as error:
            first = first or f"cell {number}: {type(error).__name__}: {error}"[:200]
    return space, first


def say_ready() -> None:
    """Tell the grader that its clock may start; from now on nobody reads what is printed."""
    os.write(1, b"ready\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def main() -> None:
    """Read the order from stdin before any of the student's code runs."""
    token, ids = json.loads(sys.stdin.readline() or sys.stdin.read())
    limit_memory(int(sys.argv[1]))
    try:
        cells = code_cells(json.loads(Path("notebook.ipynb").read_text(encoding="utf-8")))
        trouble = ""
    except (ValueError, KeyError, TypeError, AttributeError):
        cells, trouble = [], "not a notebook"
    # Kept before the student's code runs, which may put something else in their place.
    judges, exercises, write = judge, dict(EXERCISES), json.dumps
    seconds = float(sys.argv[2])
    say_ready()
    space, first = run_cells(cells)
    with Path(f"{token}.jsonl").open("a", encoding="utf-8") as file:
        for name in ids:
            exercise = exercises[name]
            if answer_name(exercise) not in space:
                row = ("missing", "", trouble or first)
            else:
                answer = space[answer_name(exercise)]
                verdict = judges(exercise, answer, seed=None, seconds=seconds)
                note = "" if verdict.passed else verdict.message
                row = (verdict.status, verdict.mistake, note)
            file.write(write([token, name, *row]) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
