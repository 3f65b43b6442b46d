"""The figure of pairs and the flow in a browser that reaches nothing, against dmlib."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.widgets import Paths, Prediction

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("*β*_t", "*t*"), answer=1, reason="Because.")
SLIDERS = [
    ("evaluations", "evaluations"),
    ("spacing", "spacing p"),
    ("width", "width of the heaps"),
]
HANDLES = [
    ("light", "mean of the light heap, 30 % of the data"),
    ("heavy", "mean of the heavy heap, 70 % of the data"),
]
STATES = [
    {"path": "straight", "solver": "euler", "evaluations": 10},
    {"path": "straight", "solver": "heun", "evaluations": 9, "spacing": 1.5, "width": 0.4},
    {"path": "diffusion", "solver": "euler", "evaluations": 1, "light": 2.4, "heavy": -2.4},
    {"path": "diffusion", "solver": "heun", "evaluations": 40, "spacing": 2.25, "light": 1.0},
    {"path": "growing", "solver": "ddim", "evaluations": 23, "spacing": 7.0, "width": 2.0},
    {"path": "growing", "solver": "heun", "evaluations": 10, "spacing": 3.0, "heavy": 0.35},
]


def changed(widget, state):
    """The widget with every state set, those at their start included."""
    defaults = {name: trait.default_value for name, trait in widget.traits(sync=True).items()}
    for name in ("path", "solver", "evaluations", "spacing", "light", "heavy", "width"):
        setattr(widget, name, state.get(name, defaults[name]))
    return widget


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s['path']}-{s['solver']}")
def test_numbers_are_those_of_dmlib(show, state):
    widget, shown = changed(Paths(), state), show(Paths())
    shown.set(**state)
    numbers, walk = shown.numbers(), widget.walk()
    assert (numbers["steps"], numbers["asked"]) == (widget.steps, widget.asked)
    for name, expected in (
        ("times", widget.times()),
        ("x", walk[-1]),
        ("walked", walk[:, [int((i + 0.5) * 1000 / 16) for i in range(16)]]),
        ("exact", widget.exact()),
        ("moments", widget.moments()),
        ("curves", widget.curves()),
        ("lines", widget.lines()),
    ):
        np.testing.assert_allclose(numbers[name], expected, rtol=1e-8, atol=1e-9, err_msg=name)
    xs = torch.linspace(-3.2, 3.2, 141, dtype=torch.float64)[:, None]
    density = widget.law().log_prob(xs).exp()
    np.testing.assert_allclose(numbers["density"], density, rtol=1e-8, atol=1e-12)
    assert numbers["distance"] == pytest.approx(widget.distance(), abs=1e-9)
    assert numbers["off"] == pytest.approx(widget.off(), rel=1e-8)


@pytest.mark.parametrize("path", ["diffusion", "straight", "growing"])
def test_plots_show_the_numbers(show, path):
    """Where the noise grows, in perspective: x/(1 + sigma) over sigma/(1 + sigma)."""
    widget = Paths(path=path, solver="heun", spacing=2.0)
    heap, plot = show(widget).drawn()
    drawn = [int((i + 0.5) * 1000 / 16) for i in range(16)]
    layers = (
        (widget.moments(), widget.lines()),
        (widget.moments(), widget.curves()),
        (widget.times(), widget.walk()[:, drawn]),
    )
    assert len(plot["lines"]) == 30 + 16 + 16
    expected = []
    for times, rows in layers:
        s = torch.tensor(times, dtype=torch.float64)
        grown = 1 + s if path == "growing" else torch.ones_like(s)
        expected += [((s / grown).tolist(), (row / grown).tolist()) for row in rows.T]
    for mine, theirs in zip(plot["lines"], expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-9)
    edges = np.linspace(-3.2, 3.2, 51)
    share = np.histogram(widget.walk()[-1], edges)[0] / 1000 / (6.4 / 50)
    np.testing.assert_allclose(heap["bars"][0], share, rtol=1e-8, atol=1e-9)


def test_the_task_is_said_and_its_end_is_seen(show):
    shown = show(Paths())
    body = shown.page.locator(".dmw-body")
    assert "below 0.05 with at most 10 evaluations" in body.inner_text()
    assert "not yet below" in body.inner_text()
    shown.page.get_by_label("Solver", exact=True).select_option("heun")
    shown.set(spacing=1.5)
    widget = Paths(solver="heun", spacing=1.5)
    text = body.inner_text()
    for value in (widget.distance(), widget.off()):
        assert f"{value:.3f}" in text
    assert f"✓ {widget.distance():.3f} with 9 evaluations" in text
    assert shown.page.locator("[data-warn]").count() == 0
    shown.set(light=-0.5)
    assert "Does it also do for those you began with?" in body.inner_text()
    shown.set(light=-1.5, evaluations=30)
    assert "The task allows 10" in body.inner_text()
    assert shown.page.locator("[data-warn]").count() == 1
    shown.page.get_by_label("Path", exact=True).select_option("growing")
    shown.page.get_by_role("button", name="Reset").click()
    shown.settle()
    assert (shown.get("path"), shown.get("evaluations")) == ("straight", 10)


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_mouse_and_keyboard_and_the_picture_follows(show, key, label):
    # In dark: the harness compares what is red, and the light theme's blue and green hold none.
    shown = show(Paths(spacing=3.0), theme="dark")
    keys = ("ArrowRight", "PageDown", "Home", "End")
    plot = 0 if key == "width" else 1  # the heaps, the flow
    any_widget.slider_moves_the_picture(shown, key, label, drag=(0.7, 0.6), keys=keys, plot=plot)


@pytest.mark.parametrize(("key", "label"), HANDLES)
def test_handle_follows_mouse_and_keys_and_the_heap_follows_the_handle(show, key, label):
    shown = show(Paths())
    handle = shown.page.get_by_role("slider", name=label, exact=True)
    assert float(handle.get_attribute("aria-valuenow")) == shown.get(key)
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    start = shown.get(key)
    shown.page.mouse.move(x + 3, y + 4)  # not its middle: it must not jump
    shown.page.mouse.down()
    shown.page.mouse.move(x + 3, y + 4 - 43, steps=4)
    shown.page.mouse.up()
    shown.settle()
    # 6.4 of x are 274 pixels of the picture's 320.
    assert shown.get(key) == pytest.approx(start + 43 * 6.4 / 274, abs=0.03)
    now = handle.bounding_box()
    assert now["y"] + now["height"] / 2 == pytest.approx(y - 43, abs=1.5)
    shown.page.mouse.move(x, y)
    shown.settle()
    moved = shown.get(key)
    for press, step in (("ArrowUp", 0.05), ("ArrowDown", -0.05), ("PageDown", -0.5)):
        handle.press(press)
        shown.settle()
        assert shown.get(key) == pytest.approx(moved + step)
        moved = shown.get(key)
    handle.press("End")
    shown.settle()
    assert shown.get(key) == 2.4
    assert handle.get_attribute("aria-valuetext").startswith("2.40, standard deviation 0.")
    widget = Paths()
    setattr(widget, key, 2.4)
    assert shown.numbers()["distance"] == pytest.approx(widget.distance(), abs=1e-9)


def test_handle_follows_a_finger_and_the_page_stays(show):
    shown = show(Paths(), has_touch=True, viewport={"width": 390, "height": 700})
    key, label = HANDLES[0]
    handle = shown.page.get_by_role("slider", name=label, exact=True)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    scrolled, start = shown.page.evaluate("scrollY"), shown.get(key)
    session = shown.context.new_cdp_session(shown.page)
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        *(("touchMove", [{"x": x, "y": y + d}]) for d in (10, 20, 30)),
        ("touchEnd", []),
    ):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    shown.settle()
    assert shown.get(key) == pytest.approx(start - 30 * 6.4 / 274, abs=0.03)
    assert shown.page.evaluate("scrollY") == scrolled


def test_address_brings_the_state_and_refuses_what_is_out_of_range(show):
    shown = show(Paths())
    shown.page.evaluate("location.hash = '#fig-paths?path=growing&light=-0.5&heavy=9&width=0.6'")
    shown.page.wait_for_timeout(100)
    assert (shown.get("path"), shown.get("light"), shown.get("width")) == ("growing", -0.5, 0.6)
    assert shown.get("heavy") == 1.0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    shown = show(Paths(solver="heun"), theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


def test_no_horizontal_scroll_at_390(show):
    shown = show(Paths(), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_question_comes_first_and_opens_the_figure(show):
    shown = show(Paths(predict=QUESTION))
    canvas = shown.page.locator(".dmw-body canvas[role=img]").first
    assert not canvas.is_visible()
    shown.page.get_by_role("radio", name="βt").check()
    shown.page.get_by_role("button", name="Find out").click()
    shown.settle()
    assert canvas.is_visible()
    assert shown.pixels(canvas).std() > 5


def test_without_javascript_the_picture_stands_there(show):
    widget = Paths()
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


@pytest.mark.times
@pytest.mark.parametrize(("slider", "name"), [(0, "Paths: evaluations"), (2, "Paths: width")])
def test_a_frame_is_drawn_in_time(show, slider, name):
    """Along the evaluations the walk is computed anew, along the width everything is."""
    widget = Paths()
    any_widget.draws_in_time(show(widget), name, widget, slider=slider)
