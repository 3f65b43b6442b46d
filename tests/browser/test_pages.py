"""Every page of the built book, as a reader's browser sees it with the network blocked."""

import gzip
import json
import os
import re
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
sys.path.insert(0, str(ROOT / "tools" / "build"))

from project import toc_pages  # noqa: E402

pytestmark = pytest.mark.browser
PAGES = [*toc_pages(), "search", "genindex", "_modules/dmlib/forward"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BUDGET = 1_500_000  # bytes, gzipped, everything a page loads by itself


WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def record(name, value):
    """Keep a figure for the report."""
    # A file for each test process, so that none reads what another is just writing.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "all")
    path = ROOT / "reports" / f"pages-{worker}.json"
    path.parent.mkdir(exist_ok=True)
    figures = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(figures | {name: value}, indent=1, sort_keys=True))


def soup(name):
    """A built page, parsed."""
    return BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser")


# Of inert words with the same classes all the way up (the tokens of the code) one of each stays,
# and of a formula its name: axe says the same, three times faster.
LIGHTEN = """() => {
  for (const formula of document.querySelectorAll("svg.m")) formula.replaceChildren();
  for (let left = true; left; ) {
    const seen = new Set();
    left = false;
    for (const node of document.querySelectorAll("article :is(span, em, strong, code, p)")) {
      const inert = [...node.attributes].every(({ name }) => name === "class");
      if (node.childElementCount || !inert) continue;
      let key = "";
      for (let at = node; at.tagName !== "ARTICLE"; at = at.parentElement)
        key += `${at.tagName}.${at.className} `;
      if (seen.has(key)) {
        node.replaceWith(node.textContent);
        left = true;
      }
      seen.add(key);
    }
  }
  document.body.normalize();
}"""


def findings(page):
    """What axe has to say, short."""
    page.evaluate(LIGHTEN)
    options = {"runOnly": WCAG, "resultTypes": ["violations"]}  # what passes costs a fifth more
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['target']} ({len(v['nodes'])})" for v in violations]


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_alone_typeset_and_without_errors(book, visit, name):
    seen = visit(f"{book}/{name}.html")
    assert seen.foreign == []
    assert seen.failed == []
    assert seen.errors == []
    # Maths: nothing is left as TeX.
    assert seen.page.locator(".math:not(:has(svg.m))").count() == 0
    text = seen.page.locator("article, .bd-content").first.inner_text()
    assert not re.search(r"\\\(|\\\[|\{(eq|cite|ref|numref|doc)[:}]", text)
    # The article's icons were not subset away.
    icons = "() => [...document.querySelectorAll('i[class*=fa-], span[class*=fa-]')].length"
    assert seen.page.evaluate(icons) == 0


@pytest.mark.parametrize("name", [page for page in toc_pages() if page != "book/library"])
def test_no_emphasis_is_left_as_asterisks(name):
    article = soup(name).find("article")
    for part in article.find_all(["pre", "code", "script", "style", "svg"]):
        part.decompose()
    assert list(article.find_all(string=re.compile(r"\w\*|\*\w"))) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(book, visit, name, scheme, width):
    seen = visit(f"{book}/{name}.html", scheme=scheme, width=width)
    assert findings(seen.page) == []


@pytest.mark.parametrize("kind", ["k", "mi", "c1"])
def test_axe_would_find_pale_letters(book, visit, kind):
    page = visit(f"{book}/book/01_forward_process.html").page
    page.add_style_tag(content=f"html .highlight .{kind} {{ color: #ddd !important }}")
    (found,) = findings(page)
    assert "color-contrast" in found


@pytest.mark.parametrize("name", PAGES)
def test_phone_width_never_scrolls_sideways(book, visit, name):
    seen = visit(f"{book}/{name}.html", width=390)
    width = seen.page.evaluate("() => document.scrollingElement.scrollWidth")
    assert width <= 390


def test_phone_shows_plots_with_letters_that_can_be_read(book, visit):
    page = visit(f"{book}/book/01_forward_process.html", width=390).page
    plots = page.locator(".cell_output picture.in-light img.plot")
    # Figures are drawn at 96 CSS pixels an inch with letters of 10.5 points.
    shown = """(node) => {
      const source = node.previousElementSibling;
      const own = node.currentSrc.includes('-narrow') ? source : node;
      return node.getBoundingClientRect().width / own.getAttribute('width');
    }"""
    for i in range(plots.count()):
        plots.nth(i).scroll_into_view_if_needed()
        plots.nth(i).evaluate("node => node.decode()")  # only now it is known which one is shown
        scale = plots.nth(i).evaluate(shown)
        wide = "wide" in plots.nth(i).get_attribute("class")
        assert 10.5 * 96 / 72 * scale > (9.5 if wide else 11)
    swiped = page.locator(".cell_output figure:has(picture.in-light img.wide)").first
    assert swiped.evaluate("node => node.tabIndex") == 0  # the arrow keys reach the rest of it
    caption = swiped.locator("figcaption").bounding_box()
    assert caption["x"] >= 0
    assert caption["x"] + caption["width"] <= 390


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


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_a_text(name):
    for image in soup(name).select("article img"):
        text = image.get("alt", "")
        assert len(text) > 15, image.get("src")
        assert "_build" not in text
        assert "_images" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_download_button_leads_to_the_notebook(path):  # the others: tests/tools/test_buttons.py
    links = [a.get("href", "") for a in soup(f"book/{path.stem}").select("a")]
    assert f"../notebooks/{path.name}" in links
    assert (HTML / "notebooks" / path.name).read_bytes() == path.read_bytes()
