"""Every page as it is read: on a phone and on a screen, light and dark, on paper, and shared."""

import re
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
sys.path.insert(0, str(ROOT / "tools" / "build"))

from project import toc_pages  # noqa: E402

pytestmark = pytest.mark.browser
PAGES = toc_pages()

# What is wider than its box, and what of that says so: a fade at the side that goes on, and a way
# to reach it by keys. Formulas never scroll: they break, or shrink a little.
CUT = """() => {
  const wrong = [];
  const says = (node) => node.tabIndex === 0 &&
    (node.classList.contains('more-right') || node.classList.contains('more-left')) &&
    (getComputedStyle(node).maskImage !== 'none' ||
      getComputedStyle(node, '::before').content.includes('swipe'));
  const right = document.documentElement.clientWidth + 1;
  const kinds = '.m-block, .bd-article pre, .bd-article table, .bd-article figure, ' +
    '.bd-article picture img, .bd-article .dmw';
  for (const node of document.querySelectorAll(kinds)) {
    if (!node.checkVisibility()) continue;
    const box = node.getBoundingClientRect();
    if (box.width === 0) continue;
    let cut = node.scrollWidth > node.clientWidth + 3 || box.right > right;
    for (let up = node; cut && up && up.tagName !== 'ARTICLE'; up = up.parentElement)
      if (says(up)) cut = false;
    if (cut) wrong.push(`${node.tagName}.${node.className} ${Math.round(box.width)} ` +
      `${node.scrollWidth}>${node.clientWidth} ${node.textContent.trim().slice(0, 40)}`);
  }
  return wrong;
}"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_without_a_sign(book, visit, name, width):
    page = visit(f"{book}/{name}.html", width=width).page
    assert page.evaluate(CUT) == []


SCALES = """() => Array.from(document.querySelectorAll('svg.m'), (svg) => {
  const ex = parseFloat(svg.getAttribute('width'));
  const full = document.createElement('span');
  full.style.cssText = `display:inline-block;width:${ex}ex`;
  svg.parentNode.append(full);
  const scale = svg.getBoundingClientRect().width / full.getBoundingClientRect().width;
  full.remove();
  return scale;
}).filter((scale) => scale > 0)"""


@pytest.mark.parametrize(("width", "least"), [(390, 0.7), (1280, 0.99)])
@pytest.mark.parametrize("name", PAGES)
def test_formulas_keep_letters_that_can_be_read(book, visit, name, width, least):
    page = visit(f"{book}/{name}.html", width=width).page
    scales = page.evaluate(SCALES)
    assert min(scales, default=1) > least


CLIPPED = """() => [...document.querySelectorAll('.bd-article pre')]
  .filter((n) => n.checkVisibility() && n.scrollWidth > n.clientWidth + 1).map((n) => n.innerText)
"""


def test_code_and_what_it_prints_fit_the_column_at_1280(book, visit):
    found = {name: visit(f"{book}/{name}.html").page.evaluate(CLIPPED) for name in PAGES}
    assert {name: texts for name, texts in found.items() if texts} == {}


SHIFT = """() => new Promise((done) => {
  let total = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) total += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => done(total), 1500);
})"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_moves_while_a_page_loads(book, visit, name, width):
    assert visit(f"{book}/{name}.html", width=width).page.evaluate(SHIFT) <= 0.02


@pytest.mark.parametrize("name", [page for page in PAGES if re.search(r"/0\d_", page)])
def test_nothing_moves_under_a_deep_link(book, visit, name):
    labels = re.findall(r'id="(equation-[\w-]+|ex-[\w-]+)"', (HTML / f"{name}.html").read_text())
    for label in [*labels[:1], *labels[-1:]]:
        page = visit(f"{book}/{name}.html#{label}", width=390).page
        assert page.evaluate(SHIFT) <= 0.02
        top = page.locator(f"[id='{label}']").evaluate("n => n.getBoundingClientRect().top")
        assert -5 <= top <= 400


@pytest.mark.parametrize("name", PAGES)
def test_mathematics_is_there_without_javascript(book, chromium, name):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{book}/{name}.html")
    shown = page.locator(".math svg.m").evaluate_all(
        "all => all.filter(n => n.checkVisibility()).map(n => n.clientWidth)"
    )
    named = page.locator("[role=math]").evaluate_all("all => all.map(n => n.ariaLabel)")
    count = page.locator(".math").count()
    context.close()
    assert len(named) == count
    assert all(named)
    assert not any("\\" in words for words in named)
    assert all(width > 0 for width in shown)


@pytest.mark.parametrize("name", PAGES)
def test_every_glyph_of_a_page_is_drawn_on_it(name):
    soup = BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser")
    there = {path["id"] for path in soup.select("svg.m-glyphs path")}
    asked = {use["href"].removeprefix("#") for use in soup.select("svg.m use")}
    assert asked <= there
    assert there <= asked | {""}


def test_a_copied_formula_is_tex(book, visit):
    page = visit(f"{book}/book/01_forward_process.html").page
    text = page.evaluate("""() => {
      const node = document.querySelector('#equation-eq-q-step');
      const range = document.createRange();
      range.selectNode(node);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      const clipboardData = new DataTransfer();
      document.dispatchEvent(new ClipboardEvent('copy', { clipboardData }));
      return clipboardData.getData('text/plain');
    }""")
    assert text.strip().startswith("$$q(x_t \\mid x_{t-1}) = \\mathcal{N}")


# --- figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_follows_the_theme(book, visit, scheme):
    page = visit(f"{book}/book/01_forward_process.html", scheme=scheme).page
    shown = page.locator(f"picture.in-{scheme} img.plot")
    assert shown.first.is_visible()
    other = {"light": "dark", "dark": "light"}[scheme]
    assert not page.locator(f"picture.in-{other} img.plot").first.is_visible()
    source = HTML / "_images" / Path(shown.first.get_attribute("src")).name
    white = re.findall(r"fill: #ffffff", source.read_text())
    assert len(white) == 0  # no slab


def test_a_phone_gets_its_own_figures(book, visit):
    page = visit(f"{book}/book/01_forward_process.html", width=390).page
    first = page.locator("picture.in-light img.plot").first
    first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert "-narrow" in first.evaluate("node => node.currentSrc")
    own = page.locator("picture.in-light source[media]").count()
    assert own >= 0.5 * page.locator("picture.in-light").count()


# --- shared and found -------------------------------------------------------------------------


def test_every_page_says_what_it_is():
    seen = set()
    for name in PAGES:
        soup = BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser")
        title = soup.title.get_text()
        first, _, rest = title.partition(" — ")
        assert first != rest
        one = {tag.get("name") or tag.get("property"): tag.get("content") for tag in soup("meta")}
        text = one["description"]
        assert 50 < len(text) <= 160
        assert "\\" not in text
        assert "$" not in text
        assert text not in seen
        seen.add(text)
        assert one["og:title"]
        assert one["og:description"] == text
        assert one["author"]
        card = HTML / "_static" / "cards" / one["og:image"].rpartition("/")[2]
        assert card.stat().st_size < 200_000


def test_an_excerpt_of_the_search_has_no_tex(book, visit):
    page = visit(f"{book}/search.html?q=posterior").page
    page.wait_for_selector("#search-results li p.context", timeout=20000)
    page.wait_for_timeout(1000)
    texts = page.locator("#search-results li p.context").all_inner_texts()
    assert texts
    assert not [text for text in texts if re.search(r"\\[a-z]+|\$", text)]


def test_on_paper_everything_is_open(book, visit):
    page = visit(f"{book}/book/03_reverse_process.html").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".dmw-body[hidden]").count() == 0
    clipped = "() => [...document.querySelectorAll('.bd-article pre')].filter(n => n.scrollWidth > n.clientWidth + 1).length"  # noqa: E501
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate(clipped) == 0
