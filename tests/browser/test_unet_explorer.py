"""The U-Net explorer in a browser that reaches nothing: its numbers are dmlib's."""

import sys
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.widgets import Prediction
from dmlib.book.widgets.unet_explorer import TIMES, UNetExplorer
from dmlib.models import UNet, UNetConfig

sys.path.insert(0, str(Path(__file__).parent))
import any_widget

pytestmark = pytest.mark.browser
QUESTION = Prediction("Which part?", ("this", "that"), 1, "Because.")


@pytest.fixture(scope="module")
def explorer():
    """Of the shipped network."""
    return UNetExplorer()


def test_numbers_shapes_and_activations_are_dmlibs(show, explorer):
    shown = show(explorer)
    listed = explorer._parts
    cases = [(i, i % len(TIMES), i % 2) for i in range(len(listed))]
    for part, step, image in cases:
        state = {"part": part, "step": step, "image": image}
        shown.set(**state)
        for key, value in state.items():
            setattr(explorer, key, value)
        numbers = shown.numbers()
        p, channels, kept = explorer.shown()
        for key in ("name", "kind", "parameters", "multiply_adds"):
            assert numbers[key] == getattr(p, key)
        assert tuple(numbers["shape_in"]) == p.shape_in
        assert tuple(numbers["shape_out"]) == p.shape_out
        assert numbers["totals"]["parameters"] == sum(q.parameters for q in listed)
        assert numbers["t"] == TIMES[step]
        np.testing.assert_allclose(
            numbers["xt"], explorer.xt(image, step).flatten(), rtol=1e-6, atol=1e-9
        )
        expected = kept.reshape(len(channels), -1).double().numpy()
        scales = abs(expected).max(1)
        np.testing.assert_allclose(numbers["scales"], scales, rtol=1e-6)
        # One grey level is 2/255 of the largest value.
        off = abs(np.array(numbers["values"]) - expected).max(1)
        assert (off <= scales / 127.5).all(), p.name
        first = shown.page.locator(".ue-maps canvas").first
        grey = (expected[0] / scales[0] + 1) * 127.5
        assert abs(shown.pixels(first).ravel() - grey).max() <= 1
        assert p.name in shown.page.locator(".ue-title").inner_text()


def test_pictures_are_the_noisy_image_and_the_guess(show, explorer):
    shown = show(explorer)
    shown.set(step=3, image=1)
    noisy, guess = shown.page.locator(".ue-end canvas").all()
    xt = explorer.xt(1, 3)[0, 0].numpy()
    x0_hat = explorer._x0_hat[1 * len(TIMES) + 3, 0].numpy()
    for canvas, values in ((noisy, xt), (guess, x0_hat)):
        grey = (np.clip(values, -1, 1) + 1) * 127.5
        assert abs(shown.pixels(canvas) - grey).max() <= 1


def test_parts_are_chosen_by_click_and_by_keyboard(show, explorer):
    shown = show(explorer)
    shown.page.locator(".ue-part").nth(5).click()
    assert shown.get("part") == 5
    shown.page.keyboard.press("ArrowDown")
    shown.settle()
    assert shown.get("part") == 6
    assert explorer._parts[6].name in shown.page.locator(".ue-title").inner_text()
    focused = shown.page.evaluate("document.activeElement.value")
    assert focused == "6"


def test_every_part_can_be_chosen_by_its_name(show, explorer):
    shown = show(explorer)
    names = {p.kind for p in explorer._parts}
    for kind in names:
        radio = shown.page.get_by_role("radio", name=kind.capitalize()).first
        radio.check(force=True)
        shown.settle()
        assert explorer._parts[shown.get("part")].kind == kind


def test_head_says_what_the_network_answers_with(show, explorer):
    config = UNetConfig(image_size=8, widths=(16, 24), blocks=1, attention=(4,), emb_dim=16)
    images = np.zeros((1, 8, 8), np.uint8)
    shown = show(explorer, UNetExplorer(UNet(config), images=images))
    for k, words in ((0, "answers with v, from"), (1, "answers with ε itself")):
        shown.set(k, part=len(explorer._parts) - 1 if k == 0 else 13)
        assert shown.numbers(k)["kind"] == "head"
        assert words in shown.page.locator(".dmw").nth(k).inner_text()


def test_time_and_bars_follow_their_controls(show, explorer):
    shown = show(explorer)
    before = shown.numbers()
    shown.page.get_by_role("slider", name="t", exact=True).focus()
    shown.page.keyboard.press("ArrowRight")
    shown.settle()
    assert shown.numbers()["t"] == TIMES[TIMES.index(before["t"]) + 1]
    assert shown.numbers()["values"] != before["values"]
    slider = shown.page.get_by_role("slider", name="t", exact=True)
    assert slider.get_attribute("aria-valuetext") == str(shown.numbers()["t"])
    for key, label in (("multiply_adds", "multiply-adds"), ("parameters", "parameters")):
        shown.page.get_by_label("Bars").select_option(label=label)
        shown.settle()
        got = shown.page.eval_on_selector_all(".ue-fill", "all => all.map(e => e.style.width)")
        values = np.array([getattr(p, key) for p in explorer._parts])
        np.testing.assert_allclose(
            [float(w[:-1]) for w in got], 100 * values / values.max(), rtol=1e-3, atol=1e-3
        )


def test_parts_are_chosen_by_touch(show, explorer):
    shown = show(explorer, has_touch=True, viewport={"width": 390, "height": 844})
    shown.page.locator(".ue-part").nth(9).tap()
    assert shown.get("part") == 9


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_nothing_sticks_out(show, explorer, theme, width):
    asks = UNetExplorer(predict=QUESTION)
    shown = show(explorer, asks, theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    inner = shown.page.locator(".dmw").first.bounding_box()
    edges = shown.page.evaluate(
        "Array.from(document.querySelector('.dmw').querySelectorAll('*'),"
        " e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= inner["x"] + inner["width"]


def test_without_javascript_the_picture_stands_there(show, explorer):
    any_widget.stands_without_javascript(show(explorer, java_script_enabled=False), explorer)
