"""Grade students' notebooks: a judge for each, a process of its own for its code; one CSV for all.

The check cells of a notebook are not trusted, nor even run. Its code runs in a process that gets
hidden inputs as plain numbers and hands back plain numbers; another process judges them, in which
no student's code ever runs. Both run as the user who grades: the limits stop accidents and clumsy
tricks, they are no sandbox. Grade strangers' notebooks in a container.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import dmlib
from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.checks.engine import SECONDS
from dmlib.book.exercises.exercise import Exercise

COLUMNS = ("student", "exercise", "level", "status", "mistake", "note")
# Nothing of the lecturer's own environment (tokens, keys) reaches a student's code.
KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Limits:
    """What one notebook may use.

    Args:
        seconds: wall-clock time for all of its cells.
        memory_mib: address space, MiB.
        answer_seconds: for the judging of one answer.
        cell_seconds: for one cell; a cell that takes longer is stopped, the others count.
    """

    seconds: float = 180.0
    memory_mib: int = 8192
    answer_seconds: float = SECONDS
    cell_seconds: float = 60.0


def grade(folder: Path, table: Path, *, chapter: str | None, limits: Limits, jobs: int = 1) -> int:
    """Grade every notebook below `folder`, write the CSV `table`; return its number of rows.

    Args:
        folder: with one notebook a student, also in subfolders.
        table: the CSV file, a row for each student and exercise; it grows while grading goes on.
            Its folder is made if it is not there.
        chapter: such as "kernel"; None takes it from each file's name, or all chapters.
        limits: for one notebook.
        jobs: how many notebooks run at the same time.
    """
    notebooks = {_student(path, folder): path for path in _found(folder)}
    students, count = sorted(notebooks), 0
    table.parent.mkdir(parents=True, exist_ok=True)
    # A file's name or a note may hold what is no text at all.
    with (
        table.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ThreadPoolExecutor(jobs) as pool,
        _deaf(),
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        every = pool.map(lambda name: _rows(notebooks[name], chapter, limits), students)
        for student, rows in zip(students, every, strict=True):
            for row in rows:
                writer.writerow([_plain(cell) for cell in (student, *row)])
            count += len(rows)
            file.flush()
    return count


def _found(folder: Path) -> Iterator[Path]:
    """Whatever is named like a notebook, but for what editors and archives add."""
    for path in sorted(folder.rglob("*.ipynb")):
        extra = {".ipynb_checkpoints", "__MACOSX"} & set(path.parts)
        if not extra and not path.name.startswith("._"):
            yield path


def _student(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A notebook may send SIGTERM or SIGHUP to its grader; Ctrl-C still ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _plain(cell: str) -> str:
    """No spreadsheet may take a student's text for a formula, nor a control character for one."""
    cell = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in cell)
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def _exercises(notebook: Path, chapter: str | None) -> list[Exercise]:
    named = [name for name in CHAPTERS if name in notebook.stem.lower()]
    chosen = [chapter] if chapter else named or list(CHAPTERS)
    return [exercise for name in chosen for exercise in CHAPTERS[name]]


def _rows(notebook: Path, chapter: str | None, limits: Limits) -> list[tuple[str, ...]]:
    """The rows of one student; whatever happens, it is this student's alone."""
    exercises = _exercises(notebook, chapter)
    try:
        if not notebook.is_file():
            raise OSError("not a file: a folder, or a link that leads nowhere")
        found, trouble = _run(notebook, [e.id for e in exercises], limits)
    except Exception as error:  # whatever it is, the others are still to be graded
        found, trouble = {}, f"{error}"[:200] or type(error).__name__
    lost = ("not graded", "", trouble or "the judge's process ended before it came to this")
    return [(e.id, e.level, *found.get(e.id, lost)) for e in exercises]


def _run(
    notebook: Path, ids: list[str], limits: Limits
) -> tuple[dict[str, tuple[str, str, str]], str]:
    """(result by exercise, what stopped the judge or "")."""
    # What a notebook leaves running may still write while the folder is emptied.
    with tempfile.TemporaryDirectory(prefix="dmlib-grade-", ignore_cleanup_errors=True) as place:
        copied = Path(place) / "notebook.ipynb"
        copied.write_bytes(notebook.read_bytes())
        order = {"notebook": str(copied), "exercises": ids, "limits": asdict(limits)}
        return _judged(Path(place), json.dumps(order), ids, limits)


def _judged(
    place: Path, order: str, ids: list[str], limits: Limits
) -> tuple[dict[str, tuple[str, str, str]], str]:
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {"HOME": str(place), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = str(Path(dmlib.__file__).parent.parent)
    work = place / "work"
    work.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "dmlib.book.grading.judging"], cwd=work, env=env,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True, text=True, encoding="ascii", errors="replace",
    )  # fmt: skip
    # Each answer may take its time and, at worst, a new start of the student's process.
    longest = 5 * (limits.seconds + 120) + len(ids) * 3 * (limits.answer_seconds + 20)
    try:
        out, _ = process.communicate(order + "\n", timeout=longest)
        trouble = "" if process.returncode == 0 else f"the judge ended with {process.returncode}"
    except subprocess.TimeoutExpired:
        out, trouble = "", f"stopped after {longest:g} s"
    finally:
        _end(process)
    return _read(out, ids), trouble


def _end(process: subprocess.Popen[str]) -> None:
    """End the judge's process group, which we started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _read(out: str, ids: list[str]) -> dict[str, tuple[str, str, str]]:
    found: dict[str, tuple[str, str, str]] = {}
    for line in out.splitlines():
        try:
            name, status, mistake, note = json.loads(line)
        except ValueError:
            continue
        if name in ids:
            found[name] = (str(status), str(mistake), str(note))
    return found
