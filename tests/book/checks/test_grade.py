"""The grader on synthetic submissions: each trouble costs its own rows alone."""

from __future__ import annotations

import csv
import json

import pytest

from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.exercises.exercise import answer_name
from dmlib.book.grading.grade import Limits, grade
from dmlib.book.grading.grade_one import plain_python

RIGHT = """
import math
def my_q_step(x_prev, beta_t, eps):
    return math.sqrt(1 - beta_t) * x_prev + math.sqrt(beta_t) * eps
"""
WRONG = """
def my_q_step(x_prev, beta_t, eps):
    return (1 - beta_t) ** 0.5 * x_prev + beta_t * eps
"""
STEP = "ex-forward-3"


def notebook(*cells, tags=()):
    made = [
        {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source, "outputs": []}
        for source in cells
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


SUBMISSIONS = {
    "right": (notebook(RIGHT), "passed"),
    "wrong": (notebook(WRONG), "wrong"),
    "empty": (notebook(), "missing"),
    "damaged": ("{", "missing"),
    "no-cells": ("[1]", "missing"),
    "stub": (notebook("def my_q_step(a, b, c):\n    raise NotImplementedError"), "not yet"),
    "renamed": (notebook(RIGHT.replace("my_q_step", "step")), "missing"),
    "crash-before": (notebook("1 / 0", RIGHT), "passed"),
    "syntax-error": (notebook("def (", RIGHT), "passed"),
    "magic": (notebook("%pip install x\n!rm -rf nothing", RIGHT), "passed"),
    "magic-in-an-if": (notebook("if True:\n    %pip install x", RIGHT), "passed"),
    "deleted-cells": (notebook("check('ex-forward-3', my_q_step)", "progress()"), "missing"),
    "exit": (notebook("import sys; sys.exit(0)", RIGHT), "passed"),
    "hard-exit": (notebook(RIGHT, "import os; os._exit(0)"), "not graded"),
    "endless-cell": (notebook(RIGHT, "while True: pass"), "not graded"),
    "endless-answer": (
        notebook("def my_q_step(x_prev, beta_t, eps):\n    while True: pass"),
        "too slow",
    ),
    "memory-hog": (notebook("hog = bytearray(2**36)", WRONG), "wrong"),
    "edited-check": (
        notebook(WRONG, 'class Yes:\n    passed = True\ncheck = lambda *a: Yes()\ncheck("x", 1)'),
        "wrong",
    ),
    "replaced-judge": (
        notebook(
            "import dmlib.book.grading.grade_one as g, dmlib.book.checks.engine as e\n"
            "from dmlib.book.checks.verdict import Verdict\n"
            "e.judge = g.judge = lambda x, *a, **k: Verdict(x.id, '', 'passed', '')",
            WRONG,
        ),
        "wrong",
    ),
    "forged-result": (
        notebook(
            WRONG,
            'open(\'0.jsonl\', \'w\').write(\'["0", "ex-forward-3", "passed", "", ""]\')',
        ),
        "wrong",
    ),
    "child-left": (
        notebook(RIGHT, "import subprocess; subprocess.Popen(['sleep', '600'])"),
        "passed",
    ),
    "spoiled-numbers": (notebook("import torch\ntorch.manual_seed(1)", WRONG), "wrong"),
}


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_each_submission_gets_its_rows(tmp_path):
    texts = {name: text for name, (text, _) in SUBMISSIONS.items()}
    rows = graded(tmp_path, texts, "forward", Limits(seconds=12, answer_seconds=3))
    assert len(rows) == len(CHAPTERS["forward"]) * len(SUBMISSIONS)
    found = {row["student"]: row["status"] for row in rows if row["exercise"] == STEP}
    assert found == {name: status for name, (_, status) in SUBMISSIONS.items()}
    mistakes = {row["student"]: row["mistake"] for row in rows if row["exercise"] == STEP}
    assert mistakes["wrong"] == "variance for standard deviation"
    notes = {row["student"]: row["note"] for row in rows if row["exercise"] == STEP}
    assert notes["hard-exit"].startswith("the process ended before")
    assert notes["endless-cell"] == "stopped after 12 s"
    assert notes["crash-before"] == notes["magic"] == notes["magic-in-an-if"] == ""
    assert [row["student"] for row in rows] == sorted(row["student"] for row in rows)


def graded(tmp_path, submissions, chapter, limits):
    """Rows of the CSV for {student: text of the notebook}."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in submissions.items():
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
    table = tmp_path / "grades.csv"
    count = grade(folder, table, chapter=chapter, limits=limits, jobs=2)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert count == len(rows)
    return rows


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_whole_chapter_solved_half_solved_and_untouched(tmp_path):
    names = {e.id: answer_name(e) for e in CHAPTERS["kernel"]}
    solved = [
        "from dmlib.book.chapters.catalog import EXERCISES\n"
        f"{answer} = EXERCISES['{name}'].reference"
        for name, answer in names.items()
    ]
    stubs = [f"{answer} = ..." for answer in names.values()]
    checks = [f'check("{name}", {answer})' for name, answer in names.items()]
    students = {
        "all": notebook(*(cell for pair in zip(solved, checks, strict=True) for cell in pair)),
        "half": notebook(*solved[:5]),
        "untouched": notebook(*stubs, *checks),
    }
    rows = graded(tmp_path, students, "kernel", Limits(seconds=100, answer_seconds=60))
    by_student = {name: [r["status"] for r in rows if r["student"] == name] for name in students}
    assert by_student["all"] == ["passed"] * len(names)
    assert by_student["half"] == ["passed"] * 5 + ["missing"] * (len(names) - 5)
    assert by_student["untouched"] == ["not yet"] * len(names)


def test_magics_go_and_python_stays():
    assert plain_python("x = (7\n  % 4)") == "x = (7\n  % 4)"
    assert plain_python("if a:\n    %pip install b\nc = 1") == "if a:\n    pass\nc = 1"
    assert plain_python("check('x', 1)\ny = 2") == "\ny = 2"
    assert plain_python("def check(x):\n    return x") == "def check(x):\n    return x"
