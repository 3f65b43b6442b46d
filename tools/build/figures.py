"""Figures for two widths: how matplotlib's figures leave the kernel when the book is built.

A figure becomes an SVG, with a second one inside for a phone's column: panels that stood side by
side stand below each other, at the same size of letters. Installed by build_book.py in the kernel
alone; the chapters' code draws as it does anywhere. bookfigures.py takes the two apart.
"""

from __future__ import annotations

import base64
import io
import itertools
import pickle
import re
import textwrap
import warnings

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.image import AxesImage
from matplotlib.ticker import AutoLocator, MaxNLocator

COLUMN = 3.7  # inches of 96 CSS pixels: what a phone of 390 px has for text
SQUEEZE = 0.72  # how much narrower a panel may become before it gets a row of its own
POINTS = 3000  # of a line or a cloud; more are drawn as pixels
MARK = "<!--narrow:"


def print_figure(fig: Figure, fmt: str = "svg", **kwargs) -> str | None:
    """What IPython calls for a figure that is to be shown."""
    if not fig.axes and not fig.lines:
        return None
    _lighten(fig)
    wide = _svg(fig)
    narrow = None if fig.get_size_inches()[0] <= COLUMN else _narrow(fig)
    return wide + _packed(narrow or "")


def _packed(svg: str) -> str:
    return f"{MARK}{base64.b64encode(svg.encode()).decode()}-->\n"


def _svg(fig: Figure) -> str:
    out = io.StringIO()
    options = {"svg.fonttype": "path", "svg.hashsalt": "dmlib", "svg.image_inline": True}
    with mpl.rc_context(options):
        fig.savefig(
            out, format="svg", bbox_inches="tight", pad_inches=0.03, transparent=True,
            dpi=200, metadata={"Date": None, "Creator": None},
        )  # fmt: skip
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


def _lighten(fig: Figure) -> None:
    """Pictures keep their own pixels; what has very many points is drawn as pixels."""
    for axes in fig.axes:
        for image in axes.get_images():
            if isinstance(image, AxesImage) and image.get_interpolation() == "nearest":
                image.set_interpolation("none")
        points = sum(len(line.get_xdata()) for line in axes.lines)
        for artist in axes.lines if points > POINTS else ():
            artist.set_rasterized(True)
        for cloud in axes.collections:
            if len(cloud.get_offsets()) > POINTS / 2:
                cloud.set_rasterized(True)


def _narrow(fig: Figure) -> str | None:
    """The same figure for a phone's column, or None where that is not legible."""
    try:
        copy = pickle.loads(pickle.dumps(fig))
    except (AttributeError, TypeError, pickle.PicklingError):
        return None  # something in it cannot be copied
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        svg = _stacked(copy)
    return None if heard else svg  # matplotlib found no room


def _stacked(copy: Figure) -> str | None:
    width, height = copy.get_size_inches()
    panels = [axes for axes in copy.axes if axes.get_subplotspec() is not None]
    if not panels or len(panels) != len(copy.axes) or copy.subfigs:
        return None
    if any(not axes.axison and len(axes.texts) > 3 for axes in panels):
        return None  # a diagram: its words have their places
    _stack(copy, panels, width, height)
    for axes in panels:
        _fewer_ticks(axes)
    copy.canvas.draw()
    for axes in panels:
        _wrap(axes, copy)
    copy.canvas.draw()
    return _svg(copy) if _fits(copy) else None


def _stack(fig: Figure, panels: list[Axes], width: float, height: float) -> None:
    """Give the panels rows of a column's width, in their order."""
    grid = panels[0].get_gridspec()
    shares = grid.get_width_ratios()
    total = sum(shares)
    widths = []
    for axes in panels:
        span = axes.get_subplotspec().colspan
        widths.append(width * sum(shares[i] for i in span) / total)
    rows: list[list[int]] = [[]]
    for i, axes in enumerate(panels):
        spec = axes.get_subplotspec()
        new_row = rows[-1] and spec.colspan.start == 0
        room = sum(widths[j] for j in rows[-1]) + widths[i]
        other = rows[-1] and bool(panels[rows[-1][-1]].get_images()) != bool(axes.get_images())
        if new_row or other or (rows[-1] and room * SQUEEZE > COLUMN):
            rows.append([])
        rows[-1].append(i)
    row_height = height / grid.nrows
    heights = []
    for row in rows:
        shrink = min(1.0, COLUMN / sum(widths[i] for i in row))
        pictures = all(panels[i].get_images() for i in row)
        heights.append(row_height * shrink if pictures else min(row_height, 2.4))
    # A row of pictures keeps room for its titles.
    heights = [h + 0.25 if len(rows) > 1 else h for h in heights]
    fig.set_size_inches(COLUMN, sum(heights))
    outer = GridSpec(len(rows), 1, figure=fig, height_ratios=heights)
    for r, row in enumerate(rows):
        ratios = [widths[i] for i in row]
        inner = GridSpecFromSubplotSpec(1, len(row), subplot_spec=outer[r], width_ratios=ratios)
        for k, i in enumerate(row):
            panels[i].set_subplotspec(inner[k])
            if k == 0 and len(rows) > 1:
                panels[i].tick_params(labelleft=bool(panels[i].get_yticks().size))


def _fewer_ticks(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_locator(), AutoLocator):
            axis.set_major_locator(MaxNLocator(4))


def _wrap(axes: Axes, fig: Figure) -> None:
    """Break a title or a label that is wider than the column."""
    for text in (axes.title, axes.xaxis.label, axes._left_title):
        words = text.get_text()
        extent = text.get_window_extent()
        room = axes.get_window_extent().width * 1.15
        if words and extent.width > room and "\n" not in words:
            # A formula is one word.
            joined = re.sub(r"\$[^$]*\$", lambda m: m[0].replace(" ", "\0"), words)
            letters = max(10, int(len(words) * room / extent.width))
            broken = textwrap.wrap(joined, letters, break_long_words=False)
            text.set_text("\n".join(broken).replace("\0", " "))


def _fits(fig: Figure) -> bool:
    """Whether nothing sticks out and no labels lie on each other."""
    box = fig.get_tightbbox(fig.canvas.get_renderer())
    if box.width > COLUMN * 1.06:
        return False
    for axes in fig.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
            boxes = [label.get_window_extent() for label in labels]
            along = "x0" if axis is axes.xaxis else "y0"
            boxes.sort(key=lambda b: getattr(b, along))
            if any(a.overlaps(b) for a, b in itertools.pairwise(boxes)):
                return False
    titles = [axes.title.get_window_extent() for axes in fig.axes if axes.title.get_text()]
    return not any(a.overlaps(b) for i, a in enumerate(titles) for b in titles[i + 1 :])


def install() -> None:
    """Let IPython show figures by `print_figure`."""
    from IPython.core import pylabtools

    pylabtools.print_figure = print_figure
