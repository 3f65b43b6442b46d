"""The engine: what `check` accepts, what it says, and that nothing of a student's gets out."""

from __future__ import annotations

import json
import math
import threading
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import sympy
import torch

from dmlib.book.checks import check, progress, state
from dmlib.book.checks.state import FILE
from dmlib.book.checks.verdict import CheckFailed
from dmlib.forward import q_sample, q_step
from dmlib.schedules import at

STEP = "ex-forward-3"


def checked(exercise, answer, **options):
    return check(exercise, answer, seed=1, record=False, **options)


# --- what an answer may be written in ---------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, b, e: math.sqrt(1 - b) * x + math.sqrt(b) * e,
        lambda x, b, e: np.sqrt(1 - b) * np.asarray(x) + np.sqrt(b) * np.asarray(e),
        lambda x, b, e: torch.sqrt(1 - b) * x + torch.sqrt(b) * e,  # beta_t as a tensor
        lambda x, b, e: np.add(np.multiply(x, np.sqrt(1 - b)), np.multiply(e, np.sqrt(b))),
        lambda x, b, e: ((1 - b) ** 0.5 * x + b**0.5 * e).tolist(),
        lambda x, b, e: ((1 - b) ** 0.5 * x + b**0.5 * e).float(),
        lambda x, b, e: ((1 - b) ** 0.5 * x + b**0.5 * e).requires_grad_(),
        lambda x, b, e: list((1 - b) ** 0.5 * x + b**0.5 * e),
    ],
)
def test_tensors_arrays_and_lists_are_right_answers(answer):
    verdict = checked(STEP, answer)
    assert verdict.passed, str(verdict)


def test_functions_with_named_arguments_are_right_answers():
    def named(x0, t, eps, *, schedule):
        bar = schedule.alpha_bar[t].reshape(-1, 1, 1, 1)
        return bar.sqrt() * x0 + (1 - bar).sqrt() * eps

    assert checked("ex-kernel-3", named).passed
    # The library's own are right, too, and told that writing it is the exercise.
    for exercise, helper in (("ex-kernel-3", q_sample), ("ex-forward-7", q_step)):
        assert checked(exercise, helper).mistake == f"{helper.__name__} does the work"


def test_methods_and_callable_objects_are_right_answers():
    class Answer:
        def step(self, x_prev, beta_t, eps):
            return math.sqrt(1 - beta_t) * x_prev + math.sqrt(beta_t) * eps

        __call__ = step

    assert checked(STEP, Answer()).passed
    assert checked(STEP, Answer().step).passed


def test_sympy_formulas_are_right_answers():
    b1, b2 = sympy.symbols("beta_1 beta_2")
    terms = {
        "factor": sympy.sqrt((1 - b1) * (1 - b2)),
        "first noise": (1 - b2) * b1,
        "second noise": b2,
    }
    assert checked("ex-kernel-4", terms).passed
    x = sympy.Symbol("log_snr")
    assert checked("ex-kernel-5", 1 / (1 + sympy.exp(-x))).passed
    assert "y" in checked("ex-kernel-5", sympy.Symbol("y")).message


@pytest.mark.parametrize("value", [25, 25.0, np.float32(25), torch.tensor([25.0]), lambda: 25])
def test_numbers_of_all_kinds_are_right_answers(value):
    assert checked("ex-intro-3", value).passed


# --- what it says -----------------------------------------------------------------------------


def test_shape_is_told():
    verdict = checked(STEP, lambda x, b, e: (x + e)[0])
    assert "(4,), expected (3, 4)" in verdict.message


def test_called_function_instead_of_function_is_told():
    assert "without brackets" in checked(STEP, torch.zeros(3)).message


def test_wrong_arguments_are_told():
    assert "x_prev, beta_t, eps" in checked(STEP, lambda x: x).message


def test_missing_return_is_told():
    assert "return" in checked(STEP, lambda x, b, e: None).message


def test_terms_that_differ_are_named():
    verdict = checked("ex-forward-4", lambda v, b: {"picture": v * (1 - b), "noise": 17.0})
    assert "noise" in verdict.message
    assert [row.ok for row in verdict.rows] == [True, False]
    assert "picture" in checked("ex-forward-4", lambda v, b: {"noise": b}).message


def test_own_noise_is_recognised():
    verdict = checked(STEP, lambda x, b, e: x + torch.randn_like(x))
    assert "two calls" in verdict.mistake


def test_change_in_place_is_recognised_even_where_the_value_is_right():
    def in_place(x_prev, beta_t, eps):
        x_prev *= math.sqrt(1 - beta_t)
        return x_prev + math.sqrt(beta_t) * eps

    assert "in place" in checked(STEP, in_place).mistake


def test_unknown_exercise_gets_a_guess():
    verdict = checked("ex-kernal-3", None)
    assert verdict.status == "unknown"
    assert "ex-kernel-3" in verdict.hint


def test_unknown_mistake_of_a_number_does_not_give_it_away():
    verdict = checked("ex-intro-3", 7)
    assert "too small" in verdict.message
    assert "25" not in str(verdict)
    assert "Not a finite" in checked("ex-intro-3", math.nan).message


def test_same_seed_same_verdict_and_fresh_inputs_without():
    def found(**options):
        return check(STEP, lambda x, b, e: x + e, record=False, **options).rows

    assert found(seed=5) == found(seed=5)
    assert found() != found()


# --- nothing gets out -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError("oh"), SystemExit(3), RecursionError(), MemoryError(), GeneratorExit()]
)
def test_errors_do_not_get_out(error):
    def answer(x_prev, beta_t, eps):
        raise error

    verdict = checked(STEP, answer)
    assert verdict.status == "error"
    assert type(error).__name__ in verdict.trace


def test_trace_shows_the_students_lines_only():
    def helper(schedule):
        return at(schedule.alpha_bar, 99, torch.zeros(2))

    def answer(x0, t, eps, schedule):
        return helper(schedule) * x0

    trace = checked("ex-kernel-3", answer).trace
    assert "in answer" in trace
    assert "in helper" in trace
    assert "return helper(schedule) * x0" in trace
    assert "check_t" not in trace
    assert "judge.py" not in trace
    assert trace.endswith("got 99")


def spin(x_prev, beta_t, eps):
    while True:
        pass


def sleep(x_prev, beta_t, eps):
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def stubborn(x_prev, beta_t, eps):
    while True:
        try:
            time.sleep(0.01)
        except:  # noqa: E722 - a student may write this, and it must not save the loop
            continue


@pytest.mark.parametrize("endless", [spin, sleep, stubborn])
def test_endless_loops_are_stopped(endless):
    start = time.monotonic()
    assert checked(STEP, endless, seconds=0.3).status == "too slow"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("endless", [spin, sleep])
def test_endless_loops_are_stopped_off_the_main_thread_without_a_leftover(endless):
    verdicts = []
    worker = threading.Thread(target=lambda: verdicts.append(checked(STEP, endless, seconds=0.3)))
    worker.start()
    worker.join(10)
    assert verdicts[0].status == "too slow"
    assert not [t for t in threading.enumerate() if t.name == "dmlib-check"]


def test_timer_and_its_handler_are_put_back():
    import signal

    before = signal.getsignal(signal.SIGALRM)
    checked(STEP, spin, seconds=0.1)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_stop_button_works():
    def answer(x_prev, beta_t, eps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked(STEP, answer)


def test_answer_cannot_change_the_global_generator_of_the_check():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    checked(STEP, lambda x, b, e: x)
    assert torch.equal(torch.get_rng_state(), before)


# --- how it looks -----------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in ("circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def parsed(verdict):
    tags = Tags()
    tags.feed(verdict._repr_html_())
    return tags


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, b, e: x * math.sqrt(1 - b) + math.sqrt(b) * e,
        lambda x, b, e: x,
        lambda x, b, e: 1 / 0,
        None,
    ],
)
def test_html_is_balanced_and_asks_nobody(answer):
    tags = parsed(checked(STEP, answer))
    assert tags.open == []
    assert ("role", "status") in tags.attributes
    assert not {"script", "link", "img", "iframe"} & tags.seen
    assert not [a for a in tags.attributes if a[0] in ("src", "href", "onclick")]


def test_html_escapes_what_the_student_wrote():
    def answer(x_prev, beta_t, eps):
        raise ValueError("<script>alert(1)</script>")

    assert "script" not in parsed(checked(STEP, answer)).seen


def test_wrong_table_gets_a_picture_with_a_name():
    verdict = checked("ex-kernel-2", lambda beta: 1 - beta.cumsum(0))
    tags = parsed(verdict)
    assert "svg" in tags.seen
    assert any(name == "aria-label" for name, _ in tags.attributes)


def test_text_says_what_html_says():
    verdict = checked(STEP, lambda x, b, e: math.sqrt(1 - b) * x + b * e)
    text = " ".join(str(verdict).split())
    for part in (verdict.mistake, verdict.hint, verdict.rows[0].expected):
        assert part in text
        assert part in verdict._repr_html_()


def test_require_raises_only_on_failure():
    assert checked("ex-intro-1", "b").require()
    with pytest.raises(CheckFailed, match="option a"):
        checked("ex-intro-1", "a").require()


def test_strict_checks_raise_for_a_grader_that_counts_errors(monkeypatch):
    monkeypatch.setenv("DMLIB_STRICT_CHECKS", "1")
    assert checked("ex-intro-1", "b").passed
    for answer in ("a", ...):
        with pytest.raises(CheckFailed, match="ex-intro-1"):
            checked("ex-intro-1", answer)
    monkeypatch.setenv("DMLIB_STRICT_CHECKS", "0")
    assert not checked("ex-intro-1", "a").passed


def test_checks_raise_under_nbgrader_which_sets_a_variable_of_its_own(monkeypatch):
    monkeypatch.delenv("DMLIB_STRICT_CHECKS", raising=False)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(CheckFailed, match="ex-intro-1"):
        checked("ex-intro-1", "a")


# --- progress ---------------------------------------------------------------------------------


def test_progress_is_kept_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check("ex-intro-1", "a")
    check("ex-intro-1", "b")
    check("ex-intro-1", "a")  # solved stays solved
    check("ex-intro-2", "a")
    check("ex-intro-4", ...)
    saved = json.loads((tmp_path / FILE).read_text())["exercises"]
    assert saved["ex-intro-1"]["tries"] == 3
    assert set(saved) == {"ex-intro-1", "ex-intro-2"}
    states = {row[1]: row[4] for row in progress("introduction").rows}
    assert states["ex-intro-1"] == "✓ solved"
    assert states["ex-intro-2"] == "· tried"
    assert states["ex-intro-4"] == "○ open"
    assert "1 of" in str(progress("introduction"))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_progress_on_colab_is_kept_on_the_drive_once_it_is_mounted(tmp_path, monkeypatch):
    drive, first, second = (tmp_path / name for name in ("MyDrive", "content", "new machine"))
    for folder in (first, second):
        folder.mkdir()
    monkeypatch.setattr(state, "DRIVE", drive)
    monkeypatch.chdir(first)
    check("ex-intro-1", "b")
    drive.mkdir()  # mounted later: what was solved before counts, too
    check("ex-intro-2", "b")
    monkeypatch.chdir(second)  # the machine is gone, the drive is not
    kept = json.loads((drive / "diffusion-book" / FILE).read_text())["exercises"]
    assert set(kept) == {"ex-intro-1", "ex-intro-2"}
    states = {row[1]: row[4] for row in progress("introduction").rows}
    assert states["ex-intro-1"] == "✓ solved"
    assert not list(second.iterdir())


def test_progress_counts_by_chapter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check("ex-intro-1", "b")
    check("ex-intro-2", "a")
    check("ex-forward-1", "b")
    counts = progress().by_chapter()
    assert counts["introduction"] == (1, 1, 8)
    assert counts["forward"] == (0, 1, 9)
    assert counts["kernel"] == (0, 0, 10)
    assert "introduction     1 of 8" in str(progress())
    html = parsed(progress())
    assert html.open == []
    assert {"table", "details"} <= html.seen
    assert "details" not in parsed(progress("forward")).seen


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"exercises": 3}', '{"exercises": {"ex-intro-1": 5}}']
)
def test_damaged_progress_is_never_fatal(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text(content)
    assert check("ex-intro-1", "b").passed
    assert progress().rows[0][4] == "✓ solved"


def test_folder_that_cannot_be_written_is_never_fatal(monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert check("ex-intro-1", "b").passed


def test_progress_of_an_unknown_chapter_is_an_error():
    with pytest.raises(ValueError, match="chapter must be one of introduction"):
        progress("cooking")
