"""Progress: what is solved, in a file beside the notebook (on Colab, on a mounted Drive)."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.checks.verdict import Verdict

FILE = ".dmlib-progress.json"
DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts it; the machine's own disk is lost


def load(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The record by exercise id; empty where there is no readable file."""
    # What was solved before Drive was mounted counts, too.
    return (_read(Path.cwd() / FILE) if folder is None else {}) | _read(_path(folder))


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        done = data["exercises"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if not isinstance(done, dict):
        return {}
    return {key: value for key, value in done.items() if isinstance(value, dict)}


def record(verdict: Verdict, folder: Path | None = None) -> None:
    """Add one try. A folder that cannot be written to is no reason to stop a student."""
    done = load(folder)
    entry = done.setdefault(verdict.exercise, {})
    tries = entry.get("tries", 0)
    entry["tries"] = (tries if isinstance(tries, int) else 0) + 1
    if verdict.passed and not entry.get("passed"):
        entry["passed"] = datetime.now(UTC).isoformat(timespec="seconds")
    with contextlib.suppress(OSError):
        _path(folder).parent.mkdir(exist_ok=True)
        _write(_path(folder), json.dumps({"version": 1, "exercises": done}, indent=1))


def _path(folder: Path | None) -> Path:
    if folder is None and DRIVE.is_dir():
        folder = DRIVE / "diffusion-book"
    return (folder or Path.cwd()) / FILE


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another notebook may read the file at this moment."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".dmlib-progress-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Progress:
    """A table of what is solved, one row an exercise: (chapter, id, title, level, sign)."""

    rows: tuple[tuple[str, str, str, str, str], ...]

    def by_chapter(self) -> dict[str, tuple[int, int, int]]:
        """(solved, tried but not solved, all) by chapter."""
        signs: dict[str, list[str]] = {}
        for chapter, _, _, _, sign in self.rows:
            signs.setdefault(chapter, []).append(sign[0])
        return {name: (s.count("✓"), s.count("·"), len(s)) for name, s in signs.items()}

    def __str__(self) -> str:
        lines = [self._summary()]
        counts = self.by_chapter()
        if len(counts) > 1:
            lines += [f"  {name:16} {solved} of {n}" for name, (solved, _, n) in counts.items()]
        lines += [
            f"  {ex:16} {sign:12} {level:11} {title}" for _, ex, title, level, sign in self.rows
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _summary(self) -> str:
        solved = sum(row[4].startswith("✓") for row in self.rows)
        return f"{solved} of {len(self.rows)} exercises solved"

    def _repr_html_(self) -> str:
        heads = ("chapter", "exercise", "title", "kind", "state")
        each = _table(heads, self.rows)
        counts = self.by_chapter()
        if len(counts) < 2:
            return f"<p style='margin:0'>{self._summary()}</p>{each}"
        chapters = _table(
            ("chapter", "solved", "tried", "of"),
            [(name, *map(str, numbers)) for name, numbers in counts.items()],
        )
        return (
            f"<p style='margin:0'>{self._summary()}</p>{chapters}"
            f"<details><summary>Each exercise</summary>{each}</details>"
        )


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cell = "style='text-align:left;padding:.1em .8em .1em 0;color:inherit;background:none'"
    head = "".join(f"<th scope='col' {cell}>{name}</th>" for name in heads)
    body = "".join(
        "<tr style='background:none'>"
        + "".join(f"<td {cell}>{escape(value)}</td>" for value in row)
        + "</tr>"
        for row in rows
    )
    return (
        "<table style='border-collapse:collapse;font-size:.9em;color:inherit'>"
        f"<thead><tr style='background:none'>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def progress(chapter: str | None = None, *, folder: Path | None = None) -> Progress:
    """What is solved so far, from the file in the notebook's folder.

    Args:
        chapter: such as "kernel"; None for all.
        folder: where the progress file lies; None for the current one.

    Raises:
        ValueError: there is no such chapter.
    """
    if chapter is not None and chapter not in CHAPTERS:
        raise ValueError(f"chapter must be one of {', '.join(CHAPTERS)}, got {chapter!r}")
    done = load(folder)
    rows = [
        (name, ex.id, ex.title, ex.level, _sign(done.get(ex.id, {})))
        for name, exercises in CHAPTERS.items()
        if chapter in (None, name)
        for ex in exercises
    ]
    return Progress(tuple(rows))


def _sign(entry: dict[str, Any]) -> str:
    if entry.get("passed"):
        return "✓ solved"
    return "· tried" if entry.get("tries") else "○ open"
