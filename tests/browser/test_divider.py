"""The divider in a browser that reaches nothing, against the pictures and dmlib's PSNR."""

import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from dmlib.book.widgets import Divider, Prediction
from dmlib.data import to_unit

sys.path.insert(0, str(Path(__file__).parent))
import any_widget
from widget_harness import stand_in_images

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("one", "two"), answer=1, reason="Because.")
PHONE = {"has_touch": True, "viewport": {"width": 390, "height": 844}}


def versions():
    """Shaded discs as the truth; with a hole, dimmer, with noise of two kinds."""
    truth = to_unit(torch.from_numpy(stand_in_images(5)))
    given = truth.clone()
    given[..., 8:20, 8:20] = -0.3
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(truth.shape, generator=generator) for _ in range(2)]
    return {
        "what is given": given,
        "regression": 0.8 * truth - 0.1,
        "a sample": truth + 0.2 * noise[0],
        "another sample": truth + 0.4 * noise[1],
        "the truth": truth,
    }


def half_and_half():
    """All black on the left, all white on the right; in the other picture the other way round."""
    black = torch.tensor([-1.0, 1.0])[:, None, None].expand(2, 10, 10)
    return Divider({"black": black, "white": -black}, position=30)


def seen(shown):
    """The stage as it is seen, (H, W) red channel."""
    stage = shown.page.locator(".dv-stage")
    stage.scroll_into_view_if_needed()
    return np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB"))[:, :, 0]


def border(shown):
    """Where black ends and white begins, a share of the width, in a row clear of the knob."""
    row = seen(shown)[20]
    white = np.flatnonzero(row[10:-10] > 128)  # the line is white with a dark rim
    return (10 + white[0]) / len(row)


def test_pictures_and_psnr_are_those_of_dmlib(show):
    widget, shown = Divider(versions(), "the truth"), show(Divider(versions(), "the truth"))
    for image, left, right in ((0, 0, 1), (3, 1, 2), (4, 3, 2), (2, 2, 4), (1, 4, 4), (0, 0, 0)):
        widget.image, widget.left, widget.right = image, left, right
        shown.set(image=image, left=left, right=right)
        numbers = shown.numbers()
        assert numbers["names"] == [widget.names[left], widget.names[right]]
        for found, exact in zip(numbers["shown"], widget.shown(), strict=True):
            np.testing.assert_array_equal(found, exact.ravel())
        assert numbers["psnr"] == pytest.approx(widget.psnr(), rel=1e-9)
        for i, exact in enumerate(widget.shown()):
            canvas = shown.page.locator(".dv-stage canvas").nth(i)
            np.testing.assert_array_equal(shown.pixels(canvas), exact)
        told = shown.page.locator(".dmw-facts dd").all_inner_texts()
        for text, value in zip(told, widget.psnr(), strict=True):
            if math.isinf(value):
                assert text == "the truth"
            else:
                assert float(text.split()[0]) == pytest.approx(value, abs=0.0051)


def test_sentence_says_which_is_nearer_to_the_truth(show):
    widget = Divider(versions(), "the truth", left=3, right=2)
    shown = show(widget)
    verdict = shown.page.locator(".dv-side .dmw-verdict")
    lead = abs(np.subtract(*widget.psnr()))
    for left, right in ((3, 2), (2, 3)):
        shown.set(left=left, right=right)
        text = verdict.inner_text().replace("\u00a0", " ")
        assert "“a sample” is nearer to the truth than “another sample”" in text
        assert f"{lead:.2f} dB" in text
    shown.set(left=2, right=2)
    assert verdict.inner_text() == "Both sides show “a sample”."


def test_a_version_without_a_difference_is_infinitely_near(show):
    both = versions()
    both["a copy"] = both["the truth"].clone()
    shown = show(Divider(both, "the truth", left=5, right=4))
    assert shown.numbers()["psnr"] == [math.inf, math.inf]
    assert shown.page.locator(".dmw-facts dd").all_inner_texts() == ["∞\u00a0dB", "the truth"]
    assert "does not differ" in shown.page.locator(".dv-side .dmw-verdict").inner_text()


def test_without_a_truth_no_psnr_is_told(show):
    shown = show(half_and_half())
    assert shown.numbers()["psnr"] is None
    assert "PSNR" not in shown.page.locator(".dmw").inner_text()


@pytest.mark.parametrize("position", [0, 17, 50, 100])
def test_left_version_is_seen_left_of_the_divider_and_right_version_right_of_it(show, position):
    widget = half_and_half()
    widget.position = position
    row = seen(show(widget))[20]
    at = round(len(row) * position / 100)
    assert (row[6 : max(at - 4, 6)] == 0).all()
    assert (row[at + 4 : -6] == 255).all()


def test_pixels_are_crisp(show):
    """Enlarged ten times and more, the picture shows no grey that it does not have."""
    levels = np.random.default_rng(0).choice([0, 85, 170, 255], (1, 12, 12)).astype(np.uint8)
    x = to_unit(torch.from_numpy(levels))
    found = seen(show(Divider({"one": x, "other": x}, position=100)))
    clear = found[8 : len(found) // 3, 8:-12]  # of the corners, of the line and of its knob
    assert set(np.unique(clear)) == {0, 85, 170, 255}
    assert clear.shape[1] > 300


def test_divider_follows_the_mouse_and_then_the_arrow_keys(show):
    shown = show(half_and_half())
    box = shown.page.locator(".dv-stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    shown.page.mouse.move(box["x"] + 0.7 * box["width"], middle)
    assert shown.get("position") == 30  # it follows no pointer that is not pressed
    shown.page.mouse.down()
    assert shown.get("position") == 70
    for share, expected in ((0.2, 20), (0.55, 55), (1.5, 100), (0.4, 40)):
        shown.page.mouse.move(box["x"] + share * box["width"], middle, steps=4)
        shown.settle()
        assert shown.get("position") == expected
    assert border(shown) == pytest.approx(0.4, abs=0.02)
    shown.page.mouse.up()
    shown.page.mouse.move(box["x"] + 5, middle)
    assert shown.get("position") == 40
    for press, expected in (("ArrowRight", 41), ("ArrowLeft", 40), ("Home", 0), ("End", 100)):
        shown.page.keyboard.press(press)
        shown.settle()
        assert shown.get("position") == expected


def test_handle_is_a_named_range_below_the_divider(show):
    shown = show(half_and_half())
    handle = shown.page.get_by_role("slider", name="divider", exact=True)
    assert handle.get_attribute("aria-valuetext") == "30 % black"
    canvas = shown.page.locator(".dv-stage canvas").first
    before = canvas.get_attribute("aria-label")
    box = handle.bounding_box()
    stage = shown.page.locator(".dv-stage").bounding_box()
    shown.page.mouse.click(stage["x"] + 0.8 * stage["width"], box["y"] + box["height"] / 2)
    shown.settle()
    assert shown.get("position") == 80  # the thumb stands where the divider stands
    assert border(shown) == pytest.approx(0.8, abs=0.02)
    assert canvas.get_attribute("aria-label") != before
    shown.set(left=1)
    assert handle.get_attribute("aria-valuetext") == "80 % white"


def test_divider_follows_a_finger_sideways_and_lets_it_scroll(show):
    shown = show(
        Divider(versions(), "the truth"), **PHONE | {"viewport": {"width": 390, "height": 500}}
    )
    session = shown.context.new_cdp_session(shown.page)

    def touch(kind, *points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    box = shown.page.locator(".dv-stage").bounding_box()
    y = box["y"] + box["height"] / 2
    at = lambda share, down=0: {"x": box["x"] + share * box["width"], "y": y + down}  # noqa: E731
    shown.page.touchscreen.tap(**at(0.25))
    shown.settle()
    assert shown.get("position") == 25
    touch("touchStart", at(0.3))
    for share in (0.35, 0.5, 0.6, 0.75):
        touch("touchMove", at(share, 2))
    shown.settle()
    assert shown.get("position") == 75
    touch("touchEnd")
    touch("touchStart", at(0.2))
    for down in (-5, -30, -60, -120):
        touch("touchMove", at(0.21, down))
    touch("touchEnd")
    shown.page.wait_for_timeout(300)
    assert shown.page.evaluate("scrollY") > 50
    assert shown.get("position") == 75


def test_versions_and_picture_are_chosen_by_the_reader(show):
    shown = show(Divider(versions(), "the truth", pictures=[f"disc {i}" for i in range(5)]))
    shown.page.get_by_label("left", exact=True).select_option("regression")
    shown.page.get_by_label("right", exact=True).select_option("another sample")
    shown.page.get_by_role("radio", name="disc 3").check(force=True)
    shown.settle()
    assert [shown.get(key) for key in ("left", "right", "image")] == [1, 3, 3]
    label = shown.page.locator(".dv-stage canvas").nth(1).get_attribute("aria-label")
    assert label.startswith("disc 3: another sample")


def test_tall_pictures_keep_their_shape(show):
    tall = {name: x[..., :14] for name, x in versions().items()}
    shown = show(Divider(tall))
    for place in (".dv-stage", ".dmw-thumb canvas"):
        box = shown.page.locator(place).first.bounding_box()
        assert box["height"] / box["width"] == pytest.approx(2, rel=0.15)
    assert shown.page.locator(".dv-stage").bounding_box()["height"] < 500


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    widget = Divider(versions(), "the truth", left=1, right=2)
    shown = show(widget, theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


def test_no_horizontal_scroll_at_390(show):
    shown = show(Divider(versions(), "the truth"), **PHONE, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_question_comes_first_and_opens_the_figure(show):
    shown = show(Divider(versions(), "the truth", predict=QUESTION))
    canvas = shown.page.locator(".dv-stage canvas").first
    assert not canvas.is_visible()
    shown.page.get_by_role("button", name="Just show me").click()
    shown.settle()
    assert canvas.is_visible()


def test_without_javascript_the_picture_stands_there(show):
    widget = Divider(versions(), "the truth")
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


def test_a_frame_is_drawn_in_time(show):
    widget = Divider(versions(), "the truth", left=1, right=2)
    any_widget.draws_in_time(show(widget), "Divider", widget, slider=0)
