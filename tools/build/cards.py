"""What a page says of itself where it is shared: description, title and a picture."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import matplotlib
from docutils import nodes
from PIL import Image, ImageDraw, ImageFont
from project import ROOT, book_url

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
WIDTH, HEIGHT = 1200, 630
LENGTH = 155  # letters of a description that search engines show
GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "epsilon": "ε", "varepsilon": "ε", "eta": "η",
    "theta": "θ", "lambda": "λ", "mu": "μ", "sigma": "σ", "nabla": "∇", "le": "≤", "ge": "≥",
    "to": "→", "sim": "~", "approx": "≈", "times": "×", "cdot": "·", "mid": " | ", "dots": "…",
    "sqrt": "√", "infty": "∞", "pm": "±", "propto": "∝", "in": "∈", "ldots": "…", "Sigma": "Σ",
}  # fmt: skip


def plain_tex(tex: str) -> str:
    """TeX as a line of text, for descriptions and excerpts."""
    text = re.sub(r"\\(?:bar|hat|tilde|mathbb|mathbf|mathcal|mathrm|text|operatorname)\b", "", tex)
    text = re.sub(r"\\([A-Za-z]+)", lambda m: GREEK.get(m[1], ""), text)
    text = re.sub(r"\\.|[{}&]", "", text)
    return " ".join(text.split())


def description_of(doctree: nodes.document | None, fallback: str) -> str:
    """The first paragraph of a page that says something, cut where a sentence or a word ends."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        text = " ".join(_text(paragraph).split())
        if len(text) > 60:
            break
    else:
        text = fallback
    if len(text) <= LENGTH:
        return text
    cut = text[:LENGTH].rpartition(". ")[0]
    return f"{cut}." if len(cut) > 70 else text[: LENGTH - 1].rpartition(" ")[0] + " …"


def _text(node: nodes.Node) -> str:
    """Text of a node, its formulas without TeX."""
    if isinstance(node, nodes.math):
        return plain_tex(node.astext())
    if isinstance(node, nodes.Text):
        return node.astext()
    return "".join(_text(child) for child in node.children)


def tags(app, pagename: str, title: str, doctree: nodes.document | None) -> str:
    """The page's `meta` elements."""
    book = app.config.project
    title = title if title and title != book else book
    description = description_of(doctree, f"{book}: an interactive book.")
    values = {
        "og:title": title, "og:description": description, "og:site_name": book,
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:url": f"{book_url()}/{pagename}.html",
        "og:image": f"{book_url()}/_static/cards/{card_name(pagename, doctree)}.png",
        "og:image:alt": f"{title}: pure noise on the left, garments on the right",
    }  # fmt: skip
    named = {
        "description": description, "author": app.config.author,
        "twitter:card": "summary_large_image",
    }  # fmt: skip
    lines = [f'<meta name="{key}" content="{escape(value)}">' for key, value in named.items()]
    lines += [f'<meta property="{key}" content="{escape(value)}">' for key, value in values.items()]
    return "\n    ".join(lines)


def card_name(pagename: str, doctree: nodes.document | None) -> str:
    """Name of a page's picture; pages without a text of their own share the book's."""
    return pagename.rpartition("/")[2] if doctree else "index"


def draw_card(path: Path, title: str, book: str) -> None:
    """A picture of 1200 by 630: the book's cover above, the title below."""
    card = Image.new("RGB", (WIDTH, HEIGHT), "#ffffff")
    cover = Image.open(ROOT / "book" / "_static" / "cover.png").convert("RGB")
    height = round(cover.height * WIDTH / cover.width)
    card.paste(cover.resize((WIDTH, height)).crop((0, 0, WIDTH, min(height, 330))), (0, 0))
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 330, WIDTH, HEIGHT), fill="#16202e")
    size = 76
    while (
        pen.textlength(title, font := ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", size))
        > 1080
    ):
        size -= 4
    pen.text((60, 440), title, font=font, fill="#ffffff", anchor="lm")
    small = ImageFont.truetype(FONTS / "DejaVuSans.ttf", 36)
    if title != book:
        pen.text((60, 545), book, font=small, fill="#aab5c4", anchor="lm")
    path.parent.mkdir(parents=True, exist_ok=True)
    card.quantize(64).save(path, format="png", optimize=True)
