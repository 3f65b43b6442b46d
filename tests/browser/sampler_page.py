"""Pages with the sampler as a built book has them, and a reader who uses it."""

import contextlib
import functools
import http.server
import json
import re
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

import export_onnx  # noqa: E402

REPORT = ROOT / "reports" / "sampler.json"
MODEL = ROOT / "_build" / "model"  # as the build exported it
NUMBERS = "document.querySelector('.dmw').dmw.numbers()"


def record(**figures):
    """Keep figures for the report."""
    REPORT.parent.mkdir(exist_ok=True)
    kept = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    REPORT.write_text(json.dumps(kept | figures, indent=1, sort_keys=True) + "\n")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves without a log line a request."""

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def serve(folder, pages):
    """Address of the pages {name: html}, with the book's static files beside them."""
    (folder / "_static").mkdir()
    (folder / "_static" / "ort").symlink_to(ROOT / "book" / "_static" / "ort")
    export_onnx.write(MODEL)
    (folder / "_static" / "model").symlink_to(MODEL)
    for name, page in pages.items():
        page = page.replace("<html ", '<html data-content_root="./" ', 1).replace(
            "<title>", '<link rel="icon" href="data:,"><title>'
        )
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Reader:
    """A reader at the figure; everything outside loopback is blocked and noted."""

    def __init__(self, chromium, url, *, before="", missing="", instead=None, **context):
        self.context = chromium.new_context(
            viewport=context.pop("viewport", {"width": 1000, "height": 900}), **context
        )
        self.page = self.context.new_page()
        self.foreign, self.errors, self.asked = [], [], []
        self.missing, self.instead = missing, instead or {}
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.page.route("**/*", self._route)
        if before:
            self.page.add_init_script(before)
        self.page.goto(url)
        self.wait("!['waiting', 'looking'].includes(state)")

    def _route(self, route):
        url = route.request.url
        name = url.rsplit("/", 1)[-1]
        self.asked.append(name)
        if name in self.instead:
            route.fulfill(body=self.instead[name])
        elif self.missing and self.missing in url:
            route.fulfill(status=404, body="")
        elif url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:")):
            route.continue_()
        else:
            self.foreign.append(url)
            route.abort()

    def wait(self, condition, timeout=120_000):
        """Until a condition on `state`, `moments`, `kind`, … of the figure's numbers holds."""
        self.page.wait_for_function(
            f"() => {{ const {{ state, moments, kind, t }} = {NUMBERS}; return {condition}; }}",
            timeout=timeout,
            polling=100,
        )

    def numbers(self):
        return self.page.evaluate(NUMBERS)

    def set(self, **state):
        """Set states as a control would."""
        self.page.evaluate(
            "(s) => { const { model } = document.querySelector('.dmw').dmw;"
            " for (const [k, v] of Object.entries(s)) model.set(k, v); }",
            state,
        )
        self.page.evaluate(
            "() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))"
        )

    def press(self, name):
        self.page.get_by_role("button", name=re.compile(f"^\\W*{name}")).click()

    def generate(self, *, timeout=120_000, **state):
        """Press Generate, wait until it is done, and return what is shown."""
        self.set(**state)
        self.press("Generate")
        self.wait("state === 'running'", timeout)
        self.wait("state === 'ready'", timeout)
        assert "Done" in self.status(), self.status()
        return self.numbers()

    def status(self):
        return self.page.locator(".sm-engine [role=status]").inner_text()

    def workers(self, expected=0):
        """How many workers run, once the browser has noticed."""
        for _ in range(50):
            if len(self.page.workers) == expected:
                break
            self.page.wait_for_timeout(50)
        return len(self.page.workers)
