"""A minimal page around widgets, a browser that reaches nothing, and handles on what is shown."""

import base64

import numpy as np

from dmlib.book.widgets import ChainVsKernel, ForwardPlayer, ScheduleExplorer

_PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Widgets</title>
<style>body {{ margin: 0; padding: 8px; font-family: system-ui, sans-serif;
background: {background}; color: {ink}; }}</style></head>
<body><main><h1>Widgets</h1>{body}</main></body></html>"""


def stand_in_images(n=8, side=28):
    """Shaded discs, (n, side, side) uint8: every pixel value and every grey occurs."""
    y, x = np.mgrid[:side, :side]
    disc = np.hypot(y - side / 2, x - side / 2)
    return np.stack([(disc < 4 + i) * (9 * x) for i in range(n)]).astype(np.uint8)


def make(name, **state):
    """One of the first three widgets, on stand-in images."""
    if name == "ChainVsKernel":
        widget = ChainVsKernel()
    else:
        widget = {"ForwardPlayer": ForwardPlayer, "ScheduleExplorer": ScheduleExplorer}[name](
            stand_in_images()
        )
    for key, value in state.items():
        setattr(widget, key, value)
    return widget


def page_html(*pieces, theme="light"):
    """A whole page around the widgets' own text/html."""
    background, ink = ("#121821", "#e9eef5") if theme == "dark" else ("#ffffff", "#16202e")
    return _PAGE.format(theme=theme, background=background, ink=ink, body="\n".join(pieces))


class Shown:
    """Widgets on a page with the network blocked, what went wrong, and what is on show."""

    def __init__(self, browser, tmp_path, *widgets, theme="light", **context):
        path = tmp_path / "page.html"
        path.write_text(page_html(*(w.to_html() for w in widgets), theme=theme), encoding="utf-8")
        self.url = path.as_uri()
        options = {"viewport": {"width": 1280, "height": 900}, **context}
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.route("**/*", self._route)
        self.page.goto(self.url)
        if context.get("java_script_enabled", True):
            self.settle()

    def _console(self, message):
        # The tests themselves read canvases often, and Chromium remarks on it.
        if message.type in ("error", "warning") and "willReadFrequently" not in message.text:
            self.errors.append(message.text)

    def _route(self, route):
        if route.request.url == self.url:
            route.continue_()
        else:
            self.requests.append(route.request.url)
            route.abort()

    def settle(self):
        """Wait until the pending frame is drawn."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def set(self, index=0, **state):
        """Set states of widget `index` through its model, as Python or a control would."""
        self.page.evaluate(
            "([i, state]) => { const m = document.querySelectorAll('.dmw')[i].dmw.model;"
            " for (const [k, v] of Object.entries(state)) m.set(k, v); }",
            [index, state],
        )
        self.settle()

    def get(self, key, index=0):
        """One state of widget `index`."""
        return self.page.evaluate(
            "([i, k]) => document.querySelectorAll('.dmw')[i].dmw.model.get(k)", [index, key]
        )

    def numbers(self, index=0):
        """The numbers that widget `index` shows."""
        return self.page.evaluate("i => document.querySelectorAll('.dmw')[i].dmw.numbers()", index)

    def times(self, index=0):
        """Milliseconds of each of the last draws."""
        return self.page.evaluate("i => document.querySelectorAll('.dmw')[i].dmw.times", index)

    def pixels(self, locator):
        """(H, W) red channel of a canvas, uint8."""
        width, height, packed = locator.evaluate(
            "c => { const rgba = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            " let text = '';"
            " for (let i = 0; i < rgba.length; i += 4) text += String.fromCharCode(rgba[i]);"
            " return [c.width, c.height, btoa(text)]; }"
        )
        red = np.frombuffer(base64.b64decode(packed), dtype=np.uint8)
        return red.reshape(height, width)

    def drawn(self):
        """Of each plot in order: the lines [xs, ys], bars and markers that are drawn in it."""
        return self.page.evaluate(
            "() => Array.from(document.querySelectorAll('.dmw-plot canvas'), ({ drawn }) => ({"
            " ...drawn, lines: drawn.lines.map(([x, y]) => [Array.from(x), Array.from(y)]) }))"
        )

    def close(self):
        """Nothing was asked from outside and nothing went wrong."""
        self.context.close()
        assert self.errors == []
        assert self.requests == []
