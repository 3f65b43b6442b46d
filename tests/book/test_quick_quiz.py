"""The quick quizzes: sound questions, and the widget's Python side."""

from __future__ import annotations

import base64
import re

import pytest
import traitlets

from dmlib.book.chapters.catalog import CHAPTERS
from dmlib.book.chapters.quizzes import QUIZZES, TITLES
from dmlib.book.exercises.question import Option, Question, fingerprint
from dmlib.book.widgets import QuickQuiz

QUESTIONS = [(chapter, q) for chapter, questions in QUIZZES.items() for q in questions]
EACH = pytest.mark.parametrize(
    ("chapter", "question"), QUESTIONS, ids=[f"{c}: {q.text[:30]}" for c, q in QUESTIONS]
)
MARKED = re.compile(r"\*[^*]+\*|[_^](?:\{[^}]*\}|[^\s{])|√\{(?:[^{}]|\{[^}]*\})*\}")


def test_every_chapter_with_exercises_has_a_short_quiz():
    assert set(CHAPTERS) <= set(QUIZZES)
    assert QUIZZES.keys() == TITLES.keys()
    assert {len(questions) for questions in QUIZZES.values()} <= {3, 4, 5, 6}


@EACH
def test_question_has_one_right_choice_and_a_reason_for_each(chapter, question):
    assert [choice.right for choice in question.choices].count(True) == 1
    texts = [choice.text for choice in question.choices]
    assert len(set(texts)) == len(texts) >= 3
    for choice in question.choices:
        assert len(choice.reason.split()) >= 4, choice
        assert choice.reason[-1] in ".?", choice
    reasons = [choice.reason for choice in question.choices]
    assert len(set(reasons)) == len(reasons)


@EACH
def test_markup_is_what_the_widgets_know(chapter, question):
    for text in [question.text, *(t for c in question.choices for t in (c.text, c.reason))]:
        rest = MARKED.sub("", text)
        assert not set("*_^{}\\$`") & set(rest), text


@pytest.mark.parametrize("chapter", QUIZZES)
def test_right_choice_is_not_always_in_the_same_place_nor_the_longest(chapter):
    questions = QUIZZES[chapter]
    assert len({question.answer for question in questions}) >= 2
    longest = [max(q.choices, key=lambda choice: len(choice.text)).right for q in questions]
    assert not all(longest)


def test_question_without_just_one_right_choice_is_refused():
    wrong, right = Option("a", "b."), Option("c", "d.", right=True)
    with pytest.raises(ValueError, match="one right choice, got 0"):
        Question("?", (wrong, wrong))
    with pytest.raises(ValueError, match="one right choice, got 2"):
        Question("?", (right, right))
    with pytest.raises(ValueError, match="at least two, got 1"):
        Question("?", (right,))


def test_fingerprint_changes_with_every_text():
    def one(text="q", choice="c", reason="r", order=1):
        choices = (Option(choice, reason, right=True), Option("x", "y"))
        return fingerprint((Question(text, choices[::order]),))

    prints = [one(), one(text="p"), one(choice="e"), one(reason="s"), one(order=-1)]
    assert len(set(prints)) == len(prints)
    assert one() == one()


def test_counts_what_was_right_at_the_first_try():
    quiz = QuickQuiz("forward")
    answers = [question.answer for question in QUIZZES["forward"]]
    other = (answers[1] + 1) % 3
    quiz.tries = [[answers[0]], [other, answers[1]], [], []]
    assert quiz.right_at_once() == 1


@pytest.mark.parametrize("tries", [[[0]], [[9], [], [], []], [[-1], [], [], []]])
def test_tries_out_of_range_are_refused(tries):
    with pytest.raises(traitlets.TraitError):
        QuickQuiz("forward").tries = tries


def test_unknown_chapter_is_refused():
    with pytest.raises(ValueError, match="chapter must be one of introduction"):
        QuickQuiz("cooking")


@pytest.mark.parametrize("chapter", QUIZZES)
def test_readers_without_javascript_get_the_questions(chapter):
    quiz = QuickQuiz(chapter)
    forms, _ = quiz._repr_mimebundle_()
    png = base64.b64decode(forms["image/png"])
    assert png.startswith(b"\x89PNG")
    assert len(png) < 120_000
    assert forms["text/plain"].count("(") >= len(QUIZZES[chapter])
    assert re.findall(r"https?://|//cdn|@import|url\(", str(quiz._esm)) == []
