"""Keep only the icons that the book's pages use.

The theme ships all of Font Awesome in one script: 540 kB gzipped that every reader's phone would
load for a dozen icons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# One icon in the script: name:[width, height, [aliases], "unicode", "path"]
ICON = re.compile(
    r'(?:"(?P<quoted>[\w-]+)"|(?P<bare>[\w$]+)):'
    r'\[\d+(?:\.\d+)?,\d+,\[(?P<aliases>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)
USED = re.compile(r"\bfa-([a-z0-9-]+)")


def used_icons(texts: Iterable[str]) -> set[str]:
    """Names behind `fa-` in the given pages, scripts and style sheets."""
    return {name for text in texts for name in USED.findall(text)}


def subset(script: str, used: set[str]) -> str:
    """The Font Awesome script with every icon dropped that is not in `used`."""

    def keep(match: re.Match) -> str:
        names = {match["quoted"] or match["bare"], *re.findall(r'"([\w-]+)"', match["aliases"])}
        return match[0] if names & used else ""

    # An object literal may end in a comma, so a dropped last icon leaves valid code.
    return ICON.sub(keep, script)


def shrink(html: Path) -> None:
    """Rewrite the built book's fontawesome.js with the icons that its pages use."""
    path = html / "_static" / "scripts" / "fontawesome.js"
    if not path.exists():
        return
    pages = [p for p in html.rglob("*.html") if "_static" not in p.parts]
    scripts = [p for p in (html / "_static").rglob("*.js") if p != path]
    used = used_icons(p.read_text("utf-8", errors="ignore") for p in [*pages, *scripts])
    path.write_text(subset(path.read_text("utf-8"), used), "utf-8")
