"""A Chromium with the network blocked, and the built book on loopback."""

import functools
import http.server
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tools" / "build")]
from widget_harness import Shown  # noqa: E402

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves without a log line a request."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def launch():
    """launch(args) -> a browser; playwright allows one driver a process, so all share it."""
    from chromium import find
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browsers = []

        def start(args):
            browsers.append(playwright.chromium.launch(executable_path=find(), args=args))
            return browsers[-1]

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="session")
def chromium(launch):
    """A launched browser; the whole session shares it."""
    return launch(ARGS)


@pytest.fixture(scope="session")
def book():
    """Address of the built book on loopback."""
    if not (HTML / "index.html").exists():
        pytest.fail("the book is not built: run `make book` first")
    handler = functools.partial(Quiet, directory=str(HTML))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


class Visit:
    """One page opened with every request outside loopback blocked, and what went wrong on it."""

    def __init__(self, context, url):
        self.page = context.new_page()
        self.foreign, self.failed, self.errors, self.bytes = [], [], [], 0
        self.page.on("requestfailed", lambda r: self.failed.append(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("response", lambda r: r.status >= 400 and self.failed.append(r.url))
        self.page.on("console", self._console)
        self.page.route("**/*", self._route)
        self.page.goto(url)
        self.page.wait_for_timeout(300)  # the widgets near the window are drawn

    def _console(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def _route(self, route):
        if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()


@pytest.fixture
def visit(chromium):
    """Open a page: visit(url, width=1280, scheme="light") -> Visit."""
    contexts = []

    def open_page(url, *, width=1280, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            has_touch=width < 600,
            reduced_motion="reduce",
        )
        contexts.append(context)
        return Visit(context, url)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def show(chromium, tmp_path):
    """show(*widgets, theme=…, **context options) -> Shown; checks at the end that all was quiet."""
    pages = []

    def open_page(*widgets, **options):
        pages.append(Shown(chromium, tmp_path, *widgets, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
