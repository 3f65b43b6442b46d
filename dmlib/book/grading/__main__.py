"""For lecturers: `python -m dmlib.book.grading grade FOLDER`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.grading.grade import KEPT, Limits, grade


def main() -> None:
    """Read the command line and grade, without the environment variables that may be secrets."""
    _start_clean()
    parser = argparse.ArgumentParser(prog="python -m dmlib.book.grading")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "grade", help="run students' notebooks again and write one row per student and exercise"
    )
    command.add_argument(
        "folder", type=Path, help="with one notebook a student, also in subfolders"
    )
    command.add_argument("--csv", type=Path, default=Path("grades.csv"))
    command.add_argument("--chapter", choices=list(CHAPTERS), help="else from the file's name")
    command.add_argument("--seconds", type=float, default=180.0, help="limit for one notebook")
    command.add_argument("--cell-seconds", type=float, default=60.0, help="limit for one cell")
    command.add_argument("--memory", type=int, default=8192, help="limit for one notebook, MiB")
    command.add_argument("--jobs", type=int, default=1, help="notebooks at the same time")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"FOLDER must be a folder, got {options.folder}")
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    limits = Limits(
        seconds=options.seconds, memory_mib=options.memory, cell_seconds=options.cell_seconds
    )
    rows = grade(
        options.folder, options.csv, chapter=options.chapter, limits=limits, jobs=options.jobs
    )
    print(f"{rows} rows in {options.csv}")


def _start_clean() -> None:
    """Begin again with a clean environment: other processes of the user can read ours."""
    kept = {name: os.environ[name] for name in (*KEPT, "PYTHONPATH") if name in os.environ}
    if set(os.environ) - set(kept) - {"DMLIB_GRADING", "LC_CTYPE"}:
        command = [sys.executable, "-m", "dmlib.book.grading", *sys.argv[1:]]
        os.execve(sys.executable, command, kept | {"DMLIB_GRADING": "1"})


if __name__ == "__main__":
    main()
