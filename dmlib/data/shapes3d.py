"""Furniture in space whose law is known: chairs, tables, lamps and mugs as clouds of points.

A shape is five numbers (its parameters), drawn from known distributions. Its surface is made of
boxes, cones and half a torus, and a cloud is N independent points on it, uniform by area. z points
up and z = 0 is the underside of the seat, of the table's top or of the lamp's shade (the middle of
the mug): where the floor is would tell how long the legs are. The unit is about 25 cm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from dmlib._validate import as_index, check_float, check_int

SHAPES = ("chair", "table", "lamp", "mug")
PARTS = ("seat, top, shade or wall", "back, base or bottom", "legs or pole", "handle")
LAW = {  # name: uniform between
    "chair": {
        "width": (1.6, 2.6),
        "depth": (1.6, 2.4),
        "back": (1.4, 2.4),
        "thick": (0.14, 0.28),
        "leg": (0.9, 2.8),  # low or high, see LOW, HIGH and `share_of_high`
    },
    "table": {
        "width": (2.4, 3.8),
        "depth": (1.6, 2.4),
        "top": (0.12, 0.24),
        "thick": (0.14, 0.28),
        "leg": (1.2, 2.4),
    },
    "lamp": {
        "base": (0.6, 1.0),
        "bottom": (0.8, 1.4),
        "top": (0.3, 0.7),
        "height": (0.8, 1.4),
        "leg": (1.6, 3.0),
    },
    "mug": {
        "radius": (0.8, 1.4),
        "taper": (0.75, 1.0),
        "height": (1.6, 2.6),
        "handle": (0.4, 0.7),
        "tube": (0.1, 0.18),
    },
}
LOW, HIGH = (0.9, 1.6), (2.1, 2.8)  # legs of chairs: of a seat's height, or of a bar stool's
SEAT, BACK, POLE = 0.2, 0.16, 0.08  # thickness of seat and back, radius of the lamp's pole
BOX, CONE, TORUS = 0, 1, 2


class Clouds(NamedTuple):
    """Shapes and what is known of them.

    points is (B, N, 3), float32, within [-3.2, 3.2]; label (B,), int64, an index into SHAPES; part
    (B, N), int64, an index into PARTS, tells on which part of the shape a point lies; parameters
    (B, 5), float32, stand in the order of LAW[SHAPES[label]].
    """

    points: Tensor
    label: Tensor
    part: Tensor
    parameters: Tensor


def shapes(n: int, *, points: int = 256, kind: str | None = None, generator: Generator) -> Clouds:
    """Draw n shapes, and a cloud on each.

    Args:
        n: how many, >= 1.
        points: in each cloud, N >= 1.
        kind: one of SHAPES; all alike often if None.
        generator: where all randomness comes from, on any device.

    Returns:
        Clouds.

    Raises:
        ValueError: n, points or kind is out of its range.
    """
    n = check_int("n", n, low=1)
    if kind is None:
        label = (_uniform(n, generator=generator) * len(SHAPES)).long()
    else:
        label = torch.full((n,), _index(kind))
    parameters = draw_parameters(label, generator=generator)
    cloud, part = surface(label, parameters, points=points, generator=generator)
    return Clouds(cloud, label, part, parameters)


def share_of_high(width: Tensor) -> Tensor:
    """p(high | width) of a chair, from 0.9 for the narrowest to 0.1 for the widest; any shape.

    Source: this book, equation eq-leg-law.
    """
    low, high = LAW["chair"]["width"]
    return 0.9 - 0.8 * (width - low) / (high - low)


def draw_parameters(label: Tensor, *, generator: Generator) -> Tensor:
    """The five numbers of each shape, independent and uniform (LAW), but for the legs of chairs.

    A chair's leg is uniform on HIGH with the probability `share_of_high(width)`, else on LOW.
    Source: this book, equation eq-leg-law.

    Args:
        label: (B,), int64, index into SHAPES.
        generator: on any device; what comes back lies on the CPU.

    Returns:
        (B, 5), float32.

    Raises:
        ValueError: label is no such tensor.
    """
    label = as_index("label", label, batch=len(label), device=label.device).cpu()
    ends = torch.tensor([list(LAW[name].values()) for name in SHAPES])[label]  # (B, 5, 2)
    u = _uniform(len(label), 5, generator=generator)
    coin = _uniform(len(label), generator=generator)
    parameters = ends[..., 0] + (ends[..., 1] - ends[..., 0]) * u
    high = coin < share_of_high(parameters[:, 0])
    legs = torch.where(high[:, None], torch.tensor(HIGH), torch.tensor(LOW))
    leg = legs[:, 0] + (legs[:, 1] - legs[:, 0]) * u[:, 4]
    parameters[:, 4] = torch.where(label == 0, leg, parameters[:, 4])
    return parameters


def parameter_moments(kind: str) -> tuple[Tensor, Tensor]:
    """Exact mean (5,) and covariance (5, 5) of a shape's parameters, float64.

    Args:
        kind: one of SHAPES.

    Raises:
        ValueError: kind is none of them.
    """
    _index(kind)
    ends = torch.tensor(list(LAW[kind].values()), dtype=torch.float64)
    mean, variance = ends.mean(1), (ends[:, 1] - ends[:, 0]) ** 2 / 12
    cov = torch.diag(variance)
    if kind == "chair":  # the share of high legs is 1/2 on average, and falls with the width
        low, high = sum(LOW) / 2, sum(HIGH) / 2
        mean[4] = (low + high) / 2
        cov[4, 4] = (LOW[1] - LOW[0]) ** 2 / 12 + (high - low) ** 2 / 4
        slope = -0.8 / float(ends[0, 1] - ends[0, 0])
        cov[0, 4] = cov[4, 0] = slope * (high - low) * variance[0]
    return mean, cov


def surface(
    label: Tensor, parameters: Tensor, *, points: int = 256, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Independent points on the surface of each shape, uniform by area.

    Args:
        label: (B,), int64, index into SHAPES.
        parameters: (B, 5), as of `draw_parameters`.
        points: on each, N >= 1.
        generator: on any device; what comes back lies on the CPU.

    Returns:
        The points (B, N, 3), float32, and the part (B, N) of each, index into PARTS.

    Raises:
        ValueError: shapes do not fit.
    """
    points = check_int("points", points, low=1)
    check_float("parameters", parameters)
    if parameters.shape != (len(label), 5):
        raise ValueError(f"parameters must be ({len(label)}, 5), got {tuple(parameters.shape)}")
    label, parameters = label.cpu(), parameters.cpu()
    cloud = torch.empty(len(label), points, 3)
    part = torch.empty(len(label), points, dtype=torch.int64)
    u = _uniform(len(label), points, 5, generator=generator)
    for index, build in enumerate((_chair, _table, _lamp, _mug)):
        rows = (label == index).nonzero().flatten()
        if len(rows):
            cloud[rows], part[rows] = _on_pieces(*build(*parameters[rows].T), u[rows])
    return cloud, part


def leg_length(cloud: Tensor) -> Tensor:
    """Read the length of the legs (or of a lamp's pole) off clouds: how far down they reach.

    The lowest of N points is a little above the end of the leg; the book tells by how much.

    Args:
        cloud: (B, N, 3), z = 0 where the legs begin.

    Returns:
        (B,); 0 where nothing is below.

    Raises:
        ValueError: cloud has another shape.
    """
    if not isinstance(cloud, Tensor) or cloud.ndim != 3 or cloud.shape[-1] != 3:
        raise ValueError(f"cloud must be (B, N, 3), got {getattr(cloud, 'shape', cloud)}")
    return (-cloud[..., 2].amin(1)).clamp(min=0)


def _uniform(*shape: int, generator: Generator) -> Tensor:
    if not isinstance(generator, Generator):
        raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
    return torch.rand(shape, generator=generator, device=generator.device).cpu()


def _index(kind: str) -> int:
    if kind not in SHAPES:
        raise ValueError(f"kind must be one of {', '.join(SHAPES)}, got {kind!r}")
    return SHAPES.index(kind)


# A shape is its pieces (B, K, 6), and of each the kind and the part. Six numbers are a box's centre
# and size, a cone's r_0, z_0, r_1, z_1 (a disc or a cylinder, too), or a torus's R, tube, x.

Pieces = tuple[Tensor, list[int], list[int]]


def _stack(*pieces: tuple[Tensor | float, ...]) -> Tensor:
    like = next(x for x in pieces[0] if isinstance(x, Tensor))
    rows = [[torch.as_tensor(x).expand_as(like) for x in p] for p in pieces]
    empty = torch.zeros_like(like)
    return torch.stack([torch.stack(r + [empty] * (6 - len(r)), 1) for r in rows], 1)


def _four_legs(width: Tensor, depth: Tensor, thick: Tensor, leg: Tensor) -> list[tuple]:
    x, y = (width - thick) / 2, (depth - thick) / 2
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return [(i * x, j * y, -leg / 2, thick, thick, leg) for i, j in signs]


def _chair(width: Tensor, depth: Tensor, back: Tensor, thick: Tensor, leg: Tensor) -> Pieces:
    seat = (0.0, 0.0, SEAT / 2, width, depth, SEAT)
    rest = (0.0, (depth - BACK) / 2, SEAT + back / 2, width, BACK, back)
    return (
        _stack(seat, rest, *_four_legs(width, depth, thick, leg)),
        [BOX] * 6,
        [0, 1, 2, 2, 2, 2],
    )


def _table(width: Tensor, depth: Tensor, top: Tensor, thick: Tensor, leg: Tensor) -> Pieces:
    board = (0.0, 0.0, top / 2, width, depth, top)
    return _stack(board, *_four_legs(width, depth, thick, leg)), [BOX] * 5, [0, 2, 2, 2, 2]


def _lamp(base: Tensor, bottom: Tensor, top: Tensor, height: Tensor, leg: Tensor) -> Pieces:
    shade = (bottom, 0.0, top, height)
    pole = (POLE, -leg, POLE, height / 2)
    foot = (0.0, -leg, base, -leg)
    return _stack(shade, pole, foot), [CONE] * 3, [0, 2, 1]


def _mug(radius: Tensor, taper: Tensor, height: Tensor, handle: Tensor, tube: Tensor) -> Pieces:
    wall = (taper * radius, -height / 2, radius, height / 2)
    bottom = (0.0, -height / 2, taper * radius, -height / 2)
    ring = (handle, tube, (1 + taper) * radius / 2)
    return _stack(wall, bottom, ring), [CONE, CONE, TORUS], [0, 1, 3]


def _on_pieces(pieces: Tensor, kinds: list[int], parts: list[int], u: Tensor) -> tuple:
    """(B, K, 6), kind and part of each piece, and uniform numbers (B, N, 5)."""
    place: dict[int, tuple[Callable, Callable]] = {
        BOX: (_box_area, _on_box),
        CONE: (_cone_area, _on_cone),
        TORUS: (_torus_area, _on_torus),
    }
    area = torch.stack(
        [place[k][0](*p.unbind(-1)) for k, p in zip(kinds, pieces.unbind(1), strict=True)], 1
    )
    ends = area.cumsum(1) / area.sum(1, keepdim=True)
    chosen = torch.searchsorted(ends, u[..., 0].contiguous()).clamp(max=len(kinds) - 1)  # (B, N)
    piece = pieces.gather(1, chosen[..., None].expand(-1, -1, 6))
    kind = torch.tensor(kinds)[chosen]
    cloud = torch.zeros(*chosen.shape, 3)
    for k in set(kinds):
        cloud = torch.where((kind == k)[..., None], place[k][1](piece, u), cloud)
    return cloud, torch.tensor(parts)[chosen]


def _box_area(cx: Tensor, cy: Tensor, cz: Tensor, sx: Tensor, sy: Tensor, sz: Tensor) -> Tensor:
    return 2 * (sx * sy + sy * sz + sz * sx)


def _on_box(piece: Tensor, u: Tensor) -> Tensor:
    centre, size = piece[..., :3], piece[..., 3:]
    faces = torch.stack(
        [size[..., 1] * size[..., 2], size[..., 2] * size[..., 0], size[..., 0] * size[..., 1]], -1
    )
    ends = faces.cumsum(-1) / faces.sum(-1, keepdim=True)
    axis = (u[..., 1:2] > ends[..., :2]).sum(-1)  # which coordinate is at an end
    at_end = torch.nn.functional.one_hot(axis, 3).bool()
    inside = u[..., 2:5]
    return centre + size * (torch.where(at_end, inside.round(), inside) - 0.5)


def _cone_area(r0: Tensor, z0: Tensor, r1: Tensor, z1: Tensor, *_: Tensor) -> Tensor:
    return math.pi * (r0 + r1) * ((r1 - r0) ** 2 + (z1 - z0) ** 2).sqrt()


def _on_cone(piece: Tensor, u: Tensor) -> Tensor:
    r0, z0, r1, z1, *_ = piece.unbind(-1)
    r = (r0**2 + (r1**2 - r0**2) * u[..., 1]).clamp(min=0).sqrt()  # rings in proportion to r
    straight = (r1 - r0).abs() < 1e-4
    share = torch.where(straight, u[..., 1], (r - r0) / torch.where(straight, 1.0, r1 - r0))
    angle = 2 * math.pi * u[..., 2]
    return torch.stack((r * angle.cos(), r * angle.sin(), z0 + share * (z1 - z0)), -1)


def _torus_area(big: Tensor, tube: Tensor, *_: Tensor) -> Tensor:
    return math.pi * big * 2 * math.pi * tube  # half of it


def _on_torus(piece: Tensor, u: Tensor) -> Tensor:
    big, tube, x, *_ = piece.unbind(-1)
    around, theta = math.pi * (u[..., 1] - 0.5), 2 * math.pi * u[..., 2]
    # The density of theta is 1 + (tube / big) cos theta: some of the inner half go outside.
    stays = 2 * u[..., 3] < 1 + tube / big.clamp(min=1e-6) * theta.cos()
    theta = torch.where(stays, theta, math.pi - theta)
    r = big + tube * theta.cos()
    return torch.stack((x + r * around.cos(), tube * theta.sin(), r * around.sin()), -1)
