"""Drawings of the network: the U-Net as a whole, and one of its residual blocks.

Like `plotting`, every function takes Axes and returns them, and no maths is done here.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from dmlib.book.plotting import DATA, FAINT, MODEL, NOISE, THEORY, Numbers, _numbers
from dmlib.models.inspect import Part

COLORS = {"residual block": DATA, "self-attention": NOISE, "downsample": MODEL, "upsample": MODEL}
_NAMES = {
    "conditioning": "conditioning",
    "stem": "stem, head",
    "residual block": "residual block",
    "self-attention": "self-attention",
    "downsample": "down- and upsampling",
}
_DROP = 1.5  # how far a level lies below the one above it


def unet_diagram(axes: Axes, parts: Sequence[Part], *, before: Numbers, after: Numbers) -> Axes:
    """A U-Net from left to right, drawn from its measured parts.

    A box is as high as its feature map is (compressed) and as wide as it has channels; the number
    below is the channels'. Dashed arrows are the skips.

    Args:
        axes: where to draw; a wide one, about 7 to 3.5.
        parts: of `dmlib.models.inspect.parts`.
        before, after: (H, W), the picture that goes in and the one that comes out, in [-1, 1].

    Returns:
        axes.
    """
    chain = [part for part in parts if part.kind != "conditioning"]
    sizes = sorted({part.shape_out[1] for part in chain}, reverse=True)
    most = max(part.shape_out[0] for part in chain)
    x, last, skips = 0.0, None, {}
    for part in chain:
        channels, size, _ = part.shape_out
        y = -_DROP * sizes.index(size)
        height, width = 1.15 * (size / sizes[0]) ** 0.75, 0.18 + 0.34 * channels / most
        if last is not None:
            axes.add_patch(_arrow(last, (x, y)))
        axes.add_patch(_box(x, y - height / 2, width, height, COLORS.get(part.kind, FAINT)))
        axes.text(x + width / 2, y - height / 2 - 0.08, channels, ha="center", va="top", size=8)
        top = (x + width / 2, y + height / 2)
        if part.place == "down" and part.kind != "downsample":
            skips[part.name.rpartition(".")[0]] = top  # a stage's last part hands it over
        if part.place == "up" and part.kind == "residual block":
            _skip(axes, skips.popitem()[1], top, among=[other[1] for other in skips.values()])
        last = (x + width, y)
        x += width + 0.3
    for picture, left, label in ((before, -1.75, "$x_t$"), (after, x + 0.15, "answer")):
        axes.imshow(
            _numbers(picture), cmap="gray", vmin=-1, vmax=1, zorder=3,
            extent=(left, left + 1.3, -0.65, 0.65),
        )  # fmt: skip
        axes.text(left + 0.65, -0.75, label, ha="center", va="top", size=10)
    axes.add_patch(_arrow((-0.42, 0), (0, 0)))
    axes.add_patch(_arrow(last, (x + 0.13, 0)))
    for level, size in enumerate(sizes):
        text = f"{size} × {size}"
        axes.text(-1.75, -_DROP * level + (0.8 if not level else 0), text, size=9, color=FAINT)
    for kind, name in _NAMES.items():
        if kind != "conditioning":
            axes.plot([], [], "s", color=COLORS.get(kind, FAINT), label=name)
    axes.legend(loc="lower center", ncols=4, fontsize=8.5, handletextpad=0.2)
    axes.set(xlim=(-1.9, x + 1.6), ylim=(-_DROP * (len(sizes) - 1) - 1.3, 1.1), aspect="equal")
    axes.axis("off")
    return axes


def residual_block_diagram(axes: Axes) -> Axes:
    """One residual block from left to right, the shortcut above, the time below.

    Args:
        axes: where to draw; a wide one, about 7 to 2.6.

    Returns:
        axes.
    """
    steps = (
        ("Group-\nNorm", DATA), ("SiLU", DATA), ("Conv\n3 × 3", DATA), ("Group-\nNorm", DATA),
        ("scale,\nshift", MODEL), ("SiLU", DATA), ("Conv\n3 × 3", DATA),
    )  # fmt: skip
    x = 0.9
    for text, color in steps:
        axes.add_patch(_arrow((x - 0.32, 0), (x, 0)))
        axes.add_patch(_box(x, -0.42, 1.18, 0.84, color))
        axes.text(x + 0.59, 0, text, ha="center", va="center", size=8.5, color="white", zorder=4)
        if color == MODEL:
            at = x + 0.59
        x += 1.5
    plus = x + 0.1
    axes.add_patch(_arrow((x - 0.32, 0), (plus - 0.13, 0)))
    axes.text(plus, 0, "+", ha="center", va="center", size=15)
    axes.add_patch(_arrow((plus + 0.13, 0), (plus + 0.6, 0)))
    axes.text(plus + 0.7, 0, "out", va="center", size=11)
    axes.text(0.2, 0, "$x$", va="center", size=13)
    axes.plot([0.72, 0.72, plus], [0, 1.05, 1.05], color=THEORY, lw=1.4, solid_joinstyle="miter")
    axes.add_patch(_arrow((plus, 1.05), (plus, 0.15)))
    middle = (0.72 + plus) / 2
    axes.text(
        middle, 1.12, "shortcut: $x$, or Conv 1 × 1 where channels change", ha="center", size=9
    )
    y = -1.35
    for left, text in ((at - 5.2, "$e(t)$"), (at - 3.4, "two linear\nmaps"), (at - 1.5, "SiLU")):
        width = 1.18
        axes.add_patch(_box(left, y - 0.38, width, 0.76, FAINT))
        axes.text(
            left + width / 2, y, text, ha="center", va="center", size=8.5, color="white", zorder=4
        )
    axes.text(at - 5.75, y, "$t$", ha="center", va="center", size=13)
    axes.add_patch(_arrow((at - 5.6, y), (at - 5.2, y)))
    axes.add_patch(_arrow((at - 4.02, y), (at - 3.4, y)))
    axes.add_patch(_arrow((at - 2.22, y), (at - 1.5, y)))
    axes.plot([at - 0.32, at], [y, y], color=THEORY, lw=1.4)
    axes.add_patch(_arrow((at, y), (at, -0.42)))
    axes.text(at + 0.12, -0.95, "linear", size=9, va="center")
    axes.text(at - 2.8, y - 0.5, "once, for all blocks", size=9, ha="center", va="top", color=FAINT)
    axes.set(xlim=(-0.1, plus + 1.4), ylim=(-2.15, 1.5), aspect="equal")
    axes.axis("off")
    return axes


def _skip(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], *, among: list[float]
) -> None:
    """A dashed way over the boxes; outer skips of the same level go higher."""
    lift = start[1] + 0.32 - 0.12 * sum(abs(y - start[1]) < 1e-9 for y in among)
    axes.plot([start[0], start[0], end[0]], [start[1], lift, lift], color=THEORY, lw=1.2, ls="--")
    axes.add_patch(_arrow((end[0], lift), end))


def _box(x: float, y: float, width: float, height: float, color: str) -> FancyBboxPatch:
    return FancyBboxPatch(
        (x + 0.04, y + 0.04), width - 0.08, height - 0.08, boxstyle="round,pad=0.04",
        facecolor=color, edgecolor="none", zorder=3,
    )  # fmt: skip


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> FancyArrowPatch:
    return FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=9, lw=1.2, color=THEORY,
        shrinkA=0, shrinkB=0, zorder=2,
    )  # fmt: skip
