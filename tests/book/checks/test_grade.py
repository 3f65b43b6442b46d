"""The grader on synthetic submissions: each trouble costs its own rows alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.exercises.exercise import answer_name
from dmlib.book.grading.cells import Cells, plain_python
from dmlib.book.grading.grade import Limits, grade

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
    "hard-exit": (notebook(RIGHT, "import os; os._exit(0)"), "passed"),
    "endless-cell": (notebook(RIGHT, "while True: pass"), "passed"),
    "deaf-cell": (
        notebook("while True:\n    try:\n        while True: pass\n    except: pass", RIGHT),
        "passed",
    ),
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
            "import dmlib.book.grading.judging as g, dmlib.book.checks.engine as e\n"
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
    rows = graded(tmp_path, texts, "forward", Limits(seconds=30, answer_seconds=3, cell_seconds=2))
    assert len(rows) == len(CHAPTERS["forward"]) * len(SUBMISSIONS)
    found = {row["student"]: row["status"] for row in rows if row["exercise"] == STEP}
    assert found == {name: status for name, (_, status) in SUBMISSIONS.items()}
    mistakes = {row["student"]: row["mistake"] for row in rows if row["exercise"] == STEP}
    assert mistakes["wrong"] == "variance for standard deviation"
    notes = {row["student"]: row["note"] for row in rows if row["exercise"] == STEP}
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


HOSTILE = {
    # Whatever is patched over there is another process's.
    "close": (
        notebook(
            "import torch, dmlib.book.checks.compare as c\n"
            "c.close = lambda *a: True\nc.terms_close = lambda *a: True\n"
            "torch.isclose = lambda a, *b, **k: torch.ones_like(a, dtype=torch.bool)\n"
            "torch.equal = torch.allclose = lambda *a, **k: True",
            WRONG,
        ),
        "wrong",
    ),
    "reference": (
        notebook(
            WRONG,
            "from dmlib.book.chapters.catalog import EXERCISES\n"
            "e = EXERCISES['ex-forward-3']\nobject.__setattr__(e, 'reference', my_q_step)\n"
            "object.__setattr__(e, 'cases', lambda g: [])",
        ),
        "wrong",
    ),
    "subclass": (
        notebook(
            "import torch\nclass Yes(torch.Tensor):\n"
            "    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None):\n"
            "        r = super().__torch_function__(f, t, a, k or {})\n"
            "        same = getattr(f, '__name__', '') in ('isclose', 'equal', 'eq')\n"
            "        return torch.ones(3, 4, dtype=torch.bool) if same else r\n"
            "def my_q_step(x_prev, beta_t, eps):\n    return (x_prev * 0).as_subclass(Yes)"
        ),
        "wrong",
    ),
    "frames": (
        notebook(
            "import sys\ndef my_q_step(x_prev, beta_t, eps):\n    frame = sys._getframe()\n"
            "    while frame:\n        for name in ('expected', 'outcome', 'cases', 'token'):\n"
            "            if name in frame.f_locals: return frame.f_locals[name][0]['']\n"
            "        frame = frame.f_back\n    return x_prev"
        ),
        "wrong",
    ),
    "forger": (
        notebook(
            WRONG,
            "import os\nfor fd in range(1, 40):\n"
            '    try: os.write(fd, b\'["ex-forward-3", "passed", "", ""]\\n\')\n'
            "    except OSError: pass",
        ),
        ("wrong", "not graded", "missing"),
    ),
    "surrogate": (notebook("raise ValueError('\\udcff')", RIGHT), "passed"),
    "surrogate-answer": (
        notebook("def my_q_step(a, b, c):\n    raise ValueError('\\udcff=1+1')"),
        "error",
    ),
    "str-raises": (
        notebook("class E(Exception):\n    def __str__(self): 1 / 0\nraise E()", RIGHT),
        "passed",
    ),
    "chdir": (notebook("import os\nos.chdir('/')", RIGHT), "passed"),
    "parents": (
        notebook(
            RIGHT,
            "import os, signal\nfor pid in {os.getppid()}:\n"
            "    for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): os.kill(pid, s)",
        ),
        "passed",
    ),
    "writer": (
        notebook(
            RIGHT,
            'import subprocess, sys\nsubprocess.Popen([sys.executable, \'-c\', """import os, time\n'
            "os.setsid()\nfor k in range(10**6):\n    open('junk%d' % k, 'w').write('x' * 9999)\n"
            '    time.sleep(0.01)"""])',
        ),
        "passed",
    ),
    "bang": (notebook("!ls\n" + RIGHT + "\nfiles = !ls\nmax?"), "passed"),
    "timed": (notebook("%time x = 1\n" + RIGHT), "passed"),
    "timed-cell": (notebook("%%time\n" + RIGHT.strip()), "passed"),
    "shell": (notebook("get_ipython().run_line_magic('matplotlib', 'inline')\n" + RIGHT), "passed"),
    "awaits": (notebook("import asyncio\nawait asyncio.sleep(0)\n" + RIGHT), "passed"),
    "half-a-cell": (notebook("1 / 0\n" + RIGHT), "passed"),
    "huge": (notebook("def my_q_step(a, b, c):\n    return [0.0] * 10**8"), "wrong"),
    "no-source": (json.dumps({"cells": [{"cell_type": "code"}, 3, None]}), "missing"),
    "spoils": (
        notebook("def my_q_step(x, b, e):\n    x *= (1 - b)**0.5\n    return x + b**0.5 * e"),
        "wrong",
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(290)
def test_hostile_and_clumsy_notebooks_cost_themselves_alone_and_fool_nobody(tmp_path):
    texts = {name: text for name, (text, _) in HOSTILE.items()}
    rows = graded(tmp_path, texts, "forward", Limits(seconds=30, answer_seconds=5, cell_seconds=3))
    found = {row["student"]: row["status"] for row in rows if row["exercise"] == STEP}
    assert set(found) == set(HOSTILE)
    for name, (_, status) in HOSTILE.items():
        allowed = status if isinstance(status, tuple) else (status,)
        assert found[name] in allowed, (name, found[name])
    mistakes = {row["student"]: row["mistake"] for row in rows if row["exercise"] == STEP}
    assert mistakes["spoils"] == "an input is changed in place"


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_odd_files_are_rows_of_their_own(tmp_path):
    folder, table = tmp_path / "in", tmp_path / "new" / "deep" / "grades.csv"
    folder.mkdir()
    (folder / "folder.ipynb").mkdir()
    (folder / "dangling.ipynb").symlink_to(tmp_path / "nowhere")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._anna.ipynb").write_text("x")
    (folder / "._anna.ipynb").write_text("x")
    (folder / "anna.ipynb").write_text("\ufeff" + notebook(RIGHT), encoding="utf-8")
    name = os.fsdecode(b"\xff\xfe.ipynb")
    (folder / name).write_text(notebook(RIGHT))
    (folder / "=cmd.ipynb").write_text(notebook(WRONG))
    count = grade(folder, table, chapter="forward", limits=Limits(seconds=30), jobs=2)
    with table.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["exercise"] == STEP]
    assert count == 5 * len(CHAPTERS["forward"])
    found = {row["student"]: row["status"] for row in rows}
    assert found.pop("anna") == "passed"
    assert found.pop("'=cmd") == "wrong"
    assert found.pop("folder") == found.pop("dangling") == "not graded"
    assert list(found.values()) == ["passed"]


@pytest.mark.slow
def test_the_command_keeps_no_secret_and_is_not_ended_by_a_notebook(tmp_path):
    peek = (
        "import os, re, signal\ntext = ''\npid = os.getppid()\n"
        "status = open(f'/proc/{pid}/status').read()\n"
        "above = int(re.search(r'PPid:.(\\d+)', status)[1])\n"
        "try: text = open(f'/proc/{above}/environ').read()\nexcept OSError: pass\n"
        "for s in (signal.SIGTERM, signal.SIGHUP): os.kill(above, s)\n"
        "def my_q_step(x_prev, beta_t, eps):\n"
        "    assert 's3cret' not in text\n"
        "    return (1 - beta_t) ** 0.5 * x_prev + beta_t**0.5 * eps"
    )
    (tmp_path / "peek.ipynb").write_text(notebook(peek))
    table = tmp_path / "out" / "grades.csv"
    command = [sys.executable, "-m", "dmlib.book.grading", "grade", str(tmp_path)]
    options = ["--chapter", "forward", "--csv", str(table)]
    env = os.environ | {"SECRET_TOKEN": "s3cret"}
    subprocess.run([*command, *options], env=env, check=True, timeout=200)
    with table.open(encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["exercise"] == STEP]
    assert row["status"] == "passed", row["note"]


def test_environment_of_the_judge_holds_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    peek = (
        "import os\ntext = ''\npid = os.getppid()\n"
        "try:\n    with open(f'/proc/{pid}/environ') as file: text = file.read()\n"
        "except OSError: pass\n"
        "text += str(dict(os.environ))\n"
        "def my_q_step(x_prev, beta_t, eps):\n    raise ValueError('s3cret' in text)"
    )
    rows = graded(tmp_path, {"peek": notebook(peek)}, "forward", Limits(seconds=30))
    (note,) = {row["status"] for row in rows if row["exercise"] == STEP}
    assert note == "error"
    cells = Cells()
    cells.run(peek)
    assert "SECRET_TOKEN" in cells.space["text"]  # here it is: the test can fail


def test_magics_go_and_python_stays():
    assert plain_python("x = (7\n  % 4)") == "x = (7\n  % 4)"
    cells = Cells()
    assert cells.run("if True:\n    %pip install b\nc = 1\ncheck(1 / 0)\nprogress(1 / 0)") == ""
    assert cells.space["c"] == 1
    assert cells.run("def check(x):\n    return x") == ""
    assert cells.space["check"](2) == 2


def test_a_cell_goes_on_after_an_error_and_tells_the_first():
    cells = Cells()
    assert cells.run("a = 1\n1 / 0\nb = missing\nc = 3").startswith("cell 1: ZeroDivisionError")
    assert (cells.space["a"], cells.space["c"]) == (1, 3)
    assert cells.run("%%timeit\nd = 4") == ""
    assert cells.space["d"] == 4
    assert cells.run("def (").startswith("cell 3: SyntaxError")
