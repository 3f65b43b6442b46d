"""Every exercise's table tests its check: right answers pass, each mistake is named."""

from __future__ import annotations

import re
from html import escape

import pytest
import torch
from right_answers import RIGHT

from dmlib.book.chapters.catalog import CHAPTERS, EXERCISES
from dmlib.book.chapters.clues import CLUES
from dmlib.book.checks import check
from dmlib.book.checks.engine import judge
from dmlib.book.exercises.exercise import Function, Open, Quiz, argument_names

ALL = list(EXERCISES.values())
FUNCTIONS = [e for e in ALL if isinstance(e, Function)]
QUIZZES = [e for e in ALL if isinstance(e, Quiz)]
MISTAKES = [
    pytest.param(exercise, mistake, id=f"{exercise.id}: {mistake.name}")
    for exercise in ALL
    for mistake in exercise.mistakes
]
SEEDS = range(20)


def by_id(exercise):
    return exercise.id


def verdicts(exercise, answer, seeds=SEEDS):
    return [judge(exercise, answer, seed=seed, seconds=20) for seed in seeds]


def other_answer(exercise):
    """Right, and written differently from the chapter's own."""
    return f"({exercise.reference.upper()}) " if isinstance(exercise, Quiz) else RIGHT[exercise.id]


@pytest.mark.parametrize("exercise", ALL, ids=by_id)
def test_both_right_answers_pass(exercise):
    for answer in (exercise.reference, other_answer(exercise)):
        for verdict in verdicts(exercise, answer):
            assert verdict.passed, str(verdict)


@pytest.mark.parametrize("exercise", ALL, ids=by_id)
def test_stub_is_not_yet(exercise):
    def stub(*args, **kwargs):
        raise NotImplementedError

    answers = [None, ...] if isinstance(exercise, Quiz) else [None, ..., stub]
    if getattr(exercise, "terms", ()):
        answers += [lambda *args: dict.fromkeys(exercise.terms, ...)]
    for answer in answers:
        assert {v.status for v in verdicts(exercise, answer, (0, 1, 2))} == {"not yet"}


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_known_mistake_gets_its_hint(exercise, mistake):
    for verdict in verdicts(exercise, mistake.wrong):
        assert not verdict.passed
        assert (verdict.mistake, verdict.hint or verdict.message) == (mistake.name, mistake.hint)


@pytest.mark.parametrize("exercise", ALL, ids=by_id)
def test_functions_without_a_thought_fail(exercise):
    def tensors(args):
        return [a for a in args if isinstance(a, torch.Tensor)]

    thoughtless = {
        "zero": lambda *args: 0,
        "one": lambda *args: 1.0,
        "nothing": lambda *args: None,
        "first": lambda *args: args[0] if args else 0,
        "last": lambda *args: args[-1] if args else 0,
        "zeros": lambda *args: torch.zeros_like(tensors(args)[0]) if tensors(args) else 0.0,
        "nan": lambda *args: torch.nan,
        "terms": lambda *args: [0.0] * len(getattr(exercise, "terms", ())),
        "text": lambda *args: "42",
        "args": lambda *args: args,
    }
    for name, answer in thoughtless.items():
        statuses = {v.status for v in verdicts(exercise, answer, (0, 1, 2))}
        assert statuses <= {"wrong", "error"}, (name, statuses)
    for value in (0, "z", [], {}, object(), torch.zeros(3)):
        assert {v.status for v in verdicts(exercise, value, (0, 1, 2))} == {"wrong"}


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=by_id)
def test_hidden_inputs_differ_between_seeds_and_repeat_with_one(exercise):
    def drawn(seed):
        return exercise.cases(torch.Generator().manual_seed(seed))[0]

    def flat(args):
        numbers = [getattr(a, "beta", a) for a in args if not callable(a)]
        return torch.cat([torch.as_tensor(n, dtype=torch.float64).flatten() for n in numbers])

    assert torch.equal(flat(drawn(1)), flat(drawn(1)))
    one, two = flat(drawn(1)), flat(drawn(2))
    assert one.shape != two.shape or not torch.equal(one, two)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_has_seven_exercises_of_three_levels_and_an_open_one(chapter):
    exercises = CHAPTERS[chapter]
    assert len(exercises) >= 7
    assert {exercise.level for exercise in exercises} == {"understand", "derive", "build"}
    assert any(isinstance(exercise, Open) for exercise in exercises)
    prefix = exercises[0].id.rsplit("-", 1)[0]
    assert [e.id for e in exercises] == [f"{prefix}-{n + 1}" for n in range(len(exercises))]


def test_every_exercise_knows_two_mistakes_and_three_on_average():
    counts = [len(exercise.mistakes) for exercise in ALL]
    assert min(counts) >= 2
    assert sum(counts) / len(counts) >= 3


@pytest.mark.parametrize("exercise", ALL, ids=by_id)
def test_mistake_names_are_unique_and_hints_are_sentences(exercise):
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names)
    for mistake in exercise.mistakes:
        assert mistake.hint.rstrip()[-1] in ".?", mistake.hint
        assert not mistake.name.endswith(".")


@pytest.mark.parametrize("exercise", ALL, ids=by_id)
def test_a_wrong_answer_is_offered_a_clue_that_gives_nothing_away(exercise):
    clue = CLUES[exercise.id]
    assert clue.rstrip()[-1] in ".?"
    assert 30 < len(clue) < 260
    assert clue not in {mistake.hint for mistake in exercise.mistakes}
    if isinstance(exercise, Quiz):
        assert not re.search(rf"\b{exercise.reference}\b\*\*|answer is", clue)
    verdict = check(exercise.id, [], seed=0, record=False)
    assert verdict.clue == clue
    assert "clue" in str(verdict)
    assert f"<summary>Stuck? A clue</summary><p style='margin:.3em 0'>{escape(clue)}</p>" in (
        verdict._repr_html_()
    )
    assert clue not in str(verdict)  # folded: who does not want it does not read it


def test_there_is_no_clue_without_its_exercise_and_none_for_what_is_right():
    assert set(CLUES) == set(EXERCISES)
    assert "clue" not in str(check("ex-intro-1", "b", record=False))


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=by_id)
def test_call_names_the_arguments_of_the_cases(exercise):
    cases = exercise.cases(torch.Generator().manual_seed(0))
    assert {len(case) for case in cases} == {len(argument_names(exercise.call))}


@pytest.mark.parametrize("exercise", QUIZZES, ids=by_id)
def test_quiz_has_one_right_option(exercise):
    assert sum(option.right for option in exercise.options.values()) == 1
    assert list(exercise.options) == list("abcdef")[: len(exercise.options)]
