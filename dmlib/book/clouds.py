"""Clouds of points in space, turned and drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from dmlib.book.plotting import DATA, FAINT, MODEL, NOISE, OTHER

PART_COLORS = (DATA, NOISE, MODEL, OTHER)
VIEW = (35.0, 18.0)  # degrees: how far a cloud is turned, and from how high it is seen


def turned(cloud: Tensor, azimuth: float, elevation: float) -> Tensor:
    """A cloud as it is seen: to the right, upwards, and towards the eye; without perspective.

    It turns about the z axis by `azimuth`, and is seen from `elevation` above the ground.

    Args:
        cloud: (..., 3), z upwards.
        azimuth, elevation: in degrees.

    Returns:
        (..., 3).
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    x, y, z = cloud.unbind(-1)
    right, away = math.cos(a) * x - math.sin(a) * y, math.sin(a) * x + math.cos(a) * y
    up, near = math.cos(e) * z + math.sin(e) * away, math.sin(e) * z - math.cos(e) * away
    return torch.stack((right, up, near), -1)


def draw_cloud(
    axes: Axes,
    cloud: Tensor,
    *,
    part: Tensor | None = None,
    color: str | None = None,
    view: tuple[float, float] = VIEW,
    reach: float = 3.0,
) -> Axes:
    """One cloud (N, 3); the nearer a point, the larger it is drawn.

    Args:
        axes: where to draw.
        cloud: (N, 3).
        part: (N,), 0..3, colours the points; None for one colour.
        color: that one; grey if None.
        view: azimuth and elevation in degrees.
        reach: what is shown of the space, -reach..reach both ways.

    Returns:
        axes.
    """
    right, up, near = turned(torch.as_tensor(cloud).double(), *view).unbind(-1)
    order = near.argsort()
    size = 4.0 + 5.0 * ((near + reach) / (2 * reach)).clamp(0, 1)
    colors = FAINT if color is None else color
    if part is not None:
        colors = np.array(PART_COLORS)[torch.as_tensor(part)[order].numpy()]
    axes.scatter(right[order], up[order], s=size[order], c=colors, alpha=0.75, lw=0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def draw_clouds(
    grid: Sequence[Sequence[Axes]] | np.ndarray,
    clouds: Sequence[Sequence[Tensor]],
    *,
    titles: Sequence[str] = (),
    rows: Sequence[str] = (),
    parts: Sequence[Sequence[Tensor | None]] | None = None,
    color: str | None = None,
) -> None:
    """A table of clouds, with a title over each column and a name before each row.

    Args:
        grid: of axes, as `plt.subplots(..., squeeze=False)` gives it.
        clouds: (N, 3) each, in rows as `grid`.
        titles: over the columns.
        rows: before the rows.
        parts: as `clouds`, (N,) each, or None.
        color: of all points, where there are no parts.
    """
    for i, (line, row) in enumerate(zip(grid, clouds, strict=True)):
        for j, (axes, cloud) in enumerate(zip(line, row, strict=True)):
            draw_cloud(axes, cloud, part=None if parts is None else parts[i][j], color=color)
            if i == 0 and titles:
                axes.set_title(titles[j], fontsize=10)
        if rows:
            line[0].set_ylabel(rows[i], fontsize=9.5)
