"""Clouds of points from noise to shapes, and completed ones (the chapter on shapes in space)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dmlib.assets import ASSETS
from dmlib.book.clouds import VIEW, draw_cloud, turned
from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.data.shapes3d import SHAPES

EDGE, REACH = 4.0, 2.9  # of the recorded coordinates; of what is shown


def recorded() -> dict[str, NDArray[Any]]:
    """The shipped recording, shapes_run.npz."""
    with np.load(ASSETS / "shapes_run.npz") as file:
        return dict(file)


def unpacked(x: NDArray[np.uint8]) -> Tensor:
    """Bytes of the recording as coordinates, float64."""
    return torch.from_numpy(x.astype(np.float64)) * (2 * EDGE / 255) - EDGE


class _Turning(InteractiveFigure):
    """A figure of clouds that is turned by azimuth and elevation, in degrees."""

    kind = traitlets.Int(0, min=0).tag(sync=True)
    azimuth = traitlets.Float(VIEW[0], min=-180, max=180).tag(sync=True)
    elevation = traitlets.Float(VIEW[1], min=-90, max=90).tag(sync=True)


class CloudPlayer(_Turning):
    """A recorded walk from noise to a chair, a table, a lamp or a mug, to be turned.

    Traits (synchronised): kind, which shape; frame, 0 is noise; azimuth and elevation, in degrees.

    Args:
        kind, frame: the state at the start; a negative frame counts from the end.
        predict: a question to answer before the figure appears.
    """

    _parts = ("cloud_parts.js",)
    _module = "cloud_player.js"
    frame = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(
        self, *, kind: int = 0, frame: int = -1, predict: Prediction | None = None
    ) -> None:
        self._run = run = recorded()
        data: dict[str, Any] = {
            "kinds": list(SHAPES),
            "times": run["walk_t"].tolist(),
            "edge": EDGE,
            "reach": REACH,
            "walk": pack(run["walk"]),
            "part": pack(run["walk_part"]),
        }
        frame %= len(run["walk_t"])
        super().__init__(data=data, predict=predict, kind=kind, frame=frame)

    @property
    def t(self) -> int:
        """The time that is shown."""
        return int(self._run["walk_t"][self.frame])

    def cloud(self) -> Tensor:
        """The cloud that is shown, (256, 3)."""
        return unpacked(self._run["walk"][self.kind, self.frame])

    def seen(self) -> Tensor:
        """As it is turned: right, up, near."""
        return turned(self.cloud(), self.azimuth, self.elevation)

    def _picture(self, figure: Figure) -> None:
        axes = figure.subplots(1, 2)
        part = torch.from_numpy(self._run["walk_part"][self.kind].astype(np.int64))
        view, half = (self.azimuth, self.elevation), len(self._run["walk_t"]) * 2 // 3
        for ax, frame in zip(axes, (half, self.frame), strict=True):
            cloud = unpacked(self._run["walk"][self.kind, frame])
            draw_cloud(ax, cloud, part=part, view=view, reach=REACH)
            ax.set_title(f"$t$ = {self._run['walk_t'][frame]}")

    def _sentence(self) -> str:
        width, depth, height = (self.cloud().amax(0) - self.cloud().amin(0)).tolist()
        return (
            f"256 points on their way to a {SHAPES[self.kind]}, at t = {self.t}: {width:.2f} wide, "
            f"{depth:.2f} deep, {height:.2f} high."
        )


class CloudCompletion(_Turning):
    """What lies above a plane is given, and four recorded completions; all can be turned.

    Traits (synchronised): kind, which shape; cut, which plane, 0 is the highest; azimuth and
    elevation, in degrees.

    Args:
        kind, cut: the state at the start.
        predict: a question to answer before the figure appears.
    """

    _parts = ("cloud_parts.js",)
    _module = "cloud_completion.js"
    cut = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(self, *, kind: int = 0, cut: int = 2, predict: Prediction | None = None) -> None:
        self._run = run = recorded()
        data: dict[str, Any] = {
            "kinds": list(SHAPES[: len(run["whole"])]),
            "cuts": [round(float(c), 2) for c in run["cut"]],
            "edge": EDGE,
            "reach": REACH,
            "made": run["completed"].shape[2],
            "given": pack(run["given"]),
            "whole": pack(run["whole"]),
            "completed": pack(run["completed"]),
        }
        super().__init__(data=data, predict=predict, kind=kind, cut=cut)

    def clouds(self) -> Tensor:
        """The whole shape, of which only a part is given, and its completions, (5, 256, 3)."""
        made = unpacked(self._run["completed"][self.kind, self.cut])
        return torch.cat((unpacked(self._run["whole"][self.kind])[None], made))

    def known(self) -> Tensor:
        """Which points are given, (256,), bool."""
        return torch.from_numpy(self._run["given"][self.kind, self.cut]).bool()

    def seen(self) -> Tensor:
        """The clouds as they are turned."""
        return turned(self.clouds(), self.azimuth, self.elevation)

    def legs(self) -> Tensor:
        """How far down each completion reaches."""
        return (-self.clouds()[1:, :, 2].amin(1)).clamp(min=0)

    def _picture(self, figure: Figure) -> None:
        known = self.known()
        part = torch.where(known, 0, 2)
        view = (self.azimuth, self.elevation)
        for j, (ax, cloud) in enumerate(zip(figure.subplots(1, 5), self.clouds(), strict=True)):
            rows = known if j == 0 else torch.ones_like(known)
            draw_cloud(ax, cloud[rows], part=part[rows], view=view, reach=REACH)
            ax.set_title(f"completion {j}" if j else "given", fontsize=9)

    def _sentence(self) -> str:
        legs = ", ".join(f"{leg:.2f}" for leg in self.legs().tolist())
        return (
            f"{int(self.known().sum())} points of a {SHAPES[self.kind]} above "
            f"{self._run['cut'][self.cut]:.2f} are given; four completions reach {legs} down."
        )
