"""Make the built book's pictures light: a plot or a grey image needs no 16 million colours."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

COLOURS = 128


def thin(html: Path) -> None:
    """Rewrite every opaque PNG of _images with a palette, where that is smaller."""
    for path in (html / "_images").glob("*.png"):
        with Image.open(path) as picture:
            if picture.mode == "P" or picture.convert("RGBA").getextrema()[3][0] < 255:
                continue
            small = io.BytesIO()
            flat = picture.convert("RGB")
        flat.quantize(COLOURS, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
        if small.tell() < path.stat().st_size:
            path.write_bytes(small.getvalue())
