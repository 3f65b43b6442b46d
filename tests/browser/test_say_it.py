"""Say it in a browser that reaches nothing: words, pictures and maps against Python's."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.said import RECORDED, SCALES
from dmlib.book.widgets import Prediction, SayIt
from dmlib.data import captions_of, draw_scenes, tokenize
from dmlib.data.captions import unknown_words

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("*t*", "no"), answer=1, reason="Because.")


READ = """(texts) => texts.map((text) => {
  const { model, numbers } = document.querySelector('.dmw').dmw;
  model.set('text', text);
  const { tokens, unknown } = numbers();
  return [tokens, unknown];
})"""


def test_words_are_read_as_python_reads_them_on_a_thousand_captions(show):
    g = torch.Generator().manual_seed(0)
    texts = captions_of(draw_scenes(1000, generator=g), generator=g)
    odd = ["", "A Red, circle.", "a  red\tdog!", "<pad> circle", "Circle " * 24, "a " * 23, "ÀB a"]
    read = show(SayIt()).page.evaluate(READ, texts + odd)
    assert [tokens for tokens, _ in read[:1000]] == tokenize(texts).tolist()
    for text, (tokens, unknown) in zip(odd, read[1000:], strict=True):
        assert unknown == unknown_words(text)
        try:
            assert tokens == tokenize([text])[0].tolist()
        except ValueError:
            assert tokens is None, text


def test_recorded_pictures_and_maps_are_pythons(show):
    shown = show(SayIt())
    for text in (RECORDED[0], RECORDED[-1]):
        for scale in (SCALES[0], SCALES[-1]):
            widget = SayIt(text=text)
            widget.guidance_scale = scale
            shown.set(text=text, guidance_scale=scale)
            numbers = shown.numbers()
            np.testing.assert_array_equal(numbers["colours"], widget.pictures().flatten())
            np.testing.assert_array_equal(numbers["levels"], widget.maps().flatten())
            assert numbers["kind"] == "recorded"


def test_slider_words_and_unknown_words(show):
    shown = show(SayIt())
    any_widget.slider_moves_the_picture(
        shown, "moment", "moment", drag=(0.9, 0.4), keys=("ArrowLeft", "End", "Home")
    )
    canvas = shown.page.locator(".dmw-body canvas[role=img]").first
    before = shown.pixels(canvas)
    shown.page.get_by_role("button", name="circle", exact=True).click()
    shown.settle()
    assert shown.get("word") == RECORDED[2].split().index("circle")
    assert (shown.pixels(canvas) != before).any()
    assert "circle" in canvas.get_attribute("aria-label")
    box = shown.page.get_by_role("textbox", name="Say what shall be seen")
    box.fill("a red dog and a cat")
    shown.settle()
    assert shown.numbers()["sentence"] == "It does not know: dog, cat."
    assert shown.get("word") == -1
    box.fill("a red circle")
    shown.settle()
    assert "in a notebook" in shown.numbers()["sentence"]
    shown.page.get_by_role("combobox", name="Recorded captions").select_option(RECORDED[0])
    shown.settle()
    assert (shown.get("text"), shown.numbers()["sentence"]) == (RECORDED[0], "")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_is_wide_enough(show, theme):
    shown = show(SayIt(predict=QUESTION), theme=theme)
    shown.page.get_by_role("button", name="Show", exact=False).first.click()
    shown.settle()
    found = Axe().run(shown.page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
    phone = show(SayIt(), viewport={"width": 390, "height": 800}, has_touch=True)
    any_widget.fits_the_width(phone, 390)
    any_widget.slider_moves_by_touch(phone, "moment", "moment", to=0.1)


def test_it_stands_without_javascript_and_draws_in_time(show):
    widget = SayIt()
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)
    any_widget.draws_in_time(show(widget), "SayIt", widget)
