"""The grader on synthetic submissions: each trouble costs its own rows alone."""

from __future__ import annotations

import csv
import json

import pytest

from dmlib.checks.grade import Limits, grade

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
            "import dmlib.checks.grade_one as g, dmlib.checks.engine as e\n"
            "from dmlib.checks.verdict import Verdict\n"
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
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (text, _) in SUBMISSIONS.items():
        (folder / f"{name}.ipynb").write_text(text)
    table = tmp_path / "grades.csv"
    limits = Limits(seconds=25, memory_mib=8192)
    count = grade(folder, table, chapter="forward", limits=limits)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert count == len(rows) == 9 * len(SUBMISSIONS)
    found = {row["student"]: row["status"] for row in rows if row["exercise"] == STEP}
    assert found == {name: status for name, (_, status) in SUBMISSIONS.items()}
    mistakes = {row["student"]: row["mistake"] for row in rows if row["exercise"] == STEP}
    assert mistakes["wrong"] == "variance for standard deviation"
    notes = {row["student"]: row["note"] for row in rows if row["exercise"] == STEP}
    assert notes["endless-cell"] == "stopped after 25 s"
