"""Build notebooks/NAME.ipynb from each chapter of the book, for Colab and for downloading.

python tools/build/build_notebooks.py            build into notebooks/
python tools/build/build_notebooks.py --check    fail if notebooks/ is not what would be built
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent))

from notebooks.chapter import Library, chapter_notebook, checkout
from notebooks.published import MarkupError, is_notebook, published_book
from project import ROOT, book_url, repository


def build(root: Path, *, url: str, address: str, library: Library | None = None) -> dict[str, str]:
    """Content of every notebook by file name, in reading order; `library`: the checkout's."""
    library = library or checkout(address)
    with published_book(root, url=url, repository=address) as book:
        chapters = [p for p in book.pages() if is_notebook(book.source(p).read_text("utf-8"))]
        return {
            f"{Path(page).name}.ipynb": nbformat.writes(chapter_notebook(book, page, library))
            + "\n"
            for page in chapters
        }


def differences(built: dict[str, str], out: Path) -> list[str]:
    """Notebooks in `out` that are missing, stale or not (or no longer) a chapter's."""
    there = {path.name: path.read_text("utf-8") for path in out.glob("*.ipynb")}
    return sorted(name for name in built.keys() | there if built.get(name) != there.get(name))


def write(built: dict[str, str], out: Path) -> None:
    """Make `out` hold exactly the built notebooks."""
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob("*.ipynb"):
        if path.name not in built:
            path.unlink()
    for name, content in built.items():
        (out / name).write_text(content, "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Build or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "notebooks")
    options = parser.parse_args(arguments)
    try:
        built = build(ROOT, url=book_url(), address=repository())
    except MarkupError as error:
        print(error, file=sys.stderr)
        return 1
    if not options.check:
        write(built, options.out)
        print(f"{len(built)} notebooks in {options.out}")
        return 0
    stale = differences(built, options.out)
    if stale:
        print("Not what `make notebooks` builds:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
