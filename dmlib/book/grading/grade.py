"""Grade students' notebooks: each in a process of its own, with limits; one CSV for all.

The check cells of a notebook are not trusted, nor even run: the grader takes the student's
functions by name and judges them itself. Each notebook runs as the user who grades: the limits
stop accidents and clumsy tricks, they are no sandbox. Grade strangers' notebooks in a container.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dmlib
from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.checks.engine import SECONDS
from dmlib.book.exercises.exercise import Exercise

_START = 120.0  # seconds for a process to begin, before any student's code runs
COLUMNS = ("student", "exercise", "level", "status", "mistake", "note")
# Nothing of the lecturer's own environment (tokens, keys) reaches a student's code.
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Limits:
    """What one notebook may use.

    Args:
        seconds: wall-clock time for all of its cells and answers.
        memory_mib: address space, MiB.
        answer_seconds: for the judging of one answer.
    """

    seconds: float = 180.0
    memory_mib: int = 8192
    answer_seconds: float = SECONDS


def grade(folder: Path, table: Path, *, chapter: str | None, limits: Limits, jobs: int = 1) -> int:
    """Grade every notebook below `folder`, write the CSV `table`; return its number of rows.

    Args:
        folder: with one notebook a student, also in subfolders.
        table: the CSV file, a row for each student and exercise; it grows while grading goes on.
        chapter: such as "kernel"; None takes it from each file's name, or all chapters.
        limits: for one notebook.
        jobs: how many notebooks run at the same time.
    """
    notebooks = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in folder.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    students = sorted(notebooks)
    count = 0
    with table.open("w", newline="", encoding="utf-8") as file, ThreadPoolExecutor(jobs) as pool:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        every = pool.map(lambda name: _rows(notebooks[name], chapter, limits), students)
        for student, rows in zip(students, every, strict=True):
            for row in rows:
                writer.writerow([_plain(cell) for cell in (student, *row)])
            count += len(rows)
            file.flush()
    return count


def _plain(cell: str) -> str:
    """No spreadsheet may take a student's text for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _exercises(notebook: Path, chapter: str | None) -> list[Exercise]:
    named = [name for name in CHAPTERS if name in notebook.stem.lower()]
    chosen = [chapter] if chapter else named or list(CHAPTERS)
    return [exercise for name in chosen for exercise in CHAPTERS[name]]


def _rows(notebook: Path, chapter: str | None, limits: Limits) -> list[tuple[str, ...]]:
    exercises = _exercises(notebook, chapter)
    found, trouble = _run(notebook, [e.id for e in exercises], limits)
    lost = ("not graded", "", trouble or "the process ended before it came to this exercise")
    return [(e.id, e.level, *found.get(e.id, lost)) for e in exercises]


def _run(
    notebook: Path, ids: list[str], limits: Limits
) -> tuple[dict[str, tuple[str, str, str]], str]:
    """(result by exercise, what stopped the notebook or "")."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="dmlib-grade-") as place:
        # Copied, so that no student's code can change what was handed in.
        (Path(place) / "notebook.ipynb").write_bytes(notebook.read_bytes())
        result = Path(place) / f"{token}.jsonl"
        trouble = _process(Path(place), json.dumps([token, ids]), limits)
        return _read(result, token, ids), trouble


def _process(place: Path, order: str, limits: Limits) -> str:
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    env |= {"HOME": str(place), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = str(Path(dmlib.__file__).parent.parent)
    command = [sys.executable, "-m", "dmlib.book.grading.grade_one", str(limits.memory_mib)]
    process = subprocess.Popen(
        [*command, str(limits.answer_seconds)], cwd=place, env=env, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, text=True,
    )  # fmt: skip
    try:
        # The clock starts with the student's code: a slow machine takes long to import torch.
        if not _begins(process, order):
            return "the process did not begin"
        process.wait(limits.seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {limits.seconds:g} s"
    finally:
        _end(process)
    return "" if process.returncode == 0 else f"the process ended with {process.returncode}"


def _begins(process: subprocess.Popen[str], order: str) -> bool:
    """Hand the order over and wait for the word "ready"; no student's code has run by then."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(order + "\n")
        process.stdin.close()
    except BrokenPipeError:
        return False
    if os.name == "posix" and not select.select([process.stdout], [], [], _START)[0]:
        return False
    return process.stdout.readline() == "ready\n"


def _end(process: subprocess.Popen[str]) -> None:
    """End what the notebook left running: its own process group, which we started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _read(result: Path, token: str, ids: list[str]) -> dict[str, tuple[str, str, str]]:
    found: dict[str, tuple[str, str, str]] = {}
    try:
        lines = result.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            given, name, status, mistake, note = json.loads(line)
        except ValueError:
            continue
        if given == token and name in ids:
            found[name] = (str(status), str(mistake), str(note))
    return found
