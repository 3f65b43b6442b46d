"""A built page asks for little: one style sheet of rules in use, scripts that wait, sized images.

The theme's pages load nine style sheets and a dozen scripts before they show a letter, the index of
the search among them. What is done here changes nothing that a reader sees, but when.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from PIL import Image

SHEET = re.compile(r'\s*<link\b[^>]*\bhref="([^"]*_static/[^"?]*\.css)(?:\?[^"]*)?"[^>]*/?>')
SCRIPT = re.compile(r'<script(?P<rest>[^>]*\bsrc="(?P<src>[^"?]*)[^"]*"[^>]*)></script>')
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
BUNDLES = "bundle-*.css"
TITLE = re.compile(r"<title>(.*?) (?:&#8212;|-) \1</title>", re.DOTALL)
# Buttons of the theme whose name is not what they show: their text names them.
SEARCH_BUTTON = re.compile(r'(search-button-field[^>]*?") title="Search" aria-label="Search"')
MODE_ICON = re.compile(r'(<i class="theme-switch[^>]*?) title="[^"]*"')
# Until the theme's script runs, a page of no known theme would show what is for light and for dark.
THEME = 'document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";'
KNOWN_THEME = """{
      const mode = localStorage.getItem("mode") || "auto";
      const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      document.documentElement.dataset.theme = mode === "auto" ? dark : mode;
    }"""
IMG = re.compile(r"<img\b(?![^>]*\bwidth=)[^>]*?\bsrc=\"(?P<src>[^\":?]+)\"[^>]*?>")
WORD = re.compile(r"[\w-]+")
URL = re.compile(r"url\(([\"']?)(?!data:|https?:|#|/)([^)\"']+)\1\)")
IMPORT = re.compile(r"@import (?:url\()?[\"']([^\"')]+)[\"']\)?;")
PUNCTUATION = re.compile(r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | [{};] """, re.VERBOSE)
NAME = re.compile(r"[.#]((?:[\w-]|\\.)+)")


def lighten(html: Path) -> None:
    """Rewrite the pages of the built book."""
    pages = [page for page in sorted(html.rglob("*.html")) if "_static" not in page.parts]
    texts = {page: page.read_text("utf-8") for page in pages}
    names = _words(html, texts.values())
    static = (html / "_static").resolve()
    # A page that Sphinx did not write anew has its bundle already; what is in it may be new.
    bundles = {path.name: _listed(path, static) for path in static.glob(BUNDLES)}
    for page, text in texts.items():
        sheets = tuple((page.parent / path).resolve() for path in SHEET.findall(text))
        if sheets and not sheets[0].match(BUNDLES):
            bundle = _bundle_name(sheets, static)
            bundles[bundle] = sheets
            up = "../" * (len(page.relative_to(html).parts) - 1)
            link = f'\n    <link rel="stylesheet" href="{up}_static/{bundle}">'
            first = iter([link])
            text = SHEET.sub(lambda m, first=first: next(first, ""), text)
        text = SCRIPT.sub(lambda m, page=page: _script(m, page), text)
        text = IMG.sub(lambda m, page=page: _sized(m, page), text)
        text = text.replace(THEME, KNOWN_THEME)
        text = MODE_ICON.sub(r"\1", SEARCH_BUTTON.sub(r"\1", text))
        page.write_text(TITLE.sub(r"<title>\1</title>", text), "utf-8")
    done: dict[Path, str] = {}
    for bundle, sheets in bundles.items():
        if not sheets:
            continue  # an older build's, as it is
        _write_bundle(static / bundle, sheets, names, done)


def _bundle_name(sheets: tuple[Path, ...], static: Path) -> str:
    """A name that says which sheets, not what is in them: pages keep it from build to build."""
    listed = " ".join(str(sheet.relative_to(static)) for sheet in sheets)
    return f"bundle-{hashlib.sha256(listed.encode()).hexdigest()[:10]}.css"


def _listed(bundle: Path, static: Path) -> tuple[Path, ...]:
    """The sheets that a bundle was made of: its first line."""
    first = bundle.read_text("utf-8").partition("\n")[0]
    if not first.startswith("/* "):  # an older build's
        return ()
    return tuple(static / path for path in first.removeprefix("/* ").removesuffix(" */").split())


def _words(html: Path, texts) -> set[str]:
    """Every word of the pages and scripts: a class that none of them says is not in use."""
    scripts = [
        path for path in (html / "_static").rglob("*.js") if "ort" not in path.parts
    ]  # fmt: skip
    found = {word for text in texts for word in WORD.findall(text)}
    return found | {word for path in scripts for word in WORD.findall(path.read_text("utf-8"))}


def _script(match: re.Match, page: Path) -> str:
    """Scripts wait for the page; a short one is part of it, as others read it at once."""
    path, rest = page.parent / match["src"], match["rest"]
    if path.name == "documentation_options.js":
        return f"<script>{path.read_text('utf-8')}</script>"
    if path.name in SEARCH and page.name != "search.html":
        return ""
    return (
        match[0] if re.search(r"\b(defer|async|type)\b", rest) else f"<script defer{rest}></script>"
    )


@cache
def _size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture in pixels."""
    if path.suffix == ".svg" and path.exists():
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', path.read_text("utf-8"))
        return box and (round(float(box[1])), round(float(box[2])))
    if path.suffix not in (".png", ".jpg", ".webp") or not path.exists():
        return None
    with Image.open(path) as picture:
        return picture.size


def _sized(match: re.Match, page: Path) -> str:
    """A picture says its size, so that nothing moves when it arrives."""
    size = _size((page.parent / match["src"]).resolve())
    if not size:
        return match[0]
    return match[0].replace("<img", f'<img width="{size[0]}" height="{size[1]}"', 1)


def _write_bundle(
    path: Path, sheets: tuple[Path, ...], names: set[str], done: dict[Path, str]
) -> None:
    """One style sheet of those, with the rules that may apply to some page."""
    static = path.parent
    for sheet in sheets:
        if sheet not in done:
            done[sheet] = purged(_read(sheet, static), names)
    first = " ".join(str(sheet.relative_to(static)) for sheet in sheets)
    path.write_text("\n".join([f"/* {first} */", *(done[sheet] for sheet in sheets)]), "utf-8")


def _read(sheet: Path, static: Path) -> str:
    """A style sheet with what it imports, its addresses as seen from `static`."""
    css = re.sub(r"/\*.*?\*/", "", sheet.read_text("utf-8"), flags=re.DOTALL)
    there = sheet.parent.relative_to(static)
    css = URL.sub(lambda m: f"url({(there / m[2]).as_posix()})", css)
    return IMPORT.sub(lambda m: _read((sheet.parent / m[1]).resolve(), static), css)


def purged(css: str, names: set[str]) -> str:
    """The rules of a style sheet whose classes and ids occur in `names`."""
    kept = []
    for head, body in _rules(css):
        if body is None:
            kept.append(head + ";")
        elif re.match(r"@(media|supports|container|layer)", head):
            inner = purged(body, names)
            kept.append(f"{head}{{{inner}}}" if inner else "")
        elif head.startswith("@"):
            kept.append(f"{head}{{{body}}}")
        else:
            selectors = [part for part in _selectors(head) if _applies(part, names)]
            kept.append(f"{','.join(selectors)}{{{body}}}" if selectors else "")
    return "".join(part + "\n" for part in kept if part)


def _rules(css: str):
    """(head, body) of each rule at the top of a style sheet; body is None for `@import …;`."""
    depth, start, head = 0, 0, ""
    for match in PUNCTUATION.finditer(css):
        letter, at = match[0], match.start()
        if letter == "{":
            depth += 1
            if depth == 1:
                head, start = css[start:at].strip(), at + 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                yield head, " ".join(css[start:at].split())
                start = at + 1
        elif letter == ";" and depth == 0:
            yield css[start:at].strip(), None
            start = at + 1


def _selectors(head: str) -> list[str]:
    """The selectors of a rule; commas in brackets do not part them."""
    parts, depth = [""], 0
    for letter in head:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [" ".join(part.split()) for part in parts]


def _applies(selector: str, names: set[str]) -> bool:
    """Whether every class and id that a selector asks for occurs; in :not() any may stand."""
    bare = re.sub(r"\[[^\]]*\]", "", selector)
    while (inner := re.sub(r":(?:not|is|where|has)\([^()]*\)", "", bare)) != bare:
        bare = inner
    return all(re.sub(r"\\", "", name) in names for name in NAME.findall(bare))
