"""What Sphinx knows about the book: numbers, titles and addresses of everything one can refer to.

The book is read by Sphinx with the same configuration that builds the pages (only without
executing cells), so a number in a notebook is the number on the page by construction.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urljoin

import jupytext
from docutils import nodes
from jupyter_book.config import get_final_config
from myst_parser.config.main import MdParserConfig
from nbformat.v4 import new_markdown_cell
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import docutils_namespace, patch_docutils

MYST = {"extension": ".md", "format_name": "myst"}


class MarkupError(ValueError):
    """Markup in a chapter that cannot be turned into a notebook."""


class PublishedBook:
    """Resolves references as Sphinx does, to addresses of the published pages."""

    def __init__(self, app: Sphinx, *, root: Path, url: str, repository: str) -> None:
        self.root, self.url, self.repository = root, url.rstrip("/"), repository.rstrip("/")
        self._app, self._env = app, app.env
        self.myst = MdParserConfig(enable_extensions=set(app.config.myst_enable_extensions))
        self.config = app.config

    def page(self, docname: str) -> str:
        """Address of a page."""
        return f"{self.url}/{docname}.html"

    def source(self, docname: str) -> Path:
        """File that a page is made of."""
        return Path(self._env.doc2path(docname))

    def pages(self) -> list[str]:
        """Every page in reading order, the root first."""
        site = self.config.external_site_map

        def below(docname: str) -> list[str]:
            trees = site[docname].subtrees
            return [docname, *(p for tree in trees for c in tree.files() for p in below(c))]

        return below(site.root.docname)

    def has_page(self, docname: str) -> bool:
        """Whether the book has this page."""
        return docname in self._env.found_docs

    def reference(
        self, kind: str, target: str, *, docname: str, text: str | None = None
    ) -> tuple[str, str]:
        """(text, address) of a cross-reference, resolved by the domain that owns it."""
        kind, text = self._as_exercise(kind, target, text)
        explicit = text is not None
        domain = self._env.get_domain("math" if kind == "eq" else "std")
        key = target if kind in ("eq", "doc", "term") else target.lower()
        shown = nodes.inline("", text or target)
        node = pending_xref(
            "", shown, reftype=kind, refdomain=domain.name, reftarget=key, refdoc=docname,
            refexplicit=explicit, title=text, refwarn=True,
        )  # fmt: skip
        found = domain.resolve_xref(self._env, docname, self._app.builder, kind, key, node, shown)
        if found is None or not isinstance(found, nodes.reference):
            raise MarkupError(f"{docname}: {{{kind}}}`{target}` leads nowhere")
        address = found.get("refuri") or f"#{found['refid']}"
        if address.startswith("#"):
            address = self.page(docname) + address
        return found.astext(), urljoin(self.page(docname), address)

    def _as_exercise(self, kind: str, target: str, text: str | None) -> tuple[str, str | None]:
        """sphinx-exercise shows {ref} to an exercise as its number: do the same."""
        entry = getattr(self._env, "sphinx_exercise_registry", {}).get(target)
        if kind != "ref" or entry is None or text is not None:
            return kind, text
        if entry["type"].startswith("exercise"):
            return "numref", None
        of = entry["node"]["target_label"]
        return kind, f"Solution to {self.reference('numref', of, docname=entry['docname'])[0]}"

    def equation_tag(self, label: str, *, docname: str) -> str:
        """Number of a labelled equation without its parentheses, as in \\tag{2.3}."""
        return self.reference("eq", label, docname=docname)[0].strip("()")

    def solution(self, exercise: str, *, docname: str) -> str:
        """Address of an exercise's solution: its label's if it has one, else the exercise's."""
        registry = getattr(self._env, "sphinx_exercise_registry", {})
        for label, entry in registry.items():
            node = entry["node"]
            given = not label.startswith(entry["docname"])  # else sphinx-exercise made it up
            if entry["type"].startswith("solution") and node["target_label"] == exercise and given:
                return f"{self.page(entry['docname'])}#{label}"
        return self.reference("numref", exercise, docname=docname)[1]

    def image(self, path: str, *, docname: str) -> str:
        """Address under which Sphinx publishes a local image."""
        relative, _ = self._env.relfn2path(path, docname)
        if relative not in self._env.images:
            raise MarkupError(f"{docname}: image {path} is not part of the book")
        return f"{self.url}/_images/{self._env.images[relative][1]}"

    def file(self, path: str, *, docname: str) -> tuple[Path, str, str]:
        """(file, path in the repository, address in the repository) of a file named on a page."""
        absolute = Path(self._env.relfn2path(path, docname)[1]).resolve()
        if not absolute.is_file() or not absolute.is_relative_to(self.root):
            raise MarkupError(f"{docname}: no such file in the repository: {path}")
        inside = absolute.relative_to(self.root).as_posix()
        return absolute, inside, f"{self.repository}/blob/HEAD/{inside}"

    def citation(self, key: str) -> tuple[str, str, str]:
        """(authors, year, address) of a bibliography entry."""
        entries = self._env.get_domain("cite").bibdata.data.entries
        if key not in entries:
            raise MarkupError(f"no entry {key} in the bibliography")
        entry = entries[key]
        persons = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [
            " ".join(str(part) for part in [*p.rich_prelast_names, *p.rich_last_names])
            for p in persons
        ]
        fields = entry.fields
        doi = fields.get("doi", "")
        address = f"https://doi.org/{doi}" if doi else fields.get("url", "")
        if not address or not names or "year" not in fields:
            raise MarkupError(f"bibliography entry {key} lacks author, year, or doi or url")
        authors = names[0] if len(names) == 1 else f"{names[0]} et al."
        return " and ".join(names) if len(names) == 2 else authors, fields["year"], address


def is_notebook(text: str) -> bool:
    """Whether a page's source declares itself a MyST text notebook."""
    head = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    return "format_name: myst" in head


def _show_cell_figures(app: Sphinx, docname: str, source: list[str]) -> None:
    """Stand a figure after each cell that draws a labelled one.

    Cells are not executed here, so their figures would be missing from Sphinx's numbering.
    """
    if not is_notebook(source[0]):
        return
    notebook = jupytext.reads(source[0], fmt=MYST)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure:
            name = f":name: {figure['name']}\n" if "name" in figure else ""
            body = f"{name}\n{figure.get('caption', '')}\n"
            fence = "`" * 9
            directive = f"{fence}{{figure}} https://example.invalid/cell.png\n{body}{fence}"
            cells.append(new_markdown_cell(directive))
    notebook.cells = cells
    source[0] = jupytext.writes(notebook, fmt=MYST)


@contextmanager
def published_book(root: Path, *, url: str, repository: str) -> Iterator[PublishedBook]:
    """Let Sphinx read the book in `root` (with _config.yml and _toc.yml), writing nothing there."""
    root = root.resolve()
    config, _ = get_final_config(
        user_yaml=root / "_config.yml",
        sourcedir=root,
        cli_config={
            "external_toc_path": (root / "_toc.yml").as_posix(),
            "latex_individualpages": False,
        },
    )
    config |= {"nb_execution_mode": "off"}
    complaints = io.StringIO()
    with TemporaryDirectory() as out, patch_docutils(), docutils_namespace():
        try:
            app = Sphinx(
                root, None, Path(out) / "html", Path(out) / "doctrees", "html",
                confoverrides=config, status=None, warning=complaints, freshenv=True,
            )  # fmt: skip
            if (app.config.mathjax3_config or {}).get("tex", {}).get("macros"):
                raise MarkupError("MathJax macros in _config.yml would be unknown in a notebook")
            app.connect("source-read", _show_cell_figures)
            read = set(app.builder.read())
            list(app.env.check_dependents(app, read))  # numbers sections, figures and equations
        except SphinxError as error:
            raise MarkupError(
                f"Sphinx cannot read the book: {error}\n{complaints.getvalue()}"
            ) from error
        yield PublishedBook(app, root=root, url=url, repository=repository)
