"""The symbols and acronyms of a notebook: the rows of the notation page that its text uses."""

from __future__ import annotations

import re

NOTATION = "book/notation"


def symbols_used(notation: str, text: str) -> str:
    """MyST Markdown of the table, or "" where none of its rows is used.

    Args:
        notation: the source of the notation page, whose tables stand under "## Symbols" and
            "## Acronyms".
        text: the source of the chapter.
    """
    formulas = " ".join(re.findall(r"\$[^$]+\$|```\{math\}.*?```", text, re.DOTALL))
    words = set(
        re.findall(r"\b[A-Z]{2,}\b", re.sub(r"```\{code-cell\}.*?```", "", text, flags=re.S))
    )
    rows = [
        f"| {first} | {second} | {third} |"
        for first, second, third in _rows(notation, "Symbols")
        if any(_stands_in(symbol, formulas) for symbol in re.findall(r"\$([^$]+)\$", first))
        and _is_meant(first, second, text)
        and _is_of_this_chapter(first, text)
    ]
    rows += [
        f"| {first} | {second} | |"
        for first, second, _ in _rows(notation, "Acronyms")
        if words & set(re.findall(r"[A-Z]{2,}", first))
    ]
    head = "| symbol | what it is | in `dmlib` |\n|---|---|---|"
    return "\n".join(["## Symbols and acronyms", "", head, *rows]) if rows else ""


def _rows(notation: str, heading: str) -> list[tuple[str, str, str]]:
    """First three cells of each row of the table under a heading."""
    # A notebook has no pages of the library's functions to link to: their names are enough.
    notation = re.sub(r"\{py:obj\}`([^`<]+?)(?: <[^`>]+>)?`", r"`\1`", notation)
    part = notation.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows[1:]]
    return [(c[0].strip(), c[1].strip(), c[2].strip()) for c in cells if len(c) > 2]


def _is_of_this_chapter(symbols: str, text: str) -> bool:
    """A row marked (chapter "Title") belongs to the page of that title alone."""
    chapter = re.search(r'\(chapter "([^"]+)"\)', symbols)
    return chapter is None or f"\n# {chapter[1]}\n" in text


def _is_meant(symbols: str, meaning: str, text: str) -> bool:
    """A bare letter means many things: it must come with one of its equations."""
    names = [re.split(r"[=(]", s)[0].strip() for s in re.findall(r"\$([^$]+)\$", symbols)]
    if not all(re.fullmatch(r"\\?[A-Za-z]+", name) for name in names):
        return True
    labels = re.findall(r"\{eq\}`([\w-]+)`", meaning)
    return not labels or any(label in text for label in labels)


def _stands_in(symbol: str, formulas: str) -> bool:
    """Whether the formulas hold the symbol; of an equation, its left side."""
    name = re.split(r"=|\(", symbol)[0].strip()
    pattern = re.escape(name)
    if re.fullmatch(r"\\?[A-Za-z]+", name):  # a bare letter, not a part of another word
        pattern = rf"(?<![A-Za-z\\{{_]){pattern}(?![A-Za-z_])"
    return re.search(pattern, formulas) is not None
