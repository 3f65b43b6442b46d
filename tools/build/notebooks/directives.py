"""MyST directives as plain Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from markdown_it.token import Token
from sphinx.directives.code import LiteralInclude, LiteralIncludeReader

from notebooks.published import MarkupError, PublishedBook
from notebooks.roles import Inline
from notebooks.tex import directive_body, display

if TYPE_CHECKING:
    from notebooks.markdown import Converter

QUOTED = {
    "note", "tip", "warning", "important", "caution", "attention", "hint", "danger", "error",
    "seealso", "admonition", "margin", "sidebar", "topic", "card", "epigraph",
}  # fmt: skip
TITLED = {"admonition", "sidebar", "topic", "card"}
TITLES = {"seealso": "See also", "margin": "", "epigraph": ""}
DROPPED = {"toctree", "contents", "tableofcontents", "bibliography", "index", "exercise-end"}
CODE = {"code", "code-block", "sourcecode"}


@dataclass
class Directive:
    """A directive as written: {name} argument, :options:, body."""

    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass
class Gate:
    """Where a solution begins or ends; `text` stands in for all of it."""

    opens: bool
    text: str = ""


def parse_directive(token: Token) -> Directive | None:
    """The directive in a fence, or None for a plain code block."""
    info = token.info.strip()
    if not info.startswith("{") and token.type == "fence":
        return None
    match = re.fullmatch(r"\{([^\s{}]+)\}\s*(.*)", info, re.DOTALL)
    if not match:
        raise MarkupError(f"not a directive: {token.markup}{info}")
    options, body = _options(token.content)
    return Directive(match[1], match[2].strip(), options, body)


def _options(content: str) -> tuple[dict[str, str], str]:
    lines = content.split("\n")
    if lines[0].strip() == "---":
        end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), len(lines))
        given = yaml.safe_load("\n".join(lines[1:end])) or {}
        return {k: "" if v is None else str(v) for k, v in given.items()}, "\n".join(
            lines[end + 1 :]
        )
    options = {}
    while lines and (match := re.match(r"\s*:([\w-]+):(?:\s+(.*))?$", lines[0])):
        options[match[1]] = (match[2] or "").strip()
        lines.pop(0)
    return options, "\n".join(lines).strip("\n")


class Directives:
    """Turns the directives of one page into plain Markdown."""

    def __init__(self, book: PublishedBook, docname: str, converter: Converter) -> None:
        self._book, self._docname, self._converter = book, docname, converter
        self._inline = Inline(book, docname)

    def convert(self, d: Directive, *, one_line: bool) -> str | Gate:
        """Markdown for a directive; an unknown one is an error."""
        if d.name in DROPPED:
            return ""
        if d.name == "math":
            return self._math(d, one_line)
        if d.name in QUOTED:
            return self._quote(d)
        if d.name in CODE:
            return f"```{d.argument or 'python'}\n{d.body.rstrip()}\n```"
        if d.name in ("exercise", "exercise-start"):
            return self._exercise(d)
        if d.name in ("solution", "solution-start", "solution-end"):
            return self._solution(d)
        special = {
            "dropdown": self._dropdown,
            "figure": self._figure,
            "image": self._image,
            "literalinclude": self._literal,
            "table": self._table,
            "list-table": self._list_table,
            "tab-set": self._inside,
            "div": self._inside,
            "container": self._inside,
            "tab-item": self._tab,
        }
        if d.name not in special:
            raise MarkupError(f"{self._docname}: unknown directive {{{d.name}}} {d.argument}")
        return special[d.name](d)

    def text(self, source: str) -> str:
        """Convert what stands inside a directive."""
        return self._converter.convert(source, nested=True)

    def caption(self, label: str, caption: str) -> str:
        """**Fig. 2.1.** caption, the number as on the page, with a place to link to."""
        number = ""
        if label:
            shown, address = self._book.reference("numref", label, docname=self._docname)
            number = f"{anchor(address)}**{shown}.** "
        text = " ".join(self.text(caption).split())
        return (number + text).strip()

    def _math(self, d: Directive, one_line: bool) -> str:
        label = d.options.get("label") or d.options.get("name", "")
        tag = self._book.equation_tag(label, docname=self._docname) if label else ""
        body = "\n\n".join(part for part in (d.argument, d.body) if part)
        nowrap = "nowrap" in d.options or "no-wrap" in d.options
        if nowrap:
            raise MarkupError(f"{self._docname}: {{math}} with :nowrap: has no number to show")
        return display(directive_body(body), tag=tag, one_line=one_line)

    def _quote(self, d: Directive) -> str:
        if d.name in TITLED:
            title, body = self.text(d.argument), d.body
        else:  # the title is the kind of admonition; text on the first line belongs to the body
            title = TITLES.get(d.name, d.name.capitalize())
            body = "\n".join(part for part in (d.argument, d.body) if part)
        if "dropdown" in d.options.get("class", "").split():
            return self._dropdown(Directive("dropdown", title, {}, body))
        head = f"**{title}**\n\n" if title else ""
        return _quoted(head + self.text(body))

    def _dropdown(self, d: Directive) -> str:
        """Kept closed: the reader is to predict before looking."""
        title = _as_html(self.text(d.argument)) or "More"
        return (
            f"<details>\n<summary><b>{title}</b></summary>\n\n{self.text(d.body)}\n\n</details>\n"
        )

    def _exercise(self, d: Directive) -> str:
        label = d.options.get("label", "")
        name, link = "Exercise", ""
        if label and "nonumber" not in d.options:
            name, address = self._book.reference("numref", label, docname=self._docname)
            link = anchor(address) + "\n\n"
        title = self.text(d.argument)
        heading = f"### {name}: {title}" if title else f"### {name}"
        body = self.text(d.body)
        return f"{link}{heading}\n\n{body}\n" if body else f"{link}{heading}\n"

    def _solution(self, d: Directive) -> str | Gate:
        if d.name == "solution-end":
            return Gate(opens=False)
        name = self._book.reference("numref", d.argument, docname=self._docname)[0]
        address = self._book.solution(d.argument, docname=self._docname)
        text = f"The solution to {name} is [in the book]({address}).\n"
        return text if d.name == "solution" else Gate(opens=True, text=text)

    def _figure(self, d: Directive) -> str:
        caption = self.caption(d.options.get("name", ""), d.body)
        return f"{self._image(d)}\n\n{caption}\n" if caption else self._image(d)

    def _image(self, d: Directive) -> str:
        return self._inline.image(d.options.get("alt", ""), d.argument)

    def _literal(self, d: Directive) -> str:
        spec = LiteralInclude.option_spec
        options = {name: spec[name](value) for name, value in d.options.items()}
        path, inside, address = self._book.file(d.argument, docname=self._docname)
        code, _ = LiteralIncludeReader(str(path), options, self._book.config).read()
        language = options.get("language", "python")
        caption = self.text(d.options["caption"]) + ", from" if "caption" in d.options else "From"
        return f"{caption} [`{inside}`]({address}):\n\n```{language}\n{code.rstrip()}\n```\n"

    def _table(self, d: Directive) -> str:
        title = self.caption(d.options.get("name", ""), d.argument)
        return f"{title}\n\n{self.text(d.body)}\n"

    def _list_table(self, d: Directive) -> str:
        rows = [
            [" ".join(self.text(cell).split()) for cell in re.split(r"(?m)^\s+- ", row)[0:]]
            for row in re.split(r"(?m)^\* - ", d.body)[1:]
        ]
        if int(d.options.get("header-rows", "0")) != 1 or len({len(row) for row in rows}) != 1:
            raise MarkupError(f"{self._docname}: list-table needs one header row and equal rows")
        head, *body = ["| " + " | ".join(c.replace("|", r"\|") for c in row) + " |" for row in rows]
        title = self.caption(d.options.get("name", ""), d.argument)
        rule = "|" + " --- |" * len(rows[0])
        return "\n".join([*([title, ""] if title else []), head, rule, *body, ""])

    def _inside(self, d: Directive) -> str:
        return self.text(d.body)

    def _tab(self, d: Directive) -> str:
        return f"**{self.text(d.argument)}**\n\n{self.text(d.body)}\n"


def anchor(address: str) -> str:
    """A place that a link in the same notebook leads to; Jupyter reads the id, Colab the name."""
    fragment = address.partition("#")[2]
    return f'<a id="{fragment}" name="{fragment}"></a>' if fragment else ""


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n"


def _as_html(title: str) -> str:
    """A summary is HTML: Markdown is not read in it (formulas are)."""
    title = re.sub(r"`([^`]+)`", r"<code>\1</code>", title)
    title = re.sub(r"\*\*(.+?)\*\*", r"\1", title)
    return re.sub(r"\*(.+?)\*", r"<i>\1</i>", title)
