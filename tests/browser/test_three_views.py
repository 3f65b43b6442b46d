"""The figure of SDE, ODE and what lies between in a browser that reaches nothing, against dmlib."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.widgets import Prediction, ThreeViews

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("*β*_t", "*t*"), answer=1, reason="Because.")
SLIDERS = [("time", "s"), ("churn", "churn")]


@pytest.mark.parametrize(
    ("churn", "steps", "seed"),
    [(0.0, 10, 1), (0.0, 200, 2), (0.35, 25, 7), (1.0, 50, 1), (1.5, 100, 99), (1.0, 200, 3)],
)
def test_particles_take_dmlibs_paths_and_marginals(show, churn, steps, seed):
    widget = ThreeViews(churn=churn, steps=steps)
    widget.seed = seed
    shown = show(ThreeViews())
    for time in (100, 62, 11, 0):
        widget.time = time
        shown.set(churn=churn, steps=steps, seed=seed, time=time)
        numbers = shown.numbers()
        walked = widget.paths()[: steps + 1].flatten()
        np.testing.assert_allclose(numbers["paths"], walked, rtol=1e-6, atol=1e-9)
        assert (numbers["s"], numbers["step"]) == (pytest.approx(widget.s), widget.step)
        now = widget.paths()[widget.step]
        np.testing.assert_allclose(numbers["x"], now.flatten(), rtol=1e-6, atol=1e-9)
        for axis, side in enumerate(numbers["sides"]):
            found, exact = widget.shares(axis)
            np.testing.assert_allclose(side["found"], found, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(side["exact"], exact, rtol=1e-6, atol=1e-12)
            xs = torch.linspace(-3.5, 3.5, 141, dtype=torch.float64)[:, None]
            density = widget.exact(axis).log_prob(xs).exp()
            np.testing.assert_allclose(side["density"], density, rtol=1e-6, atol=1e-12)
        assert numbers["distance"] == pytest.approx(widget.distance(), rel=1e-6)
        assert numbers["chance"] == pytest.approx(widget.floor(), rel=1e-6)


def test_streams_kept_from_other_walks_are_the_same_numbers(show):
    """From few steps to many, to another seed, to no churn and back."""
    shown = show(ThreeViews())
    for churn, steps, seed in (
        (1.0, 10, 1),
        (1.0, 50, 1),
        (0.0, 25, 2),
        (0.5, 25, 2),
        (1.0, 10, 1),
    ):
        widget = ThreeViews(churn=churn, steps=steps)
        widget.seed = seed
        shown.set(churn=churn, steps=steps, seed=seed, time=0)
        end = widget.paths()[-1].flatten()
        np.testing.assert_allclose(shown.numbers()["x"], end, rtol=1e-6, atol=1e-9)


def test_plane_and_histograms_show_the_numbers(show):
    widget = ThreeViews(churn=1.0, steps=50, time=20)
    shown = show(widget)
    plane, *hists = shown.drawn()
    paths = widget.paths().numpy()
    everyone, some = plane["dots"]
    np.testing.assert_allclose(np.array(everyone).T, paths[40], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.array(some).T, paths[40, :12], rtol=1e-6, atol=1e-9)
    assert len(plane["lines"]) == 12
    for i, trail in enumerate(plane["lines"]):
        np.testing.assert_allclose(np.array(trail).T, paths[:41, i], rtol=1e-6, atol=1e-9)
    for axis, hist in enumerate(hists):
        heights = widget.shares(axis)[0][1:-1] / 0.25
        np.testing.assert_allclose(hist["bars"][0], heights, rtol=1e-6, atol=1e-9)
        xs, density = hist["lines"][0]
        x = torch.tensor(xs, dtype=torch.float64)[:, None]
        expected = widget.exact(axis).log_prob(x).exp()
        np.testing.assert_allclose(density, expected, rtol=1e-6, atol=1e-12)


def test_controls_reach_the_picture_and_the_verdict(show):
    shown = show(ThreeViews(churn=1.5, steps=10))
    body = shown.page.locator(".dmw-body")
    assert shown.page.locator("[data-warn]").count() == 1
    assert "more steps, or less churn" in body.inner_text()
    shown.page.get_by_label("Steps", exact=True).select_option("200")
    shown.page.get_by_role("button", name="New particles").click()
    shown.settle()
    assert (shown.get("steps"), shown.get("seed")) == (200, 2)
    widget = ThreeViews(churn=1.5, steps=200)
    widget.seed = 2
    assert shown.page.locator("[data-warn]").count() == 0
    text = body.inner_text()
    for value in (widget.distance(), widget.floor()):
        assert f"{value:.3f}" in text


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_mouse_and_keyboard_and_the_picture_follows(show, key, label):
    shown = show(ThreeViews(time=40, churn=0.5))
    keys = ("ArrowRight", "PageDown", "Home", "End")
    # 100 steps: a hundredth of s is one of them.
    shown.set(steps=100)
    any_widget.slider_moves_the_picture(shown, key, label, drag=(0.7, 0.25), keys=keys)


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_touch(show, key, label):
    shown = show(ThreeViews(time=40), has_touch=True, viewport={"width": 390, "height": 844})
    any_widget.slider_moves_by_touch(shown, key, label, to=0.2)


def test_play_runs_towards_the_data_and_pauses(show):
    shown = show(ThreeViews(time=100))
    shown.page.get_by_role("button", name="Play").click()
    shown.page.wait_for_timeout(700)
    shown.page.get_by_role("button", name="Pause").click()
    shown.settle()
    reached = shown.get("time")
    assert reached < 100
    shown.page.wait_for_timeout(200)
    assert shown.get("time") == reached


def test_reduced_motion_steps_instead_of_playing(show):
    shown = show(ThreeViews(time=100), reduced_motion="reduce")
    button = shown.page.get_by_role("button", name="Step", exact=True)
    for expected in (90, 80):
        button.click()
        shown.page.wait_for_timeout(100)
        assert shown.get("time") == expected


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    shown = show(ThreeViews(churn=1.0), theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


def test_no_horizontal_scroll_at_390(show):
    shown = show(ThreeViews(), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_question_comes_first_and_opens_the_figure(show):
    shown = show(ThreeViews(predict=QUESTION))
    canvas = shown.page.locator(".dmw-body canvas[role=img]").first
    assert not canvas.is_visible()
    shown.page.get_by_role("radio", name="βt").check()
    shown.page.get_by_role("button", name="Find out").click()
    shown.page.get_by_role("button", name="Tell me").click()
    shown.settle()
    assert canvas.is_visible()
    assert shown.pixels(canvas).std() > 5
    assert "Not quite. Because." in shown.page.locator(".dmw-ask [role=status]").inner_text()


def test_without_javascript_the_picture_stands_there(show):
    widget = ThreeViews()
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


@pytest.mark.times
@pytest.mark.parametrize(("slider", "name"), [(0, "ThreeViews: s"), (1, "ThreeViews: churn")])
def test_a_frame_is_drawn_in_time(show, slider, name):
    """Along s nothing is computed anew; along the churn the whole walk is, here of 25 steps."""
    widget = ThreeViews(churn=1.0)
    any_widget.draws_in_time(show(widget), name, widget, slider=slider)
