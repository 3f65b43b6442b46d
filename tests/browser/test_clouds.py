"""The two figures of clouds in a browser that reaches nothing, against dmlib."""

import sys
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.widgets import CloudCompletion, CloudPlayer, Prediction

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("*β*_t", "*t*"), answer=1, reason="Because.")
CANVAS = ".dmw-body canvas[role=img]"


def test_clouds_are_turned_as_dmlib_turns_them(show):
    widget, shown = CloudPlayer(), show(CloudPlayer())
    for kind, frame, azimuth, elevation in ((0, 20, 35.0, 18.0), (3, 7, -120.5, -40.0)):
        state = {"kind": kind, "frame": frame, "azimuth": azimuth, "elevation": elevation}
        for key, value in state.items():
            setattr(widget, key, value)
        shown.set(**state)
        numbers = shown.numbers()
        assert numbers["t"] == widget.t
        np.testing.assert_allclose(numbers["cloud"], widget.cloud().flatten(), atol=1e-9)
        np.testing.assert_allclose(numbers["seen"], widget.seen().flatten(), atol=1e-9)
        size = widget.cloud().amax(0) - widget.cloud().amin(0)
        np.testing.assert_allclose(numbers["extents"], size, atol=1e-9)


def test_completions_are_those_of_the_recording(show):
    widget, shown = CloudCompletion(), show(CloudCompletion())
    for kind, cut in ((0, 2), (2, 5), (1, 0)):
        widget.kind, widget.cut = kind, cut
        shown.set(kind=kind, cut=cut)
        numbers = shown.numbers()
        assert np.array_equal(numbers["known"], widget.known().int())
        np.testing.assert_allclose(numbers["seen"], widget.seen().flatten(1), atol=1e-9)
        np.testing.assert_allclose(numbers["legs"], widget.legs(), atol=1e-9)
        text = shown.page.locator(".dmw-verdict").inner_text()
        for leg in widget.legs().tolist():
            assert f"{leg:.2f}" in text


@pytest.mark.parametrize("kind", [CloudPlayer, CloudCompletion])
def test_a_cloud_turns_by_mouse_and_arrow_keys(show, kind):
    shown = show(kind(), theme="dark")  # the light theme's blue and green have no red to be read
    canvas = shown.page.locator(CANVAS).first
    canvas.scroll_into_view_if_needed()
    before, box = shown.pixels(canvas), canvas.bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown.page.mouse.move(*at)
    shown.page.mouse.down()
    shown.page.mouse.move(at[0] + 40, at[1] + 10, steps=4)
    shown.page.mouse.up()
    shown.settle()
    share = 180 / box["width"]
    assert shown.get("azimuth") == pytest.approx(35 + 40 * share, abs=2)
    assert shown.get("elevation") == pytest.approx(18 + 10 * share, abs=2)
    assert (shown.pixels(canvas) != before).any()
    shown.page.mouse.move(at[0] + 80, at[1])  # no button: nothing turns
    left = (shown.get("azimuth"), shown.get("elevation"))
    canvas.focus()
    for key in ("ArrowLeft", "ArrowUp"):
        shown.page.keyboard.press(key)
    assert shown.get("azimuth") == pytest.approx(left[0] - 5)
    assert shown.get("elevation") == pytest.approx(left[1] + 5)
    for _ in range(40):
        shown.page.keyboard.press("ArrowRight")
        shown.page.keyboard.press("ArrowDown")
    assert -180 <= shown.get("azimuth") <= 180
    assert shown.get("elevation") == -90


def test_a_cloud_turns_by_touch(show):
    shown = show(CloudPlayer(), has_touch=True, viewport={"width": 390, "height": 844})
    canvas = shown.page.locator(CANVAS).first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    session = shown.context.new_cdp_session(shown.page)
    x, y = box["x"] + 100, box["y"] + 100
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + 30, "y": y}]),
        ("touchMove", [{"x": x + 60, "y": y}]),
        ("touchEnd", []),
    ):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert shown.get("azimuth") != 35


def test_sliders_move_the_pictures(show):
    shown = show(CloudPlayer(frame=10))
    keys = ("ArrowLeft", "PageDown", "End", "Home")
    any_widget.slider_moves_the_picture(shown, "frame", "t", drag=(0.5, 0.8), keys=keys)


def test_the_plane_moves_what_is_given(show):
    shown = show(CloudCompletion(cut=2), theme="dark")
    keys = ("ArrowLeft", "End", "Home")
    label = "plane at height"
    any_widget.slider_moves_the_picture(shown, "cut", label, drag=(0.4, 0.8), keys=keys)


def test_slider_moves_by_touch(show):
    shown = show(CloudPlayer(), has_touch=True, viewport={"width": 390, "height": 844})
    any_widget.slider_moves_by_touch(shown, "frame", "t", to=0.3)


def test_shapes_are_chosen_by_name(show):
    shown = show(CloudCompletion())
    shown.page.get_by_label("Shape", exact=True).select_option("lamp")
    shown.settle()
    assert shown.get("kind") == 2
    assert "lamp" in shown.page.locator(CANVAS).first.get_attribute("aria-label")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    both = (CloudPlayer(), CloudCompletion())
    shown = show(*both, theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("kind", [CloudPlayer, CloudCompletion])
def test_no_horizontal_scroll_at_390(show, kind):
    shown = show(kind(), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_question_comes_first(show):
    shown = show(CloudCompletion(predict=QUESTION), theme="dark")
    canvas = shown.page.locator(CANVAS).first
    assert not canvas.is_visible()
    shown.page.get_by_role("radio", name="βt").check()
    shown.page.get_by_role("button", name="Find out").click()
    shown.page.get_by_role("button", name="Tell me").click()
    shown.settle()
    assert canvas.is_visible()
    assert shown.pixels(canvas).std() > 1


@pytest.mark.parametrize("kind", [CloudPlayer, CloudCompletion])
def test_without_javascript_the_picture_stands_there(show, kind):
    widget = kind()
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


@pytest.mark.parametrize("kind", [CloudPlayer, CloudCompletion])
def test_a_frame_is_drawn_in_time(show, kind):
    widget = kind()
    any_widget.draws_in_time(show(widget), kind.__name__, widget)
