"""The book's Exercises sections fit the tables: statement, stub, check and solution of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dmlib.book.chapters.catalog import CHAPTERS, EXERCISES
from dmlib.book.exercises.exercise import Function, Open, answer_name

BOOK = Path(__file__).parents[3] / "book"
PAGES = {
    "introduction": "00_introduction.md",
    "forward": "01_forward_process.md",
    "kernel": "02_diffusion_kernel.md",
    "reverse": "03_reverse_process.md",
    "unet": "04_unet.md",
    "training": "05_training.md",
    "restore": "09_change_fill_restore.md",
    "translate": "13_picture_to_picture.md",
    "words": "10_words_to_pictures.md",
    "pixels": "11_which_pixel_is_what.md",
    "shapes": "12_shapes_in_space.md",
    "continuous": "08_continuous_time.md",
}
CASES = [(PAGES[chapter], e) for chapter, exercises in CHAPTERS.items() for e in exercises]


def page(name):
    text = (BOOK / name).read_text(encoding="utf-8") if (BOOK / name).exists() else "% EXERCISES"
    if "% EXERCISES" in text:
        pytest.skip(f"{name} has no Exercises section yet")
    return text


def cells(text):
    """(tags, source) of every code cell."""
    found = re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for body in found:
        tags = re.match(r"(?:---\n)?:?tags: \[(.*?)\]\n", body)
        yield (tags[1].split(", ") if tags else []), body


@pytest.mark.parametrize(("name", "exercise"), CASES, ids=[e.id for _, e in CASES])
def test_exercise_has_statement_stub_check_and_checked_solution(name, exercise):
    text = page(name)
    assert text.count(f":label: {exercise.id}\n") == 1
    assert f"{{solution-start}} {exercise.id}\n" in text
    made = list(cells(text))
    stub = [
        source
        for tags, source in made
        if "stub" in tags
        and re.search(rf"^(def )?{answer_name(exercise)}\b( =|\()", source, re.MULTILINE)
    ]
    assert len(stub) == 1
    if isinstance(exercise, (Function, Open)):
        assert f"def {exercise.call}:" in stub[0]
    checks = [s for tags, s in made if "check" in tags and f'"{exercise.id}"' in s]
    assert len(checks) == 1
    assert f'check("{exercise.id}", {answer_name(exercise)})' in checks[0]
    solutions = [s for tags, s in made if "solution" in tags and f'"{exercise.id}"' in s]
    assert len(solutions) == 1
    assert "record=False).require()" in solutions[0]


@pytest.mark.parametrize(("name", "exercise"), CASES, ids=[e.id for _, e in CASES])
def test_statement_says_title_level_and_minutes_of_the_table(name, exercise):
    head = re.search(
        rf"^```\{{exercise\}} (.*)\n:label: {exercise.id}\n+\*(\w+), (\d+) minutes\.\*",
        page(name),
        re.MULTILINE,
    )
    assert head is not None
    assert (head[1], head[2].lower(), int(head[3])) == (
        exercise.title,
        exercise.level,
        exercise.minutes,
    )


@pytest.mark.parametrize("name", PAGES.values())
def test_page_names_no_unknown_exercise(name):
    labels = re.findall(r"^:label: (ex-[\w-]+)$", page(name), re.MULTILINE)
    assert set(labels) <= set(EXERCISES)
