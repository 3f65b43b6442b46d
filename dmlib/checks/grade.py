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
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dmlib
from dmlib.checks.catalog import CHAPTERS
from dmlib.checks.exercise import Exercise

COLUMNS = ("student", "exercise", "level", "status", "mistake", "note")
# Nothing of the lecturer's own environment (tokens, keys) reaches a student's code.
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Limits:
    """What one notebook may use: wall-clock seconds and address space in MiB."""

    seconds: float = 180.0
    memory_mib: int = 8192


def grade(folder: Path, table: Path, *, chapter: str | None, limits: Limits) -> int:
    """Grade every notebook below `folder`, write the CSV `table`; return its number of rows."""
    count = 0
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for notebook in sorted(folder.rglob("*.ipynb")):
            if ".ipynb_checkpoints" in notebook.parts:
                continue
            student = notebook.relative_to(folder).with_suffix("").as_posix()
            for row in _rows(notebook, chapter, limits):
                writer.writerow([_plain(cell) for cell in (student, *row)])
                count += 1
            file.flush()
    return count


def _plain(cell: str) -> str:
    """No spreadsheet may take a student's text for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _exercises(notebook: Path, chapter: str | None) -> list[Exercise]:
    named = [name for name in CHAPTERS if name in notebook.stem.lower()]
    chosen = [chapter] if chapter else named or list(CHAPTERS)
    return [exercise for name in chosen for exercise in CHAPTERS[name]]


def _rows(notebook: Path, chapter: str | None, limits: Limits) -> Iterator[tuple[str, ...]]:
    exercises = _exercises(notebook, chapter)
    found, trouble = _run(notebook, [e.id for e in exercises], limits)
    for exercise in exercises:
        status, mistake, note = found.get(exercise.id, ("not graded", "", trouble))
        yield exercise.id, exercise.level, status, mistake, note


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
    env |= {"HOME": str(place), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "2"}
    env["PYTHONPATH"] = str(Path(dmlib.__file__).parent.parent)
    command = [sys.executable, "-m", "dmlib.checks.grade_one", str(limits.memory_mib)]
    process = subprocess.Popen(
        command, cwd=place, env=env, stdin=subprocess.PIPE, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        process.communicate(order, timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {limits.seconds:g} s"
    except BrokenPipeError:
        return "the process ended before it began"
    finally:
        _end(process)
    return "" if process.returncode == 0 else f"the process ended with {process.returncode}"


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
