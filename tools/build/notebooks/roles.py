"""MyST roles, links and images as plain Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from notebooks.published import MarkupError, PublishedBook


class Inline:
    """Turns what stands inside a line of one page into plain Markdown."""

    def __init__(self, book: PublishedBook, docname: str) -> None:
        self._book, self._docname = book, docname

    def role(self, name: str, content: str) -> str:
        """Markdown for {name}`content`; an unknown role is an error."""
        if name in _REFERENCES:
            return self._reference(name, content)
        if name in _CITATIONS:
            return self._citation(content, textual=name == "cite:t")
        if name in _PLAIN:
            return _PLAIN[name](content)
        if name == "download":
            text, target = _text_and_target(content)
            _, inside, address = self._book.file(target, docname=self._docname)
            return f"[{text or inside}]({address})"
        raise MarkupError(f"{self._docname}: unknown role {{{name}}}`{content}`")

    def link(self, text: str, href: str) -> str:
        """[text](href) with an address that works outside the book."""
        parts = urlsplit(href)
        if parts.scheme or parts.netloc:
            return f"[{text}]({href})"
        if not parts.path:
            return self._target_link(text, parts.fragment)
        here = PurePosixPath(self._docname).parent
        docname = _normal(here / parts.path.removesuffix(".md"))
        if self._book.has_page(docname):
            title, address = self._book.reference("doc", f"/{docname}", docname=self._docname)
            anchor = f"#{parts.fragment}" if parts.fragment else ""
            return f"[{text or title}]({address}{anchor})"
        if "/" not in href and "." not in href:
            return self._target_link(text, href)
        _, inside, address = self._book.file(parts.path, docname=self._docname)
        return f"[{text or inside}]({address})"

    def image(self, alt: str, src: str) -> str:
        """![alt](src) with an address that works outside the book."""
        if not urlsplit(src).scheme:
            src = self._book.image(src, docname=self._docname)
        return f"![{alt}]({src})"

    def _target_link(self, text: str, target: str) -> str:
        kinds = ("eq",) if target.startswith("eq-") else ("ref", "numref")
        for kind in kinds:
            try:
                shown, address = self._book.reference(kind, target, docname=self._docname)
            except MarkupError:
                continue
            return f"[{text or shown}]({self._here(address)})"
        raise MarkupError(f"{self._docname}: link to #{target} leads nowhere")

    def _reference(self, name: str, content: str) -> str:
        text, target = _text_and_target(content)
        shown, address = self._book.reference(name, target, docname=self._docname, text=text)
        here = address.startswith(self._book.page(self._docname))
        if name == "eq" and here:  # the equation stands in this notebook, too
            return shown
        return shown if name == "term" else f"[{shown}]({self._here(address)})"

    def _here(self, address: str) -> str:
        """What stands in this notebook, too, is linked in it: captions, exercises, headings."""
        page, _, fragment = address.partition("#")
        inside = page == self._book.page(self._docname) and fragment
        return f"#{fragment}" if inside else address

    def _citation(self, content: str, *, textual: bool) -> str:
        links = []
        for key in content.split(","):
            authors, year, address = self._book.citation(key.strip())
            shown = f"{authors} ({year})" if textual else f"{authors}, {year}"
            links.append(f"[{shown}]({address})")
        return "; ".join(links)


def _text_and_target(content: str) -> tuple[str | None, str]:
    match = re.fullmatch(r"(.+?)\s*<([^<>]+)>", content, re.DOTALL)
    return (match[1], match[2]) if match else (None, content.strip())


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _html(tag: str) -> Callable[[str], str]:
    return lambda content: f"<{tag}>{content}</{tag}>"


def _code(content: str) -> str:
    return f"`{content}`"


_REFERENCES = {"eq", "ref", "numref", "doc", "term"}
_CITATIONS = {"cite", "cite:p", "cite:t"}
_PLAIN: dict[str, Callable[[str], str]] = {
    "math": lambda content: f"${content.strip()}$",
    "kbd": _html("kbd"),
    "sub": _html("sub"),
    "subscript": _html("sub"),
    "sup": _html("sup"),
    "superscript": _html("sup"),
    "abbr": lambda content: content,
    "code": _code,
    "file": _code,
    "samp": _code,
    "command": _code,
    "program": _code,
    "envvar": _code,
    "py:func": _code,
    "py:class": _code,
    "py:meth": _code,
    "py:mod": _code,
    "guilabel": lambda content: f"**{content}**",
    "strong": lambda content: f"**{content}**",
    "emphasis": lambda content: f"*{content}*",
    "index": lambda content: _text_and_target(content)[0] or content,
}
