"""The reverse process' widgets in a browser that reaches nothing, against dmlib."""

import itertools
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from scipy import stats

from dmlib.book.widgets import Particles, Prediction, ReversePlayer, ReversePosterior
from dmlib.book.widgets.particles import SETS, data_points
from dmlib.book.widgets.reverse_player import record
from dmlib.book.widgets.reverse_posterior import moments, total_variation
from dmlib.oracle import FiniteOracle
from dmlib.schedules import cosine_schedule

sys.path.insert(0, str(Path(__file__).parent))
import any_widget
from widget_harness import stand_in_images

pytestmark = pytest.mark.browser
QUESTION = Prediction(question="?", options=("*β*_t", "*t*"), answer=1, reason="Because.")


@cache
def recorded(sampler="ddim"):
    """Ten samples of an exact denoiser, as large as those of the network."""
    schedule = cosine_schedule(1000)
    images = torch.from_numpy(stand_in_images()[:, None] / 127.5 - 1)
    net = FiniteOracle(images, schedule=schedule)
    return record(net, [f"picture {i}" for i in range(10)], sampler=sampler)


def make(name, **state):
    if name == "ReversePlayer":
        return ReversePlayer(recorded(), **state)
    if name == "Particles":
        state = {"t": 12, **state}
    return {"ReversePosterior": ReversePosterior, "Particles": Particles}[name](**state)


def grey(x):
    """[-1, 1] -> 0..255, what is outside clipped, as a picture shows it."""
    return (np.clip(x, -1, 1) + 1) * 127.5


# name of the widget, its state that the test moves, the slider's name
SLIDERS = [
    ("ReversePosterior", "t", "t"),
    ("ReversePosterior", "beta", "βt"),
    ("ReversePosterior", "xt", "xt"),
    ("Particles", "t", "t"),
    ("ReversePlayer", "step", "t"),
]
NAMES = ["ReversePosterior", "Particles", "ReversePlayer"]


# --- the numbers ---------------------------------------------------------------------------


def test_posterior_shows_dmlibs_law(show):
    widget = make("ReversePosterior")
    shown = show(widget)
    steps = [(0.3, 0.0), (1e-4, -0.35), (0.95, 2.8)]
    for t, (beta, xt) in itertools.product([1, 2, 50, 400, 1000], steps):
        widget.t, widget.beta, widget.xt = t, beta, xt
        shown.set(t=t, beta=beta, xt=xt)
        numbers, law = shown.numbers(), widget.law()
        weights, means, variances = np.array(numbers["law"]).T
        np.testing.assert_allclose(weights, law.weights, rtol=1e-6, atol=1e-300)
        np.testing.assert_allclose(means, law.means[:, 0], rtol=1e-6)
        np.testing.assert_allclose(variances, law.stds**2, rtol=1e-6)
        assert (numbers["mean"], numbers["std"]) == pytest.approx(moments(law), rel=1e-6)
        # Below 1e-12 the distance is a sum of rounding errors.
        assert numbers["tv"] == pytest.approx(total_variation(law), rel=1e-6, abs=1e-12)
        curve = [total_variation(widget.law(b)) for b in numbers["betas"]]
        np.testing.assert_allclose(numbers["curve"], curve, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("t", "beta", "xt"), [(50, 0.3, 0.0), (3, 0.001, -1.0)])
def test_posterior_draws_the_law_its_gaussian_and_the_distance(show, t, beta, xt):
    widget = make("ReversePosterior", t=t, beta=beta, xt=xt)
    shown = show(widget)
    law = widget.law()
    mean, std = moments(law)
    bayes, zoom, far = shown.drawn()
    (z, exact), (_, bell) = zoom["lines"]
    density = law.log_prob(torch.tensor(z, dtype=torch.float64)[:, None] * std + mean).exp()
    np.testing.assert_allclose(exact, std * density, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(bell, stats.norm.pdf(z), rtol=1e-6)
    (x, prior), (fine, likely), (_, product) = (map(np.array, line) for line in bayes["lines"])
    before = widget._mixture.diffused(widget._schedule.alpha_bar[t - 1])
    q = before.log_prob(torch.tensor(x)[:, None]).exp().numpy()
    np.testing.assert_allclose(prior, q / q.max(), rtol=1e-6, atol=1e-12)
    bells = stats.norm.pdf(xt, np.sqrt(1 - beta) * fine, np.sqrt(beta))
    np.testing.assert_allclose(likely, bells / bells.max(), rtol=1e-6, atol=1e-12)
    # The product of the two drawn curves is the drawn third, as Bayes wants it.
    both = before.log_prob(torch.tensor(fine)[:, None]).exp().numpy() * bells
    np.testing.assert_allclose(product, both / both.max(), rtol=1e-6, atol=1e-12)
    distance = max(total_variation(law), 1e-7)  # the axis ends there
    assert far["markers"][0] == pytest.approx([np.log10(beta), np.log10(distance)])


def test_posterior_says_the_distance_and_takes_the_schedules_beta(show):
    shown = show(make("ReversePosterior", t=50, beta=0.3, xt=0))
    text = shown.page.locator(".dmw-body").inner_text()
    # By dmlib: TV = 0.358, so the best guesser is right in 67.9 % of the cases.
    assert "0.358" in text
    assert "67.9 %" in text
    assert shown.page.locator("[data-warn]").count() == 1
    shown.page.get_by_role("button", name="Take the schedule").click()
    shown.settle()
    own = make("ReversePosterior")._schedule.beta[50]
    assert shown.get("beta") == pytest.approx(float(own))
    assert shown.page.locator("[data-warn]").count() == 0


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_particles_take_dmlibs_paths(show, sampler):
    shown = show(make("Particles", sampler=sampler))
    for points, seed in zip(SETS, (1, 2, 7), strict=True):
        widget = make("Particles", sampler=sampler, points=points)
        widget.seed = seed
        shown.set(points=points, seed=seed)
        paths = widget.paths().numpy()
        numbers = shown.numbers()
        np.testing.assert_allclose(numbers["paths"], paths.ravel(), rtol=1e-6, atol=1e-9)
        for t in (100, 57, 1, 0):
            shown.set(t=t)
            numbers = shown.numbers()
            np.testing.assert_allclose(numbers["x"], paths[t].ravel(), rtol=1e-6, atol=1e-9)
            near = widget.nearest(torch.from_numpy(paths[t]))
            assert numbers["near"] == pytest.approx(near, rel=1e-6, abs=1e-9)
            if t == 0:
                assert numbers["field"] == []
                continue
            x, y, u, v = np.array(numbers["field"]).T
            knots = torch.from_numpy(np.stack((x, y), 1))
            arrows = widget.denoiser().score(knots, t) * (1 - widget._schedule.alpha_bar[t]).sqrt()
            np.testing.assert_allclose(np.stack((u, v), 1), arrows, rtol=1e-6, atol=1e-9)


def test_particles_draws_particles_data_and_trails(show):
    widget = make("Particles", t=20)
    shown = show(widget)
    paths = widget.paths().numpy()
    (plot,) = shown.drawn()
    data, particles = plot["dots"]
    np.testing.assert_allclose(np.array(data).T, data_points("swiss roll"), rtol=1e-6)
    np.testing.assert_allclose(np.array(particles).T, paths[20], rtol=1e-6, atol=1e-9)
    for i, trail in enumerate(plot["lines"]):
        np.testing.assert_allclose(np.array(trail).T, paths[:19:-1, i], rtol=1e-6, atol=1e-9)
    assert len(plot["lines"]) == 24
    wide = shown.page.locator(".dmw-plot canvas").evaluate("c => [c.clientWidth, c.clientHeight]")
    assert wide[0] - 26 - 12 == wide[1] - 8 - 22  # one unit is as long across as up


def test_particles_choices_reach_the_picture_and_the_text(show):
    shown = show(make("Particles"))
    shown.page.get_by_label("Data", exact=True).select_option("mixture")
    shown.page.get_by_label("Step", exact=True).select_option("ddpm")
    shown.page.get_by_role("button", name="New particles").click()
    shown.set(t=0)
    widget = make("Particles", points="mixture", sampler="ddpm")
    widget.seed = 2
    end = widget.paths()[0]
    np.testing.assert_allclose(shown.numbers()["x"], end.flatten(), rtol=1e-6, atol=1e-9)
    text = shown.page.locator(".dmw-verdict").inner_text()
    assert f"a particle ends {widget.nearest(end):.3f} from a data point" in text
    assert "new points" in text
    shown.set(points="two moons")
    assert "learned by heart" in shown.page.locator(".dmw-verdict").inner_text()


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_player_walks_dmlibs_steps(show, sampler):
    widget = ReversePlayer(recorded(sampler))
    shown = show(widget)
    for step, sample in ((0, 0), (1, 9), (13, 4), (24, 2), (25, 7)):
        widget.step, widget.sample = step, sample
        shown.set(step=step, sample=sample)
        numbers = shown.numbers()
        everything = widget.recording.xt[step].flatten()
        np.testing.assert_allclose(numbers["all"], everything, rtol=1e-6, atol=1e-9)
        assert numbers["t"] == widget.t
        bar = float(widget.recording.schedule.alpha_bar[widget.t])
        assert numbers["alpha_bar"] == pytest.approx(bar, rel=1e-6)
        # Three large pictures, then the pairs of all samples.
        canvases = shown.page.locator(".dmw-body canvas").all()
        for canvas, name, values in zip(
            canvases[:3], ("xt", "x0_hat", "eps_hat"), widget.shown(), strict=True
        ):
            values = torch.zeros(28, 28) if values is None else values
            np.testing.assert_allclose(numbers[name], values.flatten(), rtol=1e-6, atol=1e-9)
            assert np.abs(shown.pixels(canvas) - grey(values.numpy())).max() <= 1
        xt = widget.recording.xt[step, 6].numpy()
        assert np.abs(shown.pixels(canvases[3 + 12]) - grey(xt)).max() <= 1
        before, now = widget.recording.x0_hat[[max(step - 1, 0), min(step, 24)], sample] / 127.5
        if 0 < step < 25:
            expected = np.sqrt(((now - before) ** 2).mean())
            assert numbers["moved"] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_player_writes_the_factors_and_takes_another_sample(show):
    widget = make("ReversePlayer", step=13)
    shown = show(widget)
    bar = float(widget.recording.schedule.alpha_bar[widget.t])
    text = shown.page.locator(".dmw-body").inner_text()
    for number in (f"{bar:.4f}", f"{bar**0.5:.3f}", f"{(1 - bar) ** 0.5:.3f}", "13 of 25"):
        assert number in text
    shown.page.get_by_role("radio", name="picture 3").check()
    shown.settle()
    assert shown.get("sample") == 3
    canvas = shown.page.locator(".dmw-body canvas").first
    expected = widget.recording.xt[13, 3].numpy()
    assert np.abs(shown.pixels(canvas) - grey(expected)).max() <= 1


# --- the controls --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key", "label"), SLIDERS)
def test_slider_moves_by_mouse_and_keyboard_and_the_picture_follows(show, name, key, label):
    keys = ("ArrowRight", "PageDown", "Home", "End")  # ArrowLeft: the drag ends near the left
    shown = show(make(name))
    any_widget.slider_moves_the_picture(shown, key, label, drag=(0.7, 0.25), keys=keys)


@pytest.mark.parametrize(("name", "key", "label"), SLIDERS)
def test_slider_moves_by_touch(show, name, key, label):
    shown = show(make(name), has_touch=True, viewport={"width": 390, "height": 844})
    any_widget.slider_moves_by_touch(shown, key, label, to=0.2)


PLAYED = [("Particles", "t", 100, 90), ("ReversePlayer", "step", 0, 3)]


@pytest.mark.parametrize(("name", "key", "first", "after"), PLAYED)
def test_play_runs_towards_the_data_and_pauses(show, name, key, first, after):
    shown = show(make(name, **{key: first}))
    shown.page.get_by_role("button", name="Play").click()
    shown.page.wait_for_timeout(700)
    shown.page.get_by_role("button", name="Pause").click()
    shown.settle()
    reached = shown.get(key)
    assert (reached - first) * (after - first) > 0
    shown.page.wait_for_timeout(200)
    assert shown.get(key) == reached


@pytest.mark.parametrize(("name", "key", "first", "after"), PLAYED)
def test_reduced_motion_steps_instead_of_playing(show, name, key, first, after):
    shown = show(make(name, **{key: first}), reduced_motion="reduce")
    button = shown.page.get_by_role("button", name="Step", exact=True)
    for expected in (after, 2 * after - first):
        button.click()
        shown.page.wait_for_timeout(100)
        assert shown.get(key) == expected


# --- for everybody -------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    widgets = [make(name) for name in NAMES]
    shown = show(*widgets, theme=theme, viewport={"width": width, "height": 900})
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", NAMES)
def test_no_horizontal_scroll_at_390(show, name):
    shown = show(make(name), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


@pytest.mark.parametrize("name", NAMES)
def test_question_comes_first_and_opens_the_figure(show, name):
    shown = show(make(name, predict=QUESTION))
    canvas = shown.page.locator(".dmw-body canvas[role=img]").first
    assert not canvas.is_visible()
    shown.page.get_by_role("radio", name="βt").check()
    shown.page.get_by_role("button", name="Find out").click()
    shown.page.get_by_role("button", name="Tell me").click()
    shown.settle()
    assert canvas.is_visible()
    assert shown.pixels(canvas).std() > 5
    assert "Not quite. Because." in shown.page.locator(".dmw-ask [role=status]").inner_text()


@pytest.mark.parametrize("name", NAMES)
def test_without_javascript_the_picture_stands_there(show, name):
    widget = make(name)
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


# --- speed ---------------------------------------------------------------------------------


@pytest.mark.times
@pytest.mark.parametrize("name", NAMES)
def test_a_frame_is_drawn_in_time(show, name):
    widget = make(name)
    # The dearest slider: t, by which all else changes, too.
    any_widget.draws_in_time(
        show(widget), name, widget, slider={"ReversePosterior": 1}.get(name, 0)
    )
