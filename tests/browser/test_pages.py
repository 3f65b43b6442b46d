"""Every page of the built book, as a reader's browser sees it with the network blocked."""

import gzip
import json
import re
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
sys.path.insert(0, str(ROOT / "tools"))

from project import toc_pages  # noqa: E402

pytestmark = pytest.mark.browser
PAGES = [*toc_pages(), "search", "genindex"]
BUDGET = 1_500_000  # bytes, gzipped, everything a page loads by itself


def record(name, value):
    """Keep a figure for the report."""
    path = ROOT / "reports" / "pages.json"
    path.parent.mkdir(exist_ok=True)
    figures = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(figures | {name: value}, indent=1, sort_keys=True))


def findings(page):
    """What axe has to say, short."""
    violations = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['target']} ({len(v['nodes'])})" for v in violations]


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_alone_typeset_and_without_errors(book, visit, name):
    seen = visit(f"{book}/{name}.html")
    assert seen.foreign == []
    assert seen.failed == []
    assert seen.errors == []
    # Maths: nothing is left as TeX, nothing failed to parse.
    assert seen.page.locator("mjx-merror").count() == 0
    raw = seen.page.locator(".math:not(:has(mjx-container))")
    assert [text for text in raw.all_inner_texts() if text.strip()] == []
    text = seen.page.locator("article, .bd-content").first.inner_text()
    assert not re.search(r"\\\(|\\\[|\{(eq|cite|ref|numref|doc)[:}]", text)
    # The article's icons were not subset away.
    icons = "() => [...document.querySelectorAll('i[class*=fa-], span[class*=fa-]')].length"
    assert seen.page.evaluate(icons) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(book, visit, name, scheme):
    seen = visit(f"{book}/{name}.html", scheme=scheme)
    assert findings(seen.page) == []


@pytest.mark.parametrize("name", PAGES)
def test_phone_width_never_scrolls_sideways(book, visit, name):
    seen = visit(f"{book}/{name}.html", width=390)
    width = seen.page.evaluate("() => document.scrollingElement.scrollWidth")
    assert width <= 390


@pytest.mark.parametrize("name", PAGES)
def test_page_weight_stays_in_the_budget(book, chromium, name):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sizes = {}

    def weigh(response):
        if response.url.startswith(book):
            body = response.body()
            packed = response.url.endswith((".woff2", ".woff", ".png"))
            sizes[response.url] = len(body) if packed else len(gzip.compress(body, 6))

    page.on("response", weigh)
    page.goto(f"{book}/{name}.html")
    page.wait_for_load_state("networkidle")
    context.close()
    total = sum(sizes.values())
    record(f"{name}: bytes gzipped", total)
    assert 0 < total < BUDGET, sorted(sizes.items(), key=lambda item: -item[1])[:5]


def test_every_link_inside_the_book_leads_somewhere():
    for page in HTML.rglob("*.html"):
        if "_static" in page.parts:
            continue
        text = page.read_text("utf-8")
        for target in re.findall(r'(?:href|src)="([^"#?:]+)(?:[#?][^"]*)?"', text):
            assert (page.parent / target).exists(), f"{page.relative_to(HTML)}: {target}"


def test_every_picture_has_a_text(book, visit):
    for name in PAGES:
        seen = visit(f"{book}/{name}.html")
        for image in seen.page.locator("article img").all():
            text = image.get_attribute("alt") or ""
            assert len(text) > 15, (name, image.get_attribute("src"))
            assert "_build" not in text


def test_launch_and_download_buttons_lead_to_the_notebook(book, visit):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        seen = visit(f"{book}/book/{path.stem}.html")
        links = [a.get_attribute("href") for a in seen.page.locator("a").all()]
        assert any(f"/blob/main/notebooks/{path.name}" in (link or "") for link in links)
        assert (HTML / "notebooks" / path.name).read_bytes() == path.read_bytes()
