"""Drawing, and nothing but drawing: every function takes Axes and returns them.

No maths is done here: what is drawn was computed by who calls. Numbers may be tensors or arrays.
Figures are dark ink on white; the built book turns them round for a dark page (tools/build).
Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart, and each thing
has one colour in the whole book: data blue, noise orange, theory black, model green.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

DATA = "#0072B2"
NOISE = "#D55E00"
MODEL = "#009E73"
THEORY = "#1A1A1A"
OTHER = "#AA3377"
FAINT = "#6B6B6B"
CYCLE = (DATA, NOISE, MODEL, OTHER, "#8A6D00", THEORY)
DASHES = ("-", "--", "-.", ":")

# Given to matplotlib by who draws, `plt.style.use(STYLE)`: the library sets nothing by itself.
STYLE: dict[str, object] = {
    "figure.figsize": (7.2, 3.0),
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "font.size": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}

Numbers = Tensor | ArrayLike


def image_grid(
    axes: Axes,
    images: Numbers,
    *,
    columns: int | None = None,
    labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> Axes:
    """Images side by side in one picture, grey or colour; one row over t is a filmstrip.

    Args:
        axes: where to draw.
        images: (N, H, W), (N, 1, H, W) or, in colour, (N, 3, H, W), in [-1, 1]; values outside
            are shown as the nearest of these.
        columns: images a row; None puts all into one row.
        labels: one for each column, written above it.
        row_labels: one for each row, written to its left.

    Returns:
        axes.

    Raises:
        ValueError: images have another shape, or labels are not as many as columns or rows.
    """
    given = _numbers(images)
    pictures = given[:, None] if given.ndim == 3 else given
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or len(pictures) == 0:
        raise ValueError(f"images must be (N, H, W) or (N, 1 or 3, H, W), got {given.shape}")
    n, channels, height, width = pictures.shape
    columns = columns or n
    rows = -(-n // columns)
    _check_labels("labels", labels, columns)
    _check_labels("row_labels", row_labels, rows)
    high, wide = height + 2, width + 2  # two pixels of nothing between the images
    sheet = np.full((rows * high - 2, columns * wide - 2, channels), np.nan)
    for i, picture in enumerate(pictures):
        top, left = i // columns * high, i % columns * wide
        sheet[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    if channels == 3:
        sheet = np.nan_to_num((sheet.clip(-1, 1) + 1) / 2, nan=1.0)  # colour has no "nothing"
    axes.imshow(sheet.squeeze(2) if channels == 1 else sheet, cmap="gray", vmin=-1, vmax=1,
                interpolation="nearest")  # fmt: skip
    axes.set_xticks([wide * j + width / 2 - 0.5 for j in range(len(labels))], labels)
    axes.set_yticks([high * i + height / 2 - 0.5 for i in range(len(row_labels))], row_labels)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return axes


def over_time(axes: Axes, table: Numbers, *, label: str = "", first: int = 0, i: int = 0) -> Axes:
    """A schedule's table against t.

    Args:
        axes: where to draw.
        table: (T+1,), slot t belongs to step t.
        label: for the legend.
        first: the first slot that is drawn; 1 for tables without a meaning at t = 0.
        i: which colour and dash of the cycle.
    """
    values = _numbers(table)
    t = np.arange(first, len(values))
    axes.plot(t, values[first:], label=label, color=CYCLE[i % 6], ls=DASHES[i % 4])
    axes.set_xlabel("$t$")
    return axes


def density(
    axes: Axes, x: Numbers, p: Numbers, *, label: str = "", color: str = THEORY, ls: str = "-"
) -> Axes:
    """A density p at the points x, as a line."""
    axes.plot(_numbers(x), _numbers(p), color=color, ls=ls, label=label)
    axes.set_ylabel("density")
    axes.set_ylim(bottom=0)
    return axes


def histogram(
    axes: Axes, values: Numbers, *, edges: Numbers, label: str = "", color: str = DATA
) -> Axes:
    """Samples as a histogram of area 1, so that a density can be drawn over it."""
    axes.hist(
        _numbers(values).ravel(), bins=_numbers(edges), density=True,
        color=color, alpha=0.45, label=label,
    )  # fmt: skip
    axes.set_ylabel("density")
    return axes


def paths(axes: Axes, x: Numbers, *, color: str = DATA) -> Axes:
    """Particles over time: x is (T+1, N), one thin line a particle."""
    axes.plot(_numbers(x), color=color, lw=0.6, alpha=0.5)
    axes.set(xlabel="$t$", ylabel="$x_t$")
    return axes


def points(axes: Axes, x: Numbers, *, label: str = "", color: str = DATA) -> Axes:
    """Points in the plane, (N, 2), the same unit on both axes."""
    plane = _numbers(x)
    if plane.ndim != 2 or plane.shape[1] != 2:
        raise ValueError(f"x must have shape (N, 2), got {plane.shape}")
    axes.scatter(plane[:, 0], plane[:, 1], s=4, alpha=0.6, color=color, label=label, lw=0)
    axes.set_aspect("equal")
    return axes


def two_processes(axes: Axes, images: Numbers, *, labels: Sequence[str]) -> Axes:
    """The two processes: images from data to noise, an arrow for each direction.

    Args:
        axes: where to draw; a wide one, about 8 to 3.
        images: (N, H, W) or (N, 1, H, W), x_0 first and x_T last.
        labels: one for each image.
    """
    image_grid(axes, images)
    _check_labels("labels", labels, len(images))
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    for j, label in enumerate(labels):
        middle = (j + 0.5) * right / len(labels)
        axes.text(middle, -0.08 * bottom, label, ha="center", va="bottom")
    arrow = {"arrowstyle": "-|>", "lw": 2.2, "mutation_scale": 18}
    above, below = -0.5 * bottom, 1.2 * bottom
    axes.annotate(
        "", (right, above), (0, above), arrowprops=arrow | {"color": NOISE}, annotation_clip=False
    )
    axes.annotate(
        "", (0, below), (right, below), arrowprops=arrow | {"color": MODEL}, annotation_clip=False
    )
    forward = r"forward process $q(x_t \mid x_{t-1})$: add noise; fixed, nothing is learned"
    reverse = r"reverse process $p_\theta(x_{t-1} \mid x_t)$: remove noise; learned by a network"
    axes.text(right / 2, above - 0.08 * bottom, forward, ha="center", va="bottom", color=NOISE)
    axes.text(right / 2, below + 0.1 * bottom, reverse, ha="center", va="top", color="#00664A")
    axes.set_ylim(1.6 * bottom, -0.95 * bottom)
    return axes


def _check_labels(name: str, labels: Sequence[str], expected: int) -> None:
    if labels and len(labels) != expected:
        raise ValueError(f"{name} must be {expected}, got {len(labels)}")


def _numbers(values: Numbers) -> NDArray[np.float64]:
    """As matplotlib takes it: float64, on the CPU, without a gradient."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
