"""The posterior in the plane in a browser that reaches nothing, against dmlib."""

import sys
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.widgets import Posterior, Prediction
from dmlib.book.widgets.posterior import METHODS, NOISES

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("one", "two"), answer=1, reason="Because.")
SLIDERS = [("y", "measured x"), ("noise", "noise")]


@pytest.mark.parametrize("method", METHODS)
def test_particles_shares_and_distance_are_dmlibs(show, method):
    widget, shown = Posterior(method=method), show(Posterior())
    for y, noise, seed in ((70, 1, 1), (0, 4, 2), (-140, 0, 7), (200, 6, 99)):
        widget.y, widget.noise, widget.seed = y, noise, seed
        shown.set(y=y, noise=noise, seed=seed, method=method)
        numbers = shown.numbers()
        assert (numbers["y"], numbers["std"]) == (y / 100, NOISES[noise])
        x, samples = widget.particles(), widget.exact_samples()
        close = np.isclose(numbers["x"], x.flatten(), rtol=1e-5, atol=1e-8)
        # DPS, 1 drives some particles so far away that rounding errors of the last bit grow.
        assert close.mean() >= (0.995 if method == "dps-1" else 1)
        np.testing.assert_allclose(numbers["x"], x.flatten(), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(numbers["samples"], samples.flatten(), rtol=1e-5, atol=1e-8)
        found, exact = widget.shares()
        np.testing.assert_allclose(numbers["found"], found, atol=1e-9)
        np.testing.assert_allclose(numbers["exact"], exact, rtol=1e-6, atol=1e-12)
        assert numbers["distance"] == pytest.approx(widget.distance(), abs=1e-9)
        assert numbers["chance"] == pytest.approx(widget.floor(), rel=1e-6)


def test_particles_that_ran_away_are_counted(show):
    widget = Posterior(y=0, noise=4, method="dps-1")
    count = int((widget.particles().abs().amax(1) > 2.4).sum())
    assert count > 0
    shown = show(widget)
    assert f"({count} outside the picture)" in shown.page.locator(".po-plots").inner_text()
    shown.set(method="exact")
    assert "outside" not in shown.page.locator(".po-plots").inner_text()


def test_plots_show_samples_particles_and_the_measurement(show):
    widget = Posterior(y=40, noise=4, method="replacement")
    shown = show(widget)
    for plot, x in zip(shown.drawn(), (widget.exact_samples(), widget.particles()), strict=True):
        np.testing.assert_allclose(np.array(plot["dots"][0]).T, x, rtol=1e-5, atol=1e-8)
        assert plot["markers"][0][0] == 0.4
        bands = [line[0][0] for line in plot["lines"][:2]]
        np.testing.assert_allclose(bands, [0.1, 0.7])
    text = shown.page.locator(".dmw-body").inner_text()
    assert f"{widget.distance():.3f}" in text
    assert f"{widget.floor():.3f}" in text
    found, exact = widget.shares()
    for canvas, shares in zip(shown.page.locator("canvas").all(), (exact, found), strict=True):
        described = canvas.get_attribute("aria-label")
        assert f"{100 * float(shares.max()):.0f} % at" in described


def test_verdict_warns_where_the_shares_are_wrong_and_only_there(show):
    shown = show(Posterior(method="exact"))
    verdict = shown.page.locator(".po-told .dmw-verdict")
    assert "The shares are right" in verdict.inner_text()
    assert verdict.get_attribute("data-warn") is None
    widget = Posterior(method="dps-1")
    shown.set(method="dps-1")
    assert f"{100 * widget.distance():.0f} % of the particles" in verdict.inner_text()
    assert verdict.get_attribute("data-warn") is not None


@pytest.mark.parametrize("side", [0, 1])
def test_line_follows_the_mouse_in_both_plots(show, side):
    shown = show(Posterior(y=0))
    canvas = shown.page.locator(".po-plots canvas").nth(side)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    at = lambda x: box["x"] + 26 + (box["width"] - 38) * (x + 2.4) / 4.8  # noqa: E731
    middle = box["y"] + box["height"] / 2
    shown.page.mouse.move(at(0), middle)
    shown.page.mouse.down()
    shown.page.mouse.move(at(1.2), middle, steps=3)
    assert shown.get("y") == pytest.approx(120, abs=1.5)
    shown.page.mouse.move(at(-2.3), middle, steps=3)
    shown.page.mouse.up()
    assert shown.get("y") == -200
    shown.page.keyboard.press("ArrowRight")
    assert shown.get("y") == -199


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_keyboard_and_mouse_and_the_picture_follows(show, key, label):
    shown = show(Posterior(noise=3))
    any_widget.slider_moves_the_picture(shown, key, label, drag=(0.5, 0.8))


@pytest.mark.parametrize(("key", "label"), SLIDERS)
def test_slider_moves_by_touch(show, key, label):
    shown = show(Posterior(), has_touch=True, viewport={"width": 390, "height": 844})
    any_widget.slider_moves_by_touch(shown, key, label, to=0.9)


def test_reader_chooses_the_method_and_draws_new_particles(show):
    shown = show(Posterior())
    before = shown.numbers()["x"]
    shown.page.get_by_role("button", name="New particles").click()
    shown.settle()
    assert shown.get("seed") == 2
    assert shown.numbers()["x"] != before
    for method, name in METHODS.items():
        shown.page.get_by_label("Method", exact=True).select_option(name)
        shown.settle()
        assert shown.get("method") == method
        assert name in shown.page.locator("canvas").nth(1).get_attribute("aria-label")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    shown = show(Posterior(), theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


def test_no_horizontal_scroll_at_390(show):
    shown = show(Posterior(), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_question_comes_first_and_opens_the_figure(show):
    shown = show(Posterior(predict=QUESTION))
    canvas = shown.page.locator(".po-plots canvas").first
    assert not canvas.is_visible()
    shown.page.get_by_role("button", name="Just show me").click()
    shown.settle()
    assert canvas.is_visible()


def test_without_javascript_the_picture_stands_there(show):
    widget = Posterior()
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


def test_a_frame_is_drawn_in_time(show):
    widget = Posterior()
    any_widget.draws_in_time(show(widget), "Posterior", widget, slider=0)
