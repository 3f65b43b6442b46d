"""The exercises' cells carry nbgrader's marks, and only they do."""

from __future__ import annotations

import sys
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

from notebooks.grading import mark_exercises  # noqa: E402

ALLOWED = {"schema_version", "grade_id", "grade", "locked", "solution", "task", "points"}


def cell(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def test_stub_and_check_of_an_exercise_are_marked_and_nothing_else():
    cells = [
        cell("import torch"),
        cell("answer_1 = ...", "stub"),
        new_markdown_cell("Think."),
        cell('check("ex-toy-1", answer_1)', "check"),
        cell("def f(x):\n    raise NotImplementedError", "stub"),
        cell('check("ex-toy-2", f)', "check"),
        cell('check("ex-toy-2", f)'),
        cell("1 + 1", "check"),
    ]
    mark_exercises(cells)
    marks = [c.metadata.get("nbgrader") for c in cells]
    assert [m and m["grade_id"] for m in marks] == [
        None, "ex-toy-1", None, "ex-toy-1-check", "ex-toy-2", "ex-toy-2-check", None, None,
    ]  # fmt: skip
    for stub, check in ((marks[1], marks[3]), (marks[4], marks[5])):
        assert (stub["solution"], stub["grade"], stub["locked"]) == (True, False, False)
        assert (check["solution"], check["grade"], check["locked"]) == (False, True, True)
        assert check["points"] == 1
        assert "points" not in stub
        assert set(stub) | set(check) == ALLOWED
        assert stub["schema_version"] == check["schema_version"] == 3
