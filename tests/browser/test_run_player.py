"""The recorded run in a browser that reaches nothing: numbers and pixels are the recording's."""

import sys
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from dmlib.book.recordings import RecordedRun
from dmlib.book.widgets import Prediction
from dmlib.book.widgets.run_player import RunPlayer

sys.path.insert(0, str(Path(__file__).parent))

pytestmark = pytest.mark.browser


def made_up_run(frames=5, points=40):
    """A run whose every number and pixel differs from its neighbours."""
    rng = np.random.default_rng(0)
    steps = (np.arange(points) + 1) * 25
    return RecordedRun(
        step=steps.astype(np.int32),
        seconds=(steps * 0.37).astype(np.float32),
        loss=(1 / np.sqrt(steps)).astype(np.float32),
        grad_norm=rng.uniform(0.1, 1, points).astype(np.float32),
        bucket_loss=rng.uniform(1e-3, 1, (points, 10)).astype(np.float32),
        grid_step=np.array([10, 200, 490, 710, 1000][:frames], np.int32),
        grid=rng.integers(0, 256, (frames, 10, 28, 28), dtype=np.uint8),
    )


@pytest.mark.parametrize("frame", [0, 2, 4])
def test_numbers_curves_and_pixels_are_the_recordings(show, frame):
    run = made_up_run()
    player = RunPlayer(run, frame=frame)
    shown = show(player)
    got, expected = shown.numbers(), player.numbers()
    assert got["step"] == expected["step"]
    for key in ("minutes", "loss", "grad_norm", "buckets"):
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-6)
    for j, canvas in enumerate(shown.page.locator(".rp-grid canvas").all()):
        assert (shown.pixels(canvas) == run.grid[frame, j]).all()
    curve, levels = shown.drawn()
    np.testing.assert_allclose(curve["lines"][0], [run.step, np.log10(run.loss)], rtol=1e-6)
    np.testing.assert_allclose(curve["markers"], [[expected["step"], np.log10(expected["loss"])]])
    end, now = (line[1] for line in levels["lines"])
    np.testing.assert_allclose(end, np.log10(run.bucket_loss[-1]), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(now, np.log10(expected["buckets"]), rtol=1e-6, atol=1e-7)


def test_slider_by_keyboard_moves_the_samples(show):
    shown = show(RunPlayer(made_up_run()))
    slider = shown.page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    shown.settle()
    assert shown.get("frame") == 1
    assert shown.numbers()["step"] == 200
    assert "step 200" in slider.get_attribute("aria-valuetext")
    slider.press("End")
    shown.settle()
    assert shown.numbers()["step"] == 1000


def test_play_runs_to_the_end(show):
    shown = show(RunPlayer(made_up_run()))
    shown.page.get_by_role("button", name="Play").click()
    shown.page.wait_for_function(
        "() => document.querySelector('.dmw').dmw.model.get('frame') === 4", timeout=15_000
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_shipped_run_has_no_accessibility_findings_and_fits(show, theme, width):
    question = Prediction("Which?", ("a", "b"), 0, "So.")
    player = RunPlayer(frame=-1, predict=question if width == 390 else None)
    shown = show(
        player, theme=theme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    found = Axe().run(shown.page).response["violations"]
    assert [v["id"] for v in found] == []
    wide = shown.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width


@pytest.mark.times
def test_draws_at_sixty_frames_a_second(show):
    shown = show(RunPlayer(made_up_run()))
    for frame in (1, 2, 3, 4, 0) * 4:
        shown.set(frame=frame)
    assert np.median(shown.times()[1:]) < 16
