"""The widgets in a browser that reaches nothing: what JavaScript shows is what dmlib computes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from scipy import stats

from dmlib.book.widgets import ForwardPlayer, Prediction
from dmlib.book.widgets.forward_player import family as schedule_named
from dmlib.schedules import linear_schedule

sys.path.insert(0, str(Path(__file__).parent))
import any_widget
from widget_harness import make, stand_in_images

pytestmark = pytest.mark.browser
NAMES = ["ForwardPlayer", "ScheduleExplorer", "ChainVsKernel"]
FAMILIES = ["linear", "cosine", "sigmoid", "zero-snr"]
QUESTION = Prediction(
    question="What becomes of √{*ᾱ*_t}?",
    options=("it grows", "it falls"),
    answer=1,
    reason="Each step multiplies by √{1 − *β*_t} < 1.",
)


def grey(x):
    """[-1, 1] -> 0..255, what is outside clipped, as a picture shows it."""
    return (np.clip(x, -1, 1) + 1) * 127.5


def main_picture(shown):
    return shown.page.locator(".dmw-pixels").first


# --- the numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("t", [0, 1, 250, 999, 1000])
def test_forward_player_shows_dmlibs_numbers(show, family, t):
    player = make("ForwardPlayer")
    shown = show(player)
    state = {"t": t, "schedule": family, "image": 5, "seed": 3}
    shown.set(**state)
    for key, value in state.items():
        setattr(player, key, value)
    expected = player.xt().numpy()[0, 0]
    numbers = shown.numbers()
    np.testing.assert_allclose(numbers["xt"], expected.ravel(), rtol=1e-6, atol=1e-12)
    pixels = shown.pixels(main_picture(shown))
    assert np.abs(pixels - grey(expected)).max() <= 1
    counts, _ = np.histogram(np.clip(expected, -3.5, 3.499), np.linspace(-3.5, 3.5, 29))
    np.testing.assert_allclose(numbers["density"], counts / (784 * 0.25))
    histogram, curve = shown.drawn()
    np.testing.assert_allclose(histogram["bars"][0], counts / (784 * 0.25))
    x, bell = histogram["lines"][0]
    np.testing.assert_allclose(bell, stats.norm.pdf(x))
    alpha_bar = schedule_named(family).alpha_bar
    np.testing.assert_allclose(curve["lines"][0], [range(1001), alpha_bar], rtol=1e-6)
    np.testing.assert_allclose(curve["markers"], [[t, alpha_bar[t]]], rtol=1e-6)


def test_forward_player_writes_the_factors(show):
    shown = show(make("ForwardPlayer"))
    text = shown.page.locator(".dmw").inner_text()
    # Linear schedule, t = 250: alpha_bar = 0.5241 by dmlib (see the next test for the table).
    for number in ("0.5241", "0.724", "0.690", "0.4 dB"):
        assert number in text


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("T", "beta_1", "beta_T"), [(1000, 1e-4, 0.02), (70, 0.003, 0.2)])
def test_schedule_explorer_shows_dmlibs_tables(show, family, T, beta_1, beta_T):
    explorer = make("ScheduleExplorer", T=T, beta_T=beta_T, beta_1=beta_1, family=family, image=2)
    shown = show(explorer)
    numbers, schedule = shown.numbers(), explorer.schedule()
    np.testing.assert_allclose(numbers["beta"], schedule.beta, rtol=1e-6)
    np.testing.assert_allclose(numbers["alpha_bar"], schedule.alpha_bar, rtol=1e-6)
    log_snr = np.array([float(v.replace("Infinity", "inf")) for v in numbers["log_snr"]])
    np.testing.assert_allclose(log_snr, schedule.log_snr, rtol=1e-6, atol=1e-9)
    times, frames = explorer.filmstrip()
    assert numbers["times"] == times
    np.testing.assert_allclose(numbers["films"], frames.flatten(1).numpy(), rtol=1e-6, atol=1e-12)
    films = shown.page.locator(".se-film canvas").all()
    for film, frame in zip(films, frames[:, 0].numpy(), strict=True):
        assert np.abs(shown.pixels(film) - grey(frame)).max() <= 1
    tables = (schedule.beta[1:], schedule.alpha_bar, schedule.log_snr[1:].clamp(-99, 99))
    usual = linear_schedule()
    ghosts = (usual.beta[1:], usual.alpha_bar, usual.log_snr[1:])
    for plot, table, ghost in zip(shown.drawn(), tables, ghosts, strict=True):
        first = T + 1 - len(table)
        (ghost_x, ghost_y), (x, y) = plot["lines"]
        np.testing.assert_allclose(y, table, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(ghost_y, ghost, rtol=1e-6, atol=1e-9)
        assert x == list(range(first, T + 1))
        np.testing.assert_allclose(ghost_x, np.arange(first, 1001) * T / 1000)
    warned = "still carries signal" in shown.page.locator(".dmw-verdict").inner_text()
    assert warned == numbers["warns"] == bool(schedule.alpha_bar[-1].sqrt() >= 0.01)


@pytest.mark.parametrize(("start", "x0"), [("mixture", 1.0), ("point", -1.3)])
@pytest.mark.parametrize("t", [0, 1, 77, 200])
def test_chain_walks_dmlibs_particles(show, start, x0, t):
    chain = make("ChainVsKernel", start=start, x0=x0, seed=5, t=t)
    shown = show(chain)
    numbers = shown.numbers()
    expected = chain.particles().numpy()
    np.testing.assert_allclose(numbers["particles"], expected, rtol=1e-6, atol=1e-9)
    assert numbers["mean"] == pytest.approx(expected.mean(), rel=1e-6)
    assert numbers["std"] == pytest.approx(expected.std(), rel=1e-6, abs=1e-9)
    top, below = shown.drawn()
    counts, _ = np.histogram(np.clip(expected, -4, 3.999), np.linspace(-4, 4, 41))
    np.testing.assert_allclose(top["bars"][0], counts / (2000 * 0.2))
    assert [path[0][-1] for path in below["lines"][:16]] == numbers["particles"][:16]
    if start == "point" and t == 0:
        return  # all mass in one point: there is no density
    grid = torch.tensor(numbers["grid"], dtype=torch.float64)
    np.testing.assert_allclose(top["lines"][0][1], numbers["density"])
    np.testing.assert_allclose(numbers["density"], chain.density(grid), rtol=1e-6, atol=1e-300)
    a = float(linear_schedule(200, beta_1=5e-4, beta_T=0.1).alpha_bar[t])
    parts = ((1, x0, 0),) if start == "point" else ((0.3, -1.5, 0.25), (0.7, 1, 0.35))

    def cdf(x):
        return sum(
            w * stats.norm.cdf(x, a**0.5 * m, (a * s**2 + 1 - a) ** 0.5) for w, m, s in parts
        )

    assert numbers["gap"] == pytest.approx(stats.kstest(expected, cdf).statistic, rel=1e-6)


# --- the controls --------------------------------------------------------------------------


# name of the widget, its state that the test moves (also the slider's name)
SLIDERS = [("ForwardPlayer", "t"), ("ScheduleExplorer", "T"), ("ChainVsKernel", "t")]


@pytest.mark.parametrize(("name", "key"), SLIDERS)
def test_slider_moves_by_mouse_and_keyboard_and_the_picture_follows(show, name, key):
    any_widget.slider_moves_the_picture(show(make(name)), key, key, drag=(0.4, 0.8))


@pytest.mark.parametrize(("name", "key"), SLIDERS)
def test_slider_moves_by_touch(show, name, key):
    shown = show(make(name), has_touch=True, viewport={"width": 390, "height": 844})
    any_widget.slider_moves_by_touch(shown, key, key, to=0.9)


def test_forward_player_choices_reach_the_picture(show):
    shown = show(make("ForwardPlayer"))
    shown.page.get_by_role("radio", name="image 4").check()
    shown.page.get_by_label("Schedule").select_option("cosine")
    shown.page.get_by_label("Noise ε").select_option("2")
    shown.settle()
    expected = make("ForwardPlayer", image=3, schedule="cosine", seed=2).xt().numpy()[0, 0]
    assert np.abs(shown.pixels(main_picture(shown)) - grey(expected)).max() <= 1


def test_explorer_variances_push_each_other_and_rest_where_unused(show):
    shown = show(make("ScheduleExplorer"))
    shown.set(beta_1=0.05)
    assert shown.get("beta_T") == 0.05
    shown.page.get_by_role("slider", name="βT").focus()
    shown.page.keyboard.press("Home")
    shown.settle()
    assert shown.get("beta_1") == shown.get("beta_T") == 1e-4
    shown.page.get_by_label("Family").select_option("cosine")
    shown.settle()
    assert shown.page.get_by_role("slider", name="βT").is_disabled()


def test_new_particles_and_point_start(show):
    shown = show(make("ChainVsKernel"))
    shown.page.get_by_role("button", name="New particles").click()
    shown.page.get_by_label("Start from").select_option("point")
    shown.settle()
    chain = make("ChainVsKernel", seed=2, start="point")
    np.testing.assert_allclose(shown.numbers()["particles"], chain.particles(), rtol=1e-6)


@pytest.mark.parametrize("name", ["ForwardPlayer", "ChainVsKernel"])
def test_play_plays_and_pauses(show, name):
    shown = show(make(name))
    before = shown.get("t")
    button = shown.page.get_by_role("button", name="Play")
    button.click()
    shown.page.wait_for_timeout(400)
    shown.page.get_by_role("button", name="Pause").click()
    shown.settle()
    reached = shown.get("t")
    assert reached > before
    shown.page.wait_for_timeout(200)
    assert shown.get("t") == reached


def test_reduced_motion_steps_instead_of_playing(show):
    shown = show(make("ForwardPlayer"), reduced_motion="reduce")
    shown.page.get_by_role("button", name="Step").click()
    shown.page.wait_for_timeout(200)
    assert shown.get("t") == 350


LIVE = """async ([esm, state]) => {
  const heard = [];
  const saved = [];
  const model = {
    get: (key) => state[key],
    set(key, value) {
      state[key] = value;
      heard.filter(([event]) => event === 'change:' + key).forEach(([, call]) => call());
    },
    on: (event, call) => heard.push([event, call]),
    off: (event, call) => heard.splice(heard.findIndex(([e, f]) => e === event && f === call), 1),
    save_changes: () => saved.push({ ...state }),
  };
  const url = URL.createObjectURL(new Blob([esm], { type: 'text/javascript' }));
  const el = document.body.appendChild(document.createElement('div'));
  const stop = (await import(url)).default.render({ model, el });
  const slider = el.querySelector('input[type=range]');
  slider.value = Number(slider.value) + 20;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  const at_once = saved.length;
  await new Promise((done) => setTimeout(done, 300));
  const during = [heard.length, at_once, el.querySelectorAll('canvas').length];
  stop();
  return { during, after: [heard.length, el.childElementCount], saved: saved.at(-1) };
}"""


@pytest.mark.parametrize("name", NAMES)
def test_module_in_a_live_front_end_saves_its_state_and_leaves_nothing(chromium, name):
    widget = make(name)
    page = chromium.new_page()
    try:
        result = page.evaluate(LIVE, [str(widget._esm), widget.state()])
    finally:
        page.close()
    listeners, saves, canvases = result["during"]
    assert listeners > 0
    assert saves > 0  # at once: later, the kernel's echo of an older value would come in between
    assert canvases > 0
    assert result["after"] == [0, 0]
    key = {"ScheduleExplorer": "T"}.get(name, "t")
    assert result["saved"][key] == getattr(widget, key) + 20


def test_arrow_keys_are_kept_from_jupyterlabs_shortcuts_and_others_are_not(show):
    shown = show(make("ForwardPlayer"))
    slider = shown.page.get_by_role("slider", name="t", exact=True)
    slider.focus()
    for key, kept in (("ArrowRight", ""), ("Control+s", None), ("ArrowUp", ""), ("Escape", None)):
        shown.page.keyboard.press(key)
        assert slider.get_attribute("data-lm-suppress-shortcuts") == kept, key


# What JupyterLab 4.6 says of lists in outputs.
LAB = """.jp-OutputArea-output :is(dl, dt, dd) { display: block }
.jp-OutputArea-output dl { width: 100%; overflow: hidden; padding: 0; margin: 0 }
.jp-OutputArea-output dt { float: left; width: 20%; padding: 0; margin: 0 }
.jp-OutputArea-output dd { float: left; width: 80%; padding: 0; margin: 0 }"""


def test_numbers_have_room_under_jupyterlabs_style(show):
    shown = show(make("ForwardPlayer"))
    shown.page.add_style_tag(content=LAB)
    shown.page.evaluate("document.body.classList.add('jp-OutputArea-output')")
    shown.settle()
    facts = shown.page.locator(".dmw-facts")
    assert facts.evaluate("e => getComputedStyle(e).display") == "grid"
    widths = facts.locator("dt, dd").evaluate_all(
        "es => es.map(e => e.scrollWidth - e.clientWidth)"
    )
    assert len(widths) >= 4
    assert max(widths) <= 1


# --- predict first -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "verdict"), [("it falls", "Right."), ("it grows", "Not quite.")]
)
def test_prediction_comes_before_the_figure(show, option, verdict):
    shown = show(ForwardPlayer(stand_in_images(), predict=QUESTION))
    figure = shown.page.get_by_role("slider", name="t", exact=True)
    assert not figure.is_visible()
    see = shown.page.get_by_role("button", name="Find out")
    assert see.is_disabled()
    shown.page.get_by_role("radio", name=option).check()
    see.click()
    shown.settle()
    assert figure.is_visible()
    status = shown.page.locator(".dmw-ask [role=status]")
    assert "Now find out" in status.inner_text()
    assert "Each step multiplies" not in status.inner_text()  # first the reader looks
    figure.focus()
    shown.page.keyboard.press("ArrowRight")
    assert status.inner_text().startswith(verdict)
    assert "Each step multiplies" in status.inner_text()
    assert shown.get("predicted") == ["it grows", "it falls"].index(option)
    assert shown.pixels(main_picture(shown)).std() > 10


def test_a_guess_stays_beside_the_figure_and_is_not_asked_again(show):
    shown = show(ForwardPlayer(stand_in_images(), predict=QUESTION))
    shown.page.get_by_role("radio", name="it grows").check()
    shown.page.get_by_role("button", name="Find out").click()
    shown.page.reload()
    shown.settle()
    assert shown.page.get_by_role("slider", name="t", exact=True).is_visible()
    assert shown.page.get_by_role("button", name="Find out").count() == 0
    assert shown.page.locator("label[data-guess]").inner_text().startswith("it grows")
    assert "Each step multiplies" in shown.page.locator(".dmw-ask [role=status]").inner_text()


def test_prediction_can_be_skipped(show):
    shown = show(ForwardPlayer(stand_in_images(), predict=QUESTION))
    shown.page.get_by_role("button", name="Just show me").click()
    assert shown.page.get_by_role("slider", name="t", exact=True).is_visible()
    assert shown.get("predicted") == -2


@pytest.mark.parametrize("names", [("ForwardPlayer", "ScheduleExplorer"),
                                   ("ScheduleExplorer", "ForwardPlayer")])  # fmt: skip
def test_a_second_widget_leaves_the_first_one_its_height(show, names):
    """Each brings the shared style; a later copy must not undo an earlier widget's own."""
    height = "Array.from(document.querySelectorAll('.dmw'), node => node.offsetHeight)"
    alone = [show(make(name)).page.evaluate(height)[0] for name in names]
    shown = show(*(make(name) for name in names))
    assert shown.page.evaluate(height) == alone
    assert shown.page.locator("style[data-dmw]").count() == 3  # the shared one, and one each


def test_the_address_opens_a_figure_at_a_state(show):
    shown = show(make("ForwardPlayer"), make("ForwardPlayer"))
    page, go = shown.page, "hash => { location.hash = hash; }"
    page.evaluate(go, "#fig-forward-player-2?t=400&schedule=cosine&image=3")
    page.wait_for_function("() => document.querySelectorAll('.dmw')[1].dmw.model.get('t') === 400")
    assert (shown.get("schedule", 1), shown.get("image", 1)) == ("cosine", 3)
    assert (shown.get("t", 0), shown.get("schedule", 0)) == (250, "linear")
    # What no control could set is ignored.
    page.evaluate(go, "#fig-forward-player?t=4000&schedule=none&image=1.5&seed=x&noise=1")
    shown.settle()
    assert [shown.get(name) for name in ("t", "schedule", "image", "seed")] == [250, "linear", 0, 1]
    page.get_by_role("button", name="Reset").last.click()
    assert (shown.get("t", 1), shown.get("schedule", 1)) == (250, "linear")
    shown.set(1, t=33)
    page.get_by_role("button", name="Copy link").last.click()
    assert "#fig-forward-player-2?t=33&schedule=linear&image=0&seed=1" in page.url


ANNOUNCED = """() => {
  window.heard = [];
  const region = 'output, [role=status], [aria-live]:not([aria-live=off])';
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const node = (target.nodeType === 1 ? target : target.parentElement)?.closest(region);
      if (node) window.heard.push(node.textContent);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_a_drag_is_announced_once_when_it_rests(show):
    shown = show(make("ScheduleExplorer"))
    shown.page.evaluate(ANNOUNCED)
    for t in range(100, 1000, 30):
        shown.set(0, T=t)
    shown.page.wait_for_timeout(1500)
    heard = shown.page.evaluate("window.heard")
    assert len(heard) <= 1
    slider = shown.page.get_by_role("slider", name="T", exact=True)
    assert slider.get_attribute("aria-valuetext") == "970"  # the name is not said twice


# --- for everybody -------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(show, theme, width):
    widgets = [make(name) for name in NAMES]
    ask = ForwardPlayer(stand_in_images(), predict=QUESTION)
    told = ForwardPlayer(stand_in_images(), predict=QUESTION)
    shown = show(*widgets, ask, told, theme=theme, viewport={"width": width, "height": 900})
    last = shown.page.locator(".dmw").last
    last.get_by_role("radio", name="it grows").check()
    last.get_by_role("button", name="Find out").click()
    last.get_by_role("button", name="Tell me").click()
    shown.page.locator(".dmw").nth(1).scroll_into_view_if_needed()
    shown.set(1, T=50)  # the warning's colours
    shown.settle()
    assert shown.page.locator("[data-warn]").count() == 1
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", NAMES)
def test_no_horizontal_scroll_at_390(show, name):
    shown = show(make(name), viewport={"width": 390, "height": 844}, device_scale_factor=3)
    any_widget.fits_the_width(shown, 390)


def test_dark_follows_the_theme_button_then_the_system(show):
    shown = show(make("ForwardPlayer"), color_scheme="dark")
    root = shown.page.locator(".dmw")
    curve = shown.page.locator(".dmw-plot canvas").first
    assert root.get_attribute("data-dark") is None  # the page says light, the system dark
    light = shown.pixels(curve)
    shown.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    shown.settle()
    assert root.get_attribute("data-dark") is not None
    assert (shown.pixels(curve) != light).any()
    shown.page.evaluate("document.documentElement.removeAttribute('data-theme')")
    shown.page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    shown.settle()
    assert root.get_attribute("data-dark") is None
    shown.page.evaluate("delete document.body.dataset.jpThemeLight")
    shown.settle()
    assert root.get_attribute("data-dark") is not None


def test_canvas_is_sharp_on_a_dense_screen(show):
    shown = show(make("ForwardPlayer"), device_scale_factor=2)
    plot = shown.page.locator(".dmw-plot canvas").first
    wide = plot.evaluate("c => [c.width, c.clientWidth]")
    assert wide[0] == 2 * wide[1]


def test_several_on_one_page_do_not_disturb_each_other(show):
    widgets = [make(name) for name in NAMES] + [make("ForwardPlayer", t=900)]
    shown = show(*widgets)
    assert shown.page.locator(".dmw").count() == 4
    shown.set(0, t=10)
    assert (shown.get("t", 0), shown.get("t", 3)) == (10, 900)
    names = shown.page.evaluate(
        "Array.from(document.querySelectorAll('input[type=radio]'), e => e.name)"
    )
    assert len(set(names)) == 3  # the two players' and the explorer's thumbnails


@pytest.mark.parametrize("name", NAMES)
def test_without_javascript_the_picture_stands_there(show, name):
    widget = make(name)
    any_widget.stands_without_javascript(show(widget, java_script_enabled=False), widget)


# --- speed ---------------------------------------------------------------------------------


@pytest.mark.times
@pytest.mark.parametrize("name", NAMES)
def test_a_frame_is_drawn_in_time(show, name):
    widget = make(name)
    any_widget.draws_in_time(show(widget), name, widget)
