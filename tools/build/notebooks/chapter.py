"""One chapter as a notebook: cells, identities, the installing cell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from notebooks.grading import mark_exercises
from notebooks.markdown import Converter
from notebooks.published import MYST, MarkupError, PublishedBook
from notebooks.symbols import NOTATION, symbols_used

# Tags that mean something to whoever runs the notebook; the others address the book's pages.
KEPT_TAGS = {"stub", "check", "raises-exception", "skip-execution"}
HIDING_TAGS = {"remove-cell", "remove-input", "hide-cell", "hide-input"}

INSTALL = '''\
# Installs the book's library where it is missing (as on Colab); torch and numpy stay as they are.
import importlib.util
from pathlib import Path

if importlib.util.find_spec("dmlib") is None:
    copy = Path("{marker}").exists()  # the whole book lies here
    source = "{beside}" if copy else "dmlib @ {address}"
    %pip install -q "{{source}}"'''


@dataclass(frozen=True)
class Library:
    """Where a notebook gets `dmlib` from, seen from the folder that it lies in."""

    marker: str  # a file that is there if the notebook lies in a copy of the book
    beside: str  # what is installed then
    address: str  # what is installed anywhere else, as pip writes it after "dmlib @"


def checkout(repository: str) -> Library:
    """The library of a clone of the repository, else of the repository itself."""
    return Library("../dmlib/__init__.py", "..", f"git+{repository}")


LINK = (
    "*This notebook is made from [a page of the book]({page}), where the figures move, "
    "and where the solutions are.*"
)


def chapter_notebook(book: PublishedBook, docname: str, library: Library) -> NotebookNode:
    """The notebook of one chapter, without outputs; the same every time."""
    source = jupytext.reads(book.source(docname).read_text("utf-8"), fmt=MYST)
    cells = [new_code_cell(INSTALL.format(**asdict(library)))]
    cells += _cells(book, docname, source.cells)
    cells += _symbols(book, docname)
    mark_exercises(cells)
    _link_after_title(cells, LINK.format(page=book.page(docname)))
    _identify(docname, cells)
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "colab": {"provenance": []},
    }
    notebook = new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(notebook)
    return notebook


def _cells(book: PublishedBook, docname: str, cells: list) -> Iterator[NotebookNode]:
    converter = Converter(book, docname)
    for cell in cells:
        if cell.cell_type == "markdown":
            text = converter.convert(cell.source)
            if text.strip():
                yield new_markdown_cell(text)
            continue
        if cell.cell_type != "code" or "load" in cell.metadata:
            raise MarkupError(f"{docname}: a raw or loaded cell: {cell.source}")
        tags = set(cell.metadata.get("tags", []))
        if converter.in_solution or "solution" in tags:
            continue
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure:  # code that plots is folded on the page; whoever opens a notebook wants it
            tags.discard("hide-input")
        yield new_code_cell(cell.source, metadata=_code_metadata(tags))
        if figure:
            caption = converter.caption(figure.get("name", ""), figure.get("caption", ""))
            yield new_markdown_cell(caption)
    if converter.in_solution:
        raise MarkupError(f"{docname}: a solution-start without its solution-end")


def _symbols(book: PublishedBook, docname: str) -> Iterator[NotebookNode]:
    """The notation page is another page; what this notebook uses of it stands at its end."""
    if not book.has_page(NOTATION):
        return
    notation, text = (book.source(name).read_text("utf-8") for name in (NOTATION, docname))
    table = symbols_used(notation, text)
    if table:
        yield new_markdown_cell(Converter(book, docname).convert(table))


def _code_metadata(tags: set[str]) -> dict:
    kept = tags & KEPT_TAGS
    metadata: dict = {"tags": sorted(kept)} if kept else {}
    if tags & HIDING_TAGS:  # folded, not removed: later cells need what it defines
        metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
    return metadata


def _link_after_title(cells: list[NotebookNode], link: str) -> None:
    first = next(cell for cell in cells if cell.cell_type == "markdown")
    # A place to link to, before the title, is the top of the notebook: nobody needs it.
    source = re.sub(r'\A(<a id="[^"]*" name="[^"]*"></a>\s*)+', "", first.source)
    title, _, rest = source.partition("\n")
    if not title.startswith("# "):
        raise MarkupError(f"a chapter must begin with its title, not with: {title}")
    first.source = f"{title}\n\n{link}\n\n{rest.strip()}".strip()


def _identify(docname: str, cells: list[NotebookNode]) -> None:
    """Ids from the content, so that a change in one cell leaves the others' ids alone."""
    seen: dict[str, int] = {}
    for cell in cells:
        key = f"{docname}\0{cell.cell_type}\0{cell.source}"
        seen[key] = seen.get(key, 0) + 1
        cell.id = hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()[:12]
