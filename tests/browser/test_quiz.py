"""The quick quiz in a browser that reaches nothing: keyboard, reasons, memory, both themes."""

import json
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.chapters.quizzes import QUIZZES
from dmlib.book.exercises.question import fingerprint
from dmlib.book.widgets import QuickQuiz
from dmlib.book.widgets.quick_quiz import _plain

sys.path.insert(0, str(Path(__file__).parent))

pytestmark = pytest.mark.browser
FORWARD = QUIZZES["forward"]
WRONG = next(i for i in range(9) if i != FORWARD[0].answer)
BLOCKED = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked'); } });"
)


def question(shown, i):
    return shown.page.locator(".qq-question").nth(i)


def answer(shown, i, choice):
    question(shown, i).get_by_role("radio").nth(choice).check()
    question(shown, i).get_by_role("button", name="Check").click()
    shown.settle()


def visible_reasons(shown, i):
    return [
        r.inner_text() for r in question(shown, i).locator(".qq-reason").all() if r.is_visible()
    ]


def kept(shown):
    return json.loads(shown.page.evaluate("localStorage.getItem('dmlib-quiz-forward')") or "null")


def letters(text):
    """What is left where roots, indices and spaces are written in different ways."""
    return "".join(c for c in _plain(text) if c.isalnum())


def test_all_questions_and_choices_are_shown(show):
    shown = show(QuickQuiz("reverse"))
    for i, q in enumerate(QUIZZES["reverse"]):
        text = letters(question(shown, i).inner_text())
        for part in (q.text, *(choice.text for choice in q.choices)):
            assert letters(part) in text
        assert not visible_reasons(shown, i)


def test_wrong_choice_gets_its_reason_and_another_try(show):
    shown = show(QuickQuiz("forward"))
    button = question(shown, 0).get_by_role("button", name="Check")
    assert button.is_disabled()
    answer(shown, 0, WRONG)
    reasons = visible_reasons(shown, 0)
    assert [letters(r) for r in reasons] == [letters(FORWARD[0].choices[WRONG].reason)]
    assert "try again" in question(shown, 0).get_by_role("status").inner_text()
    assert question(shown, 0).get_by_role("radio").nth(WRONG).is_disabled()
    answer(shown, 0, FORWARD[0].answer)
    assert len(visible_reasons(shown, 0)) == len(FORWARD[0].choices)
    assert "Right at try 2" in question(shown, 0).get_by_role("status").inner_text()
    assert not button.is_visible()
    assert shown.numbers() == {"solved": 1, "at_once": 0}


def test_choice_in_another_question_survives_a_check(show):
    shown = show(QuickQuiz("forward"))
    waiting = question(shown, 1).get_by_role("radio").nth(1)
    waiting.check()
    answer(shown, 0, WRONG)
    assert waiting.is_checked()
    assert question(shown, 1).get_by_role("button", name="Check").is_enabled()


def test_keyboard_alone_is_enough(show):
    shown = show(QuickQuiz("forward"))
    keys = shown.page.keyboard
    keys.press("Tab")
    for _ in range(FORWARD[0].answer):
        keys.press("ArrowDown")
    keys.press("Space")  # the first choice needs it; the others are chosen by the arrow already
    keys.press("Tab")
    keys.press("Enter")
    shown.settle()
    assert shown.numbers() == {"solved": 1, "at_once": 1}
    focused = shown.page.evaluate("document.activeElement.innerText")
    assert focused == "Right at once."
    keys.press("Tab")
    assert shown.page.evaluate("document.activeElement.closest('.qq-question') !== null")


def test_answers_are_remembered_until_started_again(show):
    shown = show(QuickQuiz("forward"))
    answer(shown, 0, WRONG)
    answer(shown, 1, FORWARD[1].answer)
    shown.page.reload()
    shown.settle()
    assert shown.numbers() == {"solved": 1, "at_once": 1}
    assert len(visible_reasons(shown, 0)) == 1
    assert kept(shown) == {
        "id": fingerprint(FORWARD),
        "tries": [[WRONG], [FORWARD[1].answer], [], []],
    }
    shown.page.get_by_role("button", name="Start again").click()
    shown.settle()
    assert shown.numbers() == {"solved": 0, "at_once": 0}
    assert kept(shown) is None
    assert not visible_reasons(shown, 0)
    assert question(shown, 0).get_by_role("radio").nth(WRONG).is_enabled()


@pytest.mark.parametrize(
    "content",
    ["{", "3", "null", '{"id": "old", "tries": [[0], [0], [0], [0]]}', "with the right id"],
)
def test_what_does_not_fit_is_forgotten(show, content):
    if content == "with the right id":
        content = json.dumps({"id": fingerprint(FORWARD), "tries": [[0], 1, "x"]})
    shown = show(QuickQuiz("forward"))
    shown.page.evaluate("text => localStorage.setItem('dmlib-quiz-forward', text)", content)
    shown.page.reload()
    shown.settle()
    assert shown.numbers() == {"solved": 0, "at_once": 0}
    answer(shown, 0, FORWARD[0].answer)
    assert shown.numbers() == {"solved": 1, "at_once": 1}


def test_a_browser_that_keeps_nothing_is_told_and_serves(show):
    shown = show(QuickQuiz("forward"))
    shown.page.add_init_script(BLOCKED)
    shown.page.reload()
    shown.settle()
    answer(shown, 0, FORWARD[0].answer)
    assert shown.numbers() == {"solved": 1, "at_once": 1}
    assert "keeps nothing" in shown.page.locator(".dmw").inner_text()


def test_table_shows_all_quizzes_of_this_browser(show):
    shown = show(QuickQuiz("forward"), QuickQuiz("kernel"))
    answer(shown, 0, WRONG)
    answer(shown, 0, FORWARD[0].answer)
    answer(shown, 1, FORWARD[1].answer)
    shown.page.get_by_text("All quizzes so far").last.click()
    rows = shown.page.locator("details").last.get_by_role("row").all_inner_texts()
    assert rows[0].split("\t") == ["chapter", "solved", "at the first try"]
    assert [r.split("\t") for r in rows if r.startswith(("Forward", "U-Net"))] == [
        ["Forward process", "2 of 4", "1 of 4"],
        ["U-Net", "–", "–"],
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_a_phone_is_wide_enough(show, theme, width):
    shown = show(
        QuickQuiz("forward"),
        QuickQuiz("reverse"),
        theme=theme,
        viewport={"width": width, "height": 900},
    )
    answer(shown, 0, WRONG)
    answer(shown, 1, FORWARD[1].answer)
    question(shown, 2).get_by_role("radio").first.check()
    shown.page.get_by_text("All quizzes so far").first.click()
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
