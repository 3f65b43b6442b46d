"""What every widget must do, whatever it shows; each function fails where it does not."""

import json
from pathlib import Path

import numpy as np

REPORT = Path(__file__).resolve().parents[2] / "reports" / "widgets.json"
KEYS = ("ArrowLeft", "PageDown", "Home", "End")


def slider_moves_the_picture(shown, key, label, *, drag, keys=KEYS, plot=0):
    """State, picture and its sentence follow the mouse (between shares of the track) and keys."""
    slider = shown.page.get_by_role("slider", name=label, exact=True)
    canvas = shown.page.locator(".dmw-body canvas[role=img]").nth(plot)
    seen = [(shown.get(key), shown.pixels(canvas), canvas.get_attribute("aria-label"))]

    def look():
        shown.settle()
        seen.append((shown.get(key), shown.pixels(canvas), canvas.get_attribute("aria-label")))
        assert seen[-1][0] != seen[-2][0]
        assert seen[-1][2] != seen[-2][2]
        assert (seen[-1][1] != seen[-2][1]).any()

    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    start, end = (box["x"] + box["width"] * share for share in drag)
    shown.page.mouse.move(start, middle)
    shown.page.mouse.down()
    shown.page.mouse.move(end, middle, steps=5)
    shown.page.mouse.up()
    look()
    slider.focus()
    for press in keys:
        shown.page.keyboard.press(press)
        look()


def slider_moves_by_touch(shown, key, label, *, to):
    """A tap at a share of the track changes the state."""
    slider = shown.page.get_by_role("slider", name=label, exact=True)
    before = shown.get(key)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    slider.tap(position={"x": box["width"] * to, "y": box["height"] / 2})
    assert shown.get(key) != before


def fits_the_width(shown, width):
    """No sideways scroll, and nothing of the widget sticks out of it."""
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    inner = shown.page.locator(".dmw").bounding_box()
    edges = shown.page.evaluate(
        "Array.from(document.querySelectorAll('.dmw *'), e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= inner["x"] + inner["width"]


def stands_without_javascript(shown, widget):
    """With scripts off Chromium parses noscript as elements: the picture, with its sentence."""
    picture = shown.page.locator("noscript img")
    assert picture.is_visible()
    assert picture.get_attribute("alt") == widget._sentence()
    assert picture.bounding_box()["width"] > 300


DRAG = """async (index) => {
  const { times } = document.querySelector('.dmw').dmw;
  const input = Array.from(document.querySelectorAll('input[type=range]'))[index];
  const frames = [];
  const [low, high, step] = ['min', 'max', 'step'].map((name) => Number(input[name]));
  times.length = 0;
  let last = performance.now();
  for (let i = 0; i < 60; i++) {
    input.value = low + Math.round((high - low) / step * i / 59) * step;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(requestAnimationFrame);
    await new Promise((done) => setTimeout(done));
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return { draw: times.slice(), frame: frames.slice(5) };
}"""


def draws_in_time(shown, name, widget, *, slider=0):
    """The work of one frame while a slider is dragged; the figures go into reports/widgets.json."""
    session = shown.context.new_cdp_session(shown.page)
    result = {"data_kB": round(len(json.dumps(widget._data)) / 1000, 1)}
    for rate in (1, 4):
        session.send("Emulation.setCPUThrottlingRate", {"rate": rate})
        timed = shown.page.evaluate(DRAG, slider)
        for kind, values in timed.items():
            result[f"{kind}_ms_cpu_over_{rate}"] = {
                "median": round(float(np.median(values)), 2),
                "p95": round(float(np.percentile(values, 95)), 2),
                "n": len(values),
            }
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    REPORT.parent.mkdir(exist_ok=True)
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    report[name] = result
    REPORT.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    # 60 frames a second, on the machine as it is.
    assert result["draw_ms_cpu_over_1"]["median"] < 1000 / 60
