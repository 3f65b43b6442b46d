"""Does a picture show what its caption asks for? A judge without weights, for scenes.

`find_objects` reads a picture: what stands out from the ground, piece by piece, the paint that each
piece is nearest to, and the shape of the same area and place that covers it best. `judge_captions`
compares that with what the captions ask. How often the judge itself is right is measured on fresh
scenes, of which all is known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlib.data.captions import Asked, read_caption, relation_holds
from dmlib.data.scenes import NOTHING, PALETTE, RADIUS, SHAPES, place_of, shape_masks

STANDS_OUT = 0.25  # distance from the ground, of colours in [0, 1]
SPECK = 8  # pixels; what is smaller is no object
CLEAN = 0.8  # overlap with the ideal shape from which a piece counts as one
MOST_FOUND = 6  # pieces looked at in one picture, the largest first
ATTRIBUTES = ("shape", "colour", "size", "place")


@dataclass(frozen=True)
class Found:
    """What is seen in N pictures, up to K = 6 pieces each, the largest first.

    Args:
        shape: (N, K) int64, index in SHAPES; NOTHING where there is no piece.
        colour: (N, K) int64, index in COLOURS.
        size: (N, K) int64, index in SIZES.
        place: (N, K) int64, cell of the 3 x 3 grid.
        centre: (N, K, 2) float32, centroids.
        overlap: (N, K) float32, intersection over union with the ideal shape, in [0, 1].
        covers: (N, K, 32, 32) float32, the share of each pixel that a piece covers.
    """

    shape: Tensor
    colour: Tensor
    size: Tensor
    place: Tensor
    centre: Tensor
    overlap: Tensor
    covers: Tensor


def find_objects(images: Tensor) -> Found:
    """Read pictures of scenes.

    The ground is the median colour; a piece is a connected set of pixels that stand out from it;
    how much of a pixel it covers follows from the pixel's colour, which lies between the two.

    Args:
        images: (N, 3, 32, 32) floats in [-1, 1].

    Raises:
        ValueError: images has another shape.
    """
    if images.ndim != 4 or images.shape[1:] != (3, 32, 32):
        raise ValueError(f"images must have shape (N, 3, 32, 32), got {tuple(images.shape)}")
    parts = [_found(part) for part in images.split(256)]
    each = (torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Found))
    return Found(*each)


def _found(images: Tensor) -> Found:
    picture = (images.float() + 1) / 2
    ground = picture.flatten(2).median(-1).values[:, :, None, None]  # (N, 3, 1, 1)
    off = (picture - ground).square().sum(1).sqrt()  # (N, 32, 32)
    piece = _pieces(off > STANDS_OUT)  # (N, K, 32, 32) bool
    strong = piece & (off[:, None] >= 0.8 * (off[:, None] * piece).amax((2, 3), keepdim=True))
    paint = torch.einsum("nkhw,nchw->nkc", strong.float(), picture)
    paint = paint / strong.sum((2, 3)).clamp(min=1)[..., None]
    palette = torch.tensor(PALETTE, device=images.device)
    colour = torch.cdist(paint, palette).argmin(-1)  # (N, K)
    to_paint = paint - ground[:, None, :, 0, 0]  # (N, K, 3)
    along = torch.einsum("nkc,nchw->nkhw", to_paint, picture - ground)
    share = along / to_paint.square().sum(-1).clamp(min=1e-6)[..., None, None]
    near = F.max_pool2d(piece.float(), 3, stride=1, padding=1)
    others = piece.sum(1, keepdim=True) - piece.float()
    covers = share.clamp(0, 1) * near * (1 - others)
    return _named(covers, colour, piece.any(-1).any(-1))


def _named(covers: Tensor, colour: Tensor, there: Tensor) -> Found:
    """Shape, size and place of pieces by what they cover."""
    area = covers.sum((2, 3)).clamp(min=1e-6)
    pixel = torch.arange(32, device=covers.device) + 0.5
    centre = torch.stack(((covers.sum(2) * pixel).sum(-1), (covers.sum(3) * pixel).sum(-1)), -1)
    centre = centre / area[..., None]
    radius = (area / math.pi).sqrt()
    shape, overlap = torch.zeros_like(colour), torch.zeros_like(radius)
    shape[there], overlap[there] = _nearest_shape(covers[there], centre[there], radius[there])
    middle = (RADIUS[0][1] + RADIUS[1][0]) / 2
    values = (shape, colour, (radius > middle).long(), place_of(centre))
    shape, colour, size, place = (torch.where(there, x, NOTHING) for x in values)
    return Found(shape, colour, size, place, centre, overlap, covers)


def _nearest_shape(covers: Tensor, centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Which shape overlaps most with each of (M, 32, 32), placed and scaled alike; and how much."""
    overlaps = []
    for index in range(len(SHAPES)):
        ideal = shape_masks(torch.full_like(radius, index).long(), centre, radius, 0 * radius)
        both = torch.minimum(ideal, covers).sum((1, 2))
        overlaps.append(both / (ideal.sum((1, 2)) + covers.sum((1, 2)) - both))
    overlap, shape = torch.stack(overlaps, -1).max(-1)
    return shape, overlap


def _pieces(on: Tensor) -> Tensor:
    """The K largest connected sets of pixels (neighbours share a side): (N, K, 32, 32) bool."""
    n, h, w = on.shape
    number = torch.arange(1, h * w + 1, device=on.device).view(h, w) * on
    while True:  # the largest number of a piece spreads over it
        padded = F.pad(number, (1, 1, 1, 1))
        sides = (
            padded[:, :-2, 1:-1],
            padded[:, 2:, 1:-1],
            padded[:, 1:-1, :-2],
            padded[:, 1:-1, 2:],
        )
        spread = torch.stack((number, *sides)).amax(0) * on
        if torch.equal(spread, number):
            break
        number = spread
    sizes = torch.zeros(n, h * w + 1, dtype=torch.int64, device=on.device)
    sizes.scatter_add_(1, number.flatten(1), torch.ones_like(number.flatten(1)))
    sizes[:, 0] = 0
    pixels, names = sizes.topk(MOST_FOUND, dim=1)
    return (number[:, None] == names[:, :, None, None]) & (pixels >= SPECK)[:, :, None, None]


@dataclass(frozen=True)
class Verdict:
    """What one picture has of what its caption asks.

    Args:
        asked: how many values the caption gives of each of ATTRIBUTES.
        right: how many of these the picture has; of a shape that is not clean, the nearest counts.
        count: whether there are as many objects as asked.
        clean: whether every object is a clean shape.
        relation: whether the relation holds; None if none was asked.
        exchanged: whether two objects have each other's colours; None where that cannot be told.
    """

    asked: tuple[int, int, int, int]
    right: tuple[int, int, int, int]
    count: bool
    clean: bool
    relation: bool | None
    exchanged: bool | None

    @property
    def all_right(self) -> bool:
        """Every object there as asked, and nothing else."""
        return (
            self.asked == self.right and self.count and self.clean and self.relation in (True, None)
        )


def judge_captions(images: Tensor, texts: Sequence[str]) -> list[Verdict]:
    """A verdict for each picture: objects are matched to the caption in the way that suits it best.

    Args:
        images: (N, 3, 32, 32) floats in [-1, 1].
        texts: N captions of the grammar.

    Raises:
        ValueError: a caption is not of the grammar, or there is another number of them.
    """
    if len(images) != len(texts):
        raise ValueError(f"texts must be {len(images)} captions, got {len(texts)}")
    found = find_objects(images)
    values = torch.stack([getattr(found, name) for name in ATTRIBUTES], -1).tolist()
    relation = relation_holds(found.centre[:, :, None], found.centre[:, None]).tolist()
    rows = zip(texts, values, relation, found.overlap.tolist(), strict=True)
    return [_verdict(read_caption(text), *row) for text, *row in rows]


def _verdict(
    asked: Asked, values: list[list[int]], relation: list[list[int]], overlap: list[float]
) -> Verdict:
    """The best of all ways to match what is asked to what is found."""
    n = sum(value[0] != NOTHING for value in values)
    wanted = [tuple(getattr(thing, name) for name in ATTRIBUTES) for thing in asked.objects]
    spare = max(0, len(wanted) - n)
    best: tuple[tuple[int, ...], bool | None] | None = None
    for way in itertools.permutations([*range(n), *[None] * spare], len(wanted)):
        hits = [0, 0, 0, 0]
        for want, k in zip(wanted, way, strict=True):
            for i, value in enumerate(want):
                hits[i] += value is not None and k is not None and values[k][i] == value
        holds = None
        if asked.relation is not None:
            holds = None not in way and relation[way[0]][way[1]] == asked.relation
        score = (tuple(hits), holds)
        if best is None or (sum(hits), bool(holds)) > (sum(best[0]), bool(best[1])):
            best = score
    return Verdict(
        asked=tuple(sum(want[i] is not None for want in wanted) for i in range(4)),
        right=best[0],
        count=n == len(wanted),
        clean=all(o >= CLEAN for o in overlap[:n]),
        relation=best[1],
        exchanged=_exchanged(wanted, values[:n]),
    )


def _exchanged(wanted: list[tuple[int | None, ...]], values: list[list[int]]) -> bool | None:
    """Whether two objects of two shapes and two colours wear each other's."""
    if len(wanted) != 2 or len(values) != 2 or None in (wanted[0][1], wanted[1][1]):
        return None
    (a, b), (c, d) = wanted[0][:2], wanted[1][:2]
    if a == c or b == d:
        return None
    return sorted(value[:2] for value in values) == sorted([[a, d], [c, b]])
