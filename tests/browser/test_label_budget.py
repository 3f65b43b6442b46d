"""The label budget in a browser that reaches nothing, against the recording."""

import sys
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.widgets import LabelBudget, Prediction

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("one", "two"), answer=1, reason="Because.")
SLIDERS = [("budget", "labelled scenes"), ("time", "t")]


def test_masks_and_scores_are_those_of_the_recording(show):
    widget = LabelBudget()
    shown = show(LabelBudget())
    for budget in range(len(widget.labels)):
        for time in (0, len(widget.times) - 1, 2):
            widget.budget, widget.time = budget, time
            shown.set(budget=budget, time=time)
            numbers = shown.numbers()
            np.testing.assert_array_equal(
                np.array(numbers["called"]), widget.called().reshape(len(numbers["called"]), -1)
            )
            assert numbers["wrong"] == widget.wrong()
            assert (numbers["t"], numbers["labels"]) == (widget.times[time], widget.labels[budget])
            assert (numbers["score"], numbers["spread"]) == pytest.approx(widget.score(), rel=1e-6)


def test_pictures_and_curve_show_the_numbers(show):
    widget = LabelBudget(budget=3, time=1)
    shown = show(widget)
    canvases = shown.page.locator(".lb-cell canvas")
    assert canvases.count() == 3 * len(widget.wrong())
    called = shown.pixels(canvases.nth(2 * len(widget.wrong())))
    reds = np.array([int(c[1:3], 16) for c in widget._data["colours"]])
    np.testing.assert_array_equal(called, reds[widget.called()[0]])
    scene = shown.pixels(canvases.nth(0)).astype(int)
    assert np.abs(scene - widget._images[0, 0]).max() <= 1
    (plot,) = shown.drawn()
    np.testing.assert_allclose(plot["lines"][-1][1], widget._mean[1], rtol=1e-6)
    np.testing.assert_allclose(plot["lines"][0][1], widget._compared["unet"], rtol=1e-6)
    text = shown.page.locator(".dmw-body").inner_text()
    mean, std = widget.score()
    assert f"{mean:.2f} ± {std:.2f}" in text
    for n in widget.wrong():
        assert f"{n} wrong" in text


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_mouse_and_keyboard_and_the_picture_follows(show, key, label):
    shown = show(LabelBudget(budget=2, time=2))
    slider = shown.page.get_by_role("slider", name=label, exact=True)
    canvas = shown.page.locator(".dmw-plot canvas")
    seen = [canvas.get_attribute("aria-label")]
    slider.focus()
    for press in ("ArrowRight", "Home", "End"):
        shown.page.keyboard.press(press)
        shown.settle()
        seen.append(canvas.get_attribute("aria-label"))
        assert seen[-1] != seen[-2]
    box = slider.bounding_box()
    shown.page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    shown.settle()
    assert shown.get(key) == 0


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_touch(show, key, label):
    shown = show(
        LabelBudget(budget=3, time=3), has_touch=True, viewport={"width": 390, "height": 844}
    )
    any_widget.slider_moves_by_touch(shown, key, label, to=0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    shown = show(LabelBudget(), theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


def test_no_horizontal_scroll_at_390(show):
    shown = show(LabelBudget(), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_question_comes_first_and_opens_the_figure(show):
    shown = show(LabelBudget(predict=QUESTION))
    canvas = shown.page.locator(".dmw-body canvas[role=img]").first
    assert not canvas.is_visible()
    shown.page.get_by_role("button", name="Just show me").click()
    shown.settle()
    assert canvas.is_visible()


def test_without_javascript_the_picture_stands_there(show):
    widget = LabelBudget()
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


def test_a_frame_is_drawn_in_time(show):
    widget = LabelBudget()
    any_widget.draws_in_time(show(widget), "LabelBudget", widget, slider=0)
