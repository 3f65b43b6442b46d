"""Figures on the page: one for a wide and one for a narrow column, each for light and for dark.

The kernel (figures.py) hands over one SVG with two drawings. Here they become four files, and the
page asks for one of them: by its width, and by the reader's theme.
"""

from __future__ import annotations

import base64
import colorsys
import re
from pathlib import Path

from figures import MARK

PAPER = (0x14, 0x18, 0x1E)  # the dark theme's page
IMAGE = re.compile(r'<img\b[^>]*\bsrc="(?P<path>[^"]*_images/(?P<name>[^"/]+)\.svg)"[^>]*>')
COLOUR = re.compile(r"((?:fill|stroke|stop-color)(?:: |=\")#)([0-9a-fA-F]{6})")
SIZE = re.compile(r'<svg[^>]*?\bwidth="([\d.]+)pt"[^>]*?', re.DOTALL)
HEIGHT = re.compile(r'<svg[^>]*?\bheight="([\d.]+)pt"', re.DOTALL)
PHONE = "(max-width: 600px)"


def parted(svg: str) -> tuple[str, str | None]:
    """The wide drawing and, if there is one, the narrow one."""
    wide, _, rest = svg.partition(MARK)
    packed = rest.partition("-->")[0]
    return wide, base64.b64decode(packed).decode() if packed else None


def dark_colour(colour: str) -> str:
    """A colour of a light figure on the dark page: ink becomes light, hues become paler."""
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4))
    hue, lightness, saturation = colorsys.rgb_to_hls(r, g, b)
    if max(r, g, b) - min(r, g, b) < 0.06:  # grey, black, white: turned round
        low = sum(PAPER) / 3 / 255
        level = low + (1 - lightness) * (0.93 - low)
        return "".join(f"{round(255 * level):02x}" for _ in range(3))
    lifted = max(lightness, 0.62) if lightness < 0.7 else 1 - lightness * 0.8
    rgb = colorsys.hls_to_rgb(hue, lifted, min(saturation, 0.8))
    return "".join(f"{round(255 * part):02x}" for part in rgb)


def darkened(svg: str) -> str:
    """The drawing for the dark page; pictures inside stay as they are."""
    ink = dark_colour("000000")  # where no colour is given
    return COLOUR.sub(lambda m: m[1] + dark_colour(m[2]), svg).replace(
        "<svg ", f'<svg fill="#{ink}" ', 1
    )


def css_size(svg: str) -> tuple[int, int]:
    """Width and height in CSS pixels."""
    return round(float(SIZE.search(svg)[1]) * 96 / 72), round(
        float(HEIGHT.search(svg)[1]) * 96 / 72
    )


def in_themes(image: str, path: str, svg: str) -> str:
    """The `img` of a figure as the page gets it."""
    wide, narrow = parted(svg)
    width, height = css_size(wide)
    base = path.removesuffix(".svg")
    bare = re.sub(r'\s(?:src|width|height|style|class)="[^"]*"', "", image).rstrip("/> ")
    kind = "plot" if narrow or width <= 360 else "plot wide"
    pictures = []
    for theme, suffix in (("light", ""), ("dark", "-dark")):
        source = ""
        if narrow:
            w, h = css_size(narrow)
            source = (
                f'<source media="{PHONE}" srcset="{base}-narrow{suffix}.svg" '
                f'width="{w}" height="{h}">'
            )
        pictures.append(
            f'<picture class="in-{theme}">{source}{bare} class="{kind}" loading="lazy" '
            f'src="{base}{suffix}.svg" width="{width}" height="{height}"></picture>'
        )
    return "".join(pictures)


def place_figures(app, pagename, templatename, context, doctree) -> None:
    """Every figure of a page in its forms."""
    sources = {name: Path(source) for source, name in app.builder.images.items()}

    def replaced(match: re.Match) -> str:
        source = sources.get(f"{match['name']}.svg")
        source = source and Path(app.srcdir) / source
        if source is None or not source.exists():
            return match[0]
        svg = source.read_text("utf-8")
        return in_themes(match[0], match["path"], svg) if MARK in svg else match[0]

    if context.get("body"):
        context["body"] = IMAGE.sub(replaced, context["body"])


def write_forms(app, exception) -> None:
    """The four files of each figure."""
    if exception is not None or app.builder.name != "html":
        return
    for path in (Path(app.outdir) / "_images").glob("*.svg"):
        svg = path.read_text("utf-8")
        if MARK not in svg:
            continue
        wide, narrow = parted(svg)
        forms = {"": wide, "-narrow": narrow} if narrow else {"": wide}
        for form, drawing in forms.items():
            path.with_stem(path.stem + form).write_text(drawing, "utf-8")
            path.with_stem(path.stem + form + "-dark").write_text(darkened(drawing), "utf-8")


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("html-page-context", place_figures, priority=700)
    app.connect("build-finished", write_forms, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
