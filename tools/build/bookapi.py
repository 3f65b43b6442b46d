"""The reference of the library: docstrings become pages, equations and code lead to each other.

Sphinx's own autodoc and napoleon read the docstrings. They are plain text; what Sphinx would take
for markup is escaped here, and the label of an equation becomes a link to it.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.addnodes import pending_xref

LABEL = r"eq-[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
EQUATION = re.compile(rf"\(({LABEL})\)|\b({LABEL})")  # a link brings its own parentheses
CODE = re.compile(r"`([^`]+)`")
SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:", "Attributes:")
NAME = re.compile(r"dmlib(\.\w+)+$")


def plain(text: str) -> str:
    """Text without meaning for reStructuredText."""
    return re.sub(r"[\\*|`]|_(?!\w)", r"\\\g<0>", text)


def marked_up(line: str) -> str:
    """One line of a docstring as reStructuredText: equations are links, `code` is code."""
    if line.lstrip().startswith("- "):  # a list stays one
        before, dash, rest = line.partition("- ")
        return before + dash + marked_up(rest)
    parts = CODE.split(line)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part}``"
        else:
            parts[i] = EQUATION.sub(lambda m: f":eq:`{m[1] or m[2]}`", plain(part))
    return "".join(parts)


def shaped(lines: list[str]) -> list[str]:
    """Paragraphs of a docstring: the source is one of its own, a long formula is one line."""
    found: list[str] = []
    section = False
    for line in lines:
        section = section or line in SECTIONS
        if line.startswith("Source:"):
            found += ["", line]
        elif not section and line.startswith(" ") and found and found[-1].strip():
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return found


def mark_up(app, what, name, obj, options, lines: list[str]) -> None:
    """A docstring, as its author wrote it, as reStructuredText."""
    lines[:] = [marked_up(line) for line in shaped(lines)]


def link_names(app, doctree) -> None:
    """`dmlib.module.name` anywhere in the book leads to the reference."""
    for literal in list(doctree.findall(nodes.literal)):
        text = literal.astext()
        if not NAME.match(text) or isinstance(literal.parent, (nodes.reference, pending_xref)):
            continue
        link = pending_xref(
            "", refdomain="py", reftype="obj", reftarget=text, refdoc=app.env.docname
        )
        literal.replace_self(link)
        link += literal


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", mark_up, priority=100)
    app.connect("doctree-read", link_names)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
