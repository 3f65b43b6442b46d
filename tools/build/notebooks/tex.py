"""Displayed formulas as Jupyter's and Colab's MathJax want them."""

from __future__ import annotations

import re

from markdown_it.token import Token

from notebooks.published import MarkupError

_INSIDE = {"align": "aligned", "alignat": "alignedat", "gather": "gathered", "equation": ""}


def display(body: str, *, tag: str = "", one_line: bool = False) -> str:
    """$$ … $$ with its number; on one line where a quote's marks would get into the formula."""
    body = "\n".join(line.strip() for line in body.strip().split("\n"))
    number = f"\\tag{{{tag}}}" if tag else ""
    if one_line:
        body = re.sub(r"(?<!\\)%[^\n]*", "", body)  # a comment would swallow what follows
        return " ".join(["$$", *body.split("\n"), *([number] if tag else []), "$$"])
    return "\n".join(["$$", body, *([number] if tag else []), "$$"])


def directive_body(content: str) -> str:
    """What Sphinx makes of the content of {math}: alignment for `&` and `\\\\`."""
    parts = [part.strip("\n") for part in re.split(r"\n\s*\n", content) if part.strip()]
    parts = [f"\\begin{{split}}\n{p}\n\\end{{split}}" if r"\\" in p else p for p in parts]
    if len(parts) == 1:
        return parts[0]
    return "\\begin{aligned}\n" + "\\\\\n".join(parts) + "\n\\end{aligned}"


def unnumbered(token: Token) -> str:
    """A bare LaTeX environment as it may stand between dollars."""
    name, star = token.meta["environment"], token.meta["numbered"]
    if name not in _INSIDE or star != "*":
        raise MarkupError(
            f"\\begin{{{name}{star}}}: MyST would number it without a label; "
            "write a {math} directive with a :label:, or a starred align or gather"
        )
    body = token.content.strip()
    body = body.removeprefix(f"\\begin{{{name}*}}").removesuffix(f"\\end{{{name}*}}")
    inside = _INSIDE[name]
    return f"\\begin{{{inside}}}{body}\\end{{{inside}}}" if inside else body
