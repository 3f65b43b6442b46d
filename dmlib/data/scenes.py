"""Scenes that we draw ourselves: coloured shapes on a dark ground, with all that is true of them.

Every scene is drawn anew from a `torch.Generator`: one to three objects, each with a shape, a
colour, a size and a place, jittered and anti-aliased, never touching. Masks and attributes are
known by construction, and `dmlib.data.captions` puts them into words.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from dmlib._validate import check_int

SIZE = 32  # height and width of a picture
SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped", "checked")
MOST = 3  # objects in one scene
NOTHING = -1  # the attribute of an object that is not there

PALETTE = (
    (0.90, 0.18, 0.18),
    (0.18, 0.75, 0.28),
    (0.22, 0.40, 0.95),
    (0.95, 0.85, 0.18),
    (0.76, 0.24, 0.82),
    (0.95, 0.95, 0.95),
)
# (shape, colour), by index: red crosses, green triangles, yellow circles and purple squares are
# kept from the network that is trained on scenes, which sees each shape and colour in other pairs.
HELD_OUT = ((3, 0), (2, 1), (0, 3), (1, 4))

RADIUS = ((3.0, 3.4), (4.8, 5.5))  # of the disc with the same area; small and large
EXTENT = (  # (half width, up, down) of a shape whose area is that of a disc of radius 1
    (1.0, 1.0, 1.0),
    (0.886, 0.886, 0.886),
    (1.347, 1.555, 0.778),
    (1.189, 1.189, 1.189),
)
GRID = (8.0, 16.0, 24.0)  # where centres lie, give or take
JITTER, GAP, TILT = 2.2, 2.0, 0.1  # pixels, pixels, radians


@dataclass(frozen=True)
class Scenes:
    """N scenes and all that is true of them; K = 3 places for objects, the last ones empty.

    Args:
        images: (N, 3, 32, 32) float32 in [-1, 1].
        masks: (N, K, 32, 32) float32 in [0, 1], the share of each pixel that an object covers.
        shape: (N, K) int64, index in SHAPES; NOTHING where there is no object.
        colour: (N, K) int64, index in COLOURS.
        size: (N, K) int64, index in SIZES.
        place: (N, K) int64, 3 row + column of a 3 x 3 grid.
        centre: (N, K, 2) float32, (x, y) of the centroids in pixels, y downwards.
        texture: (N,) int64, of the ground, index in TEXTURES.
    """

    images: Tensor
    masks: Tensor
    shape: Tensor
    colour: Tensor
    size: Tensor
    place: Tensor
    centre: Tensor
    texture: Tensor

    @property
    def count(self) -> Tensor:
        """How many objects there are, (N,) int64 in 1..3."""
        return (self.shape != NOTHING).sum(1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: slice | Tensor) -> Scenes:
        """Some of the scenes, by a slice or an index tensor."""
        return Scenes(**{field.name: getattr(self, field.name)[which] for field in fields(self)})


def draw_scenes(
    n: int,
    *,
    generator: Generator,
    counts: tuple[float, float, float] = (0.45, 0.45, 0.1),
    alike: float = 0.2,
    pairs: Tensor | None = None,
) -> Scenes:
    """Draw n scenes; of three objects at most one is large, or they would not fit.

    Args:
        n: number of scenes, >= 1.
        generator: where all randomness comes from, on any device.
        counts: how often a scene has 1, 2 and 3 objects, >= 0, in any unit.
        alike: how often several objects are of one kind (shape, colour and size), in [0, 1].
        pairs: (4, 6) bool, which shapes come in which colours; all where None.
            `seen_pairs()` leaves out HELD_OUT.

    Returns:
        Scenes on the CPU.

    Raises:
        ValueError: an argument is out of its range.
    """
    n = check_int("n", n, low=1)
    if not isinstance(generator, Generator):
        raise ValueError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    if len(counts) != MOST or min(counts) < 0 or not sum(counts) > 0 or not 0 <= alike <= 1:
        raise ValueError(f"counts must be three shares and alike in [0, 1], got {counts}, {alike}")
    pairs = torch.ones(len(SHAPES), len(COLOURS)) if pairs is None else pairs
    if tuple(pairs.shape) != (len(SHAPES), len(COLOURS)) or not bool(pairs.any()):
        raise ValueError(f"pairs must be (4, 6) bool with a True, got {tuple(pairs.shape)}")
    generator = on_cpu(generator)
    shape, colour, size = _kinds(n, generator, torch.tensor(counts), alike, pairs)
    low, high = torch.tensor(RADIUS)[size.clamp(min=0)].unbind(-1)
    radius = low + (high - low) * torch.rand(n, MOST, generator=generator)
    centre, place = _places(shape, radius, generator)
    tilt = (2 * torch.rand(n, MOST, generator=generator) - 1) * TILT
    masks = shape_masks(shape, centre, radius, tilt)
    texture = torch.randint(len(TEXTURES), (n,), generator=generator)
    ground = _grounds(texture, generator)
    paint = torch.tensor(PALETTE)[colour.clamp(min=0)]
    paint = paint + 0.05 * (2 * torch.rand(n, MOST, 3, generator=generator) - 1)
    images = ground * (1 - masks.sum(1, keepdim=True)) + torch.einsum(
        "nkhw,nkc->nchw", masks, paint
    )
    return Scenes(2 * images.clamp(0, 1) - 1, masks, shape, colour, size, place, centre, texture)


def on_cpu(generator: Generator) -> Generator:
    """A generator on the CPU whose seed is the next number of this one, on any device."""
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return Generator().manual_seed(int(seed))


def seen_pairs() -> Tensor:
    """(4, 6) bool: the pairs of shape and colour that are not in HELD_OUT."""
    pairs = torch.ones(len(SHAPES), len(COLOURS), dtype=torch.bool)
    for shape, colour in HELD_OUT:
        pairs[shape, colour] = False
    return pairs


def shape_masks(shape: Tensor, centre: Tensor, radius: Tensor, tilt: Tensor) -> Tensor:
    """How much of each pixel a shape covers, to first order: 1/2 - its distance from the outline.

    Args:
        shape: (...) int64, index in SHAPES; an empty mask where it is NOTHING.
        centre: (..., 2), the centroid (x, y) in pixels.
        radius: (...), of the disc with the same area, in pixels.
        tilt: (...), in radians.

    Returns:
        (..., 32, 32) in [0, 1].
    """
    flat = shape.flatten()
    out = radius.new_zeros(len(flat), SIZE, SIZE)
    pixel = torch.arange(SIZE, dtype=radius.dtype, device=radius.device) + 0.5
    for index, distance in enumerate((_circle, _square, _triangle, _cross)):
        of = (flat == index).nonzero()[:, 0]
        x0, y0 = centre.reshape(-1, 2)[of].T[:, :, None, None]  # each (M, 1, 1)
        r, angle = radius.flatten()[of][:, None, None], tilt.flatten()[of][:, None, None]
        dx, dy = pixel[None, None, :] - x0, pixel[None, :, None] - y0
        x = angle.cos() * dx + angle.sin() * dy
        y = angle.cos() * dy - angle.sin() * dx
        out[of] = (0.5 - distance(x, y, r)).clamp(0, 1)
    return out.reshape(*shape.shape, SIZE, SIZE)


def place_of(centre: Tensor) -> Tensor:
    """The cell of a 3 x 3 grid, 3 row + column, that a centre (..., 2) lies in: (...) int64."""
    between = torch.tensor([(a + b) / 2 for a, b in itertools.pairwise(GRID)])
    column, row = torch.bucketize(centre.contiguous(), between.to(centre)).unbind(-1)
    return 3 * row + column


def _circle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return (x * x + y * y).sqrt() - r


def _square(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - math.sqrt(math.pi) / 2 * r


def _triangle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    inner = math.sqrt(math.pi / (3 * math.sqrt(3))) * r  # of the circle within
    return torch.maximum(y, math.sqrt(0.75) * x.abs() - y / 2) - inner


def _cross(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    arm = math.sqrt(math.pi / 5) * r  # five squares of this side
    x, y = x.abs(), y.abs()
    flat = torch.maximum(x - 1.5 * arm, y - 0.5 * arm)
    return torch.minimum(flat, torch.maximum(x - 0.5 * arm, y - 1.5 * arm))


def _kinds(
    n: int, generator: Generator, counts: Tensor, alike: float, pairs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Shape, colour and size of the objects, each (n, K); NOTHING beyond the count."""
    count = 1 + torch.multinomial(counts.float(), n, replacement=True, generator=generator)
    pair = torch.multinomial(
        pairs.flatten().float(), n * MOST, replacement=True, generator=generator
    ).view(n, MOST)
    size = torch.randint(2, (n, MOST), generator=generator)
    same = torch.rand(n, 1, generator=generator) < alike
    pair, size = (torch.where(same, x[:, :1], x) for x in (pair, size))
    crowded = (count == MOST)[:, None]
    size = torch.where(crowded & (same | (size.cumsum(1) > 1)), 0, size)
    there = torch.arange(MOST) < count[:, None]
    shape, colour = pair // len(COLOURS), pair % len(COLOURS)
    return tuple(torch.where(there, x, NOTHING) for x in (shape, colour, size))


def _places(shape: Tensor, radius: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Centres (n, K, 2) whose bounding boxes lie apart and inside, and their cells (n, K)."""
    half, up, down = (torch.tensor(EXTENT)[shape] * radius[..., None]).unbind(-1)
    half, up, down = (x * (1 + TILT / 2) + TILT for x in (half, up, down))
    there = shape != NOTHING
    centre = torch.zeros(*shape.shape, 2)
    left = torch.arange(len(shape))
    while len(left):
        drawn = torch.tensor(GRID)[torch.randint(3, (len(left), MOST, 2), generator=generator)]
        drawn = drawn + JITTER * (2 * torch.rand(len(left), MOST, 2, generator=generator) - 1)
        h, u, d = half[left], up[left], down[left]
        x = torch.maximum(torch.minimum(drawn[..., 0], SIZE - 0.5 - h), h + 0.5)
        y = torch.maximum(torch.minimum(drawn[..., 1], SIZE - 0.5 - d), u + 0.5)
        clear = torch.ones(len(left), dtype=torch.bool)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            beside = (x[:, a] - x[:, b]).abs() > h[:, a] + h[:, b] + GAP
            below = y[:, b] - y[:, a] > d[:, a] + u[:, b] + GAP
            above = y[:, a] - y[:, b] > d[:, b] + u[:, a] + GAP
            clear &= beside | below | above | ~there[left, b]
        centre[left[clear]] = torch.stack((x, y), -1)[clear]
        left = left[~clear]
    return centre, torch.where(there, place_of(centre), NOTHING)


def _grounds(texture: Tensor, generator: Generator) -> Tensor:
    """Dark grey, a little tinted, plain or with a faint pattern: (n, 3, 32, 32) in [0, 1]."""
    n = len(texture)
    u = torch.rand(n, 8, generator=generator)[:, :, None, None]
    base = 0.14 + 0.14 * u[:, :1] + 0.05 * (u[:, 1:4] - 0.5)  # (n, 3, 1, 1)
    angle, wave = math.pi * u[:, 4], 2 * math.pi / (4.5 + 2.5 * u[:, 5])
    pixel = torch.arange(SIZE) + 0.5
    dx, dy = pixel[None, None, :], pixel[None, :, None]
    along = (wave * (angle.cos() * dx + angle.sin() * dy) + 6.3 * u[:, 6]).sin()
    across = (wave * (angle.cos() * dy - angle.sin() * dx) + 6.3 * u[:, 7]).sin()
    kind = texture[:, None, None]
    pattern = torch.where(kind == 1, along, (kind == 2) * along * across)
    return base + 0.07 * pattern[:, None]
