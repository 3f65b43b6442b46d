"""A page's MyST Markdown as the Markdown that Jupyter and Colab know.

MyST's own parser finds every directive, role, target and comment; each is then replaced in the
source text, so that everything else stays as its author wrote it. What the parser finds and this
module does not know is an error: nothing slips through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from myst_parser.parsers.mdit import create_md_parser

from notebooks.directives import Directives, Gate, anchor, parse_directive
from notebooks.published import MarkupError, PublishedBook
from notebooks.roles import Inline
from notebooks.tex import display, unnumbered

Edit = tuple[int, int, str]

_BLOCKS = {
    "paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote", "hr", "table",
    "thead", "tbody", "tr", "th", "td", "code_block", "inline", "dl", "dt", "dd",
}  # fmt: skip
_INLINES = {
    "text", "softbreak", "hardbreak", "em", "strong", "s", "code_inline", "math_inline", "link",
    "image", "html_inline", "myst_role", "text_special",
}  # fmt: skip
_WITH_SPAN = {"myst_role": "myst_role", "math_inline": "math_inline", "html_inline": "html_inline",
              "link": "link_open", "image": "image"}  # fmt: skip


class Converter:
    """Converts one page, Markdown cell by Markdown cell, in order."""

    def __init__(self, book: PublishedBook, docname: str) -> None:
        self._docname = docname
        self._inline = Inline(book, docname)
        self._directives = Directives(book, docname, self)
        self._book = book
        self._md = _parser(book)
        self.in_solution = False

    def convert(self, text: str, *, nested: bool = False) -> str:
        """Plain Markdown; `nested` text will be quoted, so its formulas must stay on one line."""
        lines = text.split("\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        edits = list(self._edits(text, lines, starts, nested))
        return _apply(text, edits).strip("\n")

    def caption(self, label: str, caption: str) -> str:
        """Caption of a figure that a cell draws."""
        return self._directives.caption(label, caption)

    def _edits(
        self, text: str, lines: list[str], starts: list[int], nested: bool
    ) -> Iterator[Edit]:
        solution_from = 0  # where a solution begins, or goes on from an earlier cell
        columns: dict[int, int] = {}
        for token in self._md.parse(text):
            begin, end = (starts[min(i, len(lines))] for i in token.map or (0, 0))
            end = min(end, len(text))
            if self.in_solution and not _closes_solution(token):
                continue
            if token.type == "inline":
                yield from self._inline_edits(token, lines, starts, columns)
                continue
            new = self._block(token, nested)
            if isinstance(new, Gate):
                if new.opens:
                    self.in_solution, solution_from = True, begin
                    yield (begin, begin, new.text + "\n")
                    continue
                self.in_solution = False
                yield (solution_from, end, "")
            elif token.type == "dd_open":
                yield _dd_marker(begin, lines[token.map[0]])
            elif new is not None:
                if token.type == "amsmath":  # its map leaves out the last line
                    end = (
                        begin
                        + text[begin:].index(token.content.strip())
                        + len(token.content.strip())
                    )
                yield (begin, end, _block_text(new, token, lines))
        if self.in_solution:
            yield (solution_from, len(text), "")

    def _block(self, token: Token, nested: bool) -> str | Gate | None:
        """New text for a block, or None to leave it alone."""
        one_line = nested or token.level > 0
        kind = token.type
        if kind.removesuffix("_open").removesuffix("_close") in _BLOCKS:
            return None
        if kind == "myst_target":
            return anchor(f"#{token.content.strip().lower()}")
        if kind in ("myst_line_comment", "myst_block_break"):
            return ""
        if kind == "math_block":
            return display(token.content, one_line=one_line)
        if kind == "math_block_label":
            tag = self._book.equation_tag(token.info, docname=self._docname)
            return display(token.content, tag=tag, one_line=one_line)
        if kind == "amsmath":
            return display(unnumbered(token), one_line=one_line)
        if kind in ("fence", "colon_fence"):
            directive = parse_directive(token)
            if directive is None:
                return None
            return self._directives.convert(directive, one_line=one_line)
        if kind == "html_block":
            return _html(token.content, self._docname)
        raise MarkupError(f"{self._docname}: no way to write {kind} in a notebook: {token.content}")

    def _inline_edits(
        self, token: Token, lines: list[str], starts: list[int], columns: dict[int, int]
    ) -> Iterator[Edit]:
        for child in token.children or []:
            kind = child.type.removesuffix("_open").removesuffix("_close")
            if kind not in _INLINES:
                raise MarkupError(f"{self._docname}: {kind} in: {token.content}")
        places = _places(token, lines, starts, columns)
        for child in token.children or []:
            if "span" not in child.meta:
                continue
            begin, end = child.meta["span"]
            raw = token.content[begin:end]
            new = self._inline_text(child, raw)
            if new != raw:
                yield (places[begin], places[end - 1] + 1, new)

    def _inline_text(self, child: Token, raw: str) -> str:
        if child.type == "myst_role":
            return self._inline.role(child.meta["name"], child.content)
        if child.type == "math_inline":
            return raw.replace("\n", " ")
        if child.type == "html_inline":
            return _html(raw, self._docname)
        if child.type == "image":
            return self._inline.image(child.content, str(child.attrs["src"]))
        href = str(child.attrs["href"])
        text = child.meta["text"]
        if re.match(r"[a-z]+:", href):
            return raw
        if "{" in text and "`" in text:
            raise MarkupError(f"{self._docname}: a role inside a link to the book: {raw}")
        return self._inline.link(text, href)


def _parser(book: PublishedBook) -> MarkdownIt:
    """The book's own parser, which also notes where in its line each construct stands."""
    md = create_md_parser(book.myst, RendererHTML)
    rules = {rule.name: rule.fn for rule in md.inline.ruler.__rules__}
    for name, token_type in _WITH_SPAN.items():
        md.inline.ruler.at(name, _noting_span(rules[name], token_type))
    return md


def _noting_span(rule, token_type: str):
    def noting(state: StateInline, silent: bool) -> bool:
        begin, before = state.pos, len(state.tokens)
        if not rule(state, silent):
            return False
        if not silent:
            for token in state.tokens[before:]:
                if token.type == token_type:
                    token.meta = token.meta | {"span": (begin, state.pos)}
                    if token_type == "link_open":
                        raw = state.src[begin : state.pos]
                        token.meta["text"] = raw[
                            1 : state.md.helpers.parseLinkLabel(state, begin) - begin
                        ]
                    break
        return True

    return noting


def _places(
    token: Token, lines: list[str], starts: list[int], columns: dict[int, int]
) -> list[int]:
    """Place in the source of each character of an inline token's content."""
    places: list[int] = []
    for row, piece in enumerate(token.content.split("\n"), token.map[0]):
        column = lines[row].find(piece, columns.get(row, 0))
        if column < 0:
            raise MarkupError(f"cannot find in its source line: {piece}")
        columns[row] = column + len(piece)
        places.extend(starts[row] + column + i for i in range(len(piece) + 1))
    return places


def _block_text(new: str, token: Token, lines: list[str]) -> str:
    """A block's new text: behind its container's marks, and apart from what follows."""
    after = lines[token.map[1]] if token.map[1] < len(lines) else ""
    if not new.strip():
        return ""
    apart = "\n" if new.endswith("\n") and re.search(r"[^>\s]", after) else ""
    return _in_container(new.strip("\n") + apart, lines[token.map[0]], token) + (
        "" if token.type == "amsmath" else "\n"
    )


def _in_container(new: str, first_line: str, token: Token) -> str:
    """Put back the quote marks, list markers or indentation before a nested block."""
    marker = token.markup or first_line.strip()
    first = first_line[: first_line.index(marker)] if marker in first_line else ""
    rest = re.sub(r"[^>\s]", " ", first)
    head, *tail = new.split("\n")
    return "\n".join([first + head, *((rest + line).rstrip() for line in tail)])


def _apply(text: str, edits: list[Edit]) -> str:
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def _closes_solution(token: Token) -> bool:
    directive = parse_directive(token) if token.type in ("fence", "colon_fence") else None
    return directive is not None and directive.name == "solution-end"


def _dd_marker(begin: int, line: str) -> Edit:
    """Jupyter knows no definition lists: a term is followed by a bullet."""
    at = begin + re.search(r"[:~]", line).start()
    return (at, at + 1, "-")


def _html(raw: str, docname: str) -> str:
    kept = re.sub(r"<!--.*?-->", "", raw, flags=re.DOTALL)
    if re.search(r"""(src|href)\s*=\s*["']?(?![a-z]+:)""", kept):
        raise MarkupError(f"{docname}: a relative address in HTML: {raw}")
    return kept.strip("\n") if kept != raw else raw.rstrip("\n")
