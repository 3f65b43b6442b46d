"""What the chapter on words and pictures shows of its recorded measurements."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dmlib.applications.text_to_image import word_maps
from dmlib.assets import ASSETS
from dmlib.data import tokenize
from dmlib.data.captions import words_of
from dmlib.guidance import guided
from dmlib.models import NetDenoiser
from dmlib.sampling import clipped, sample
from dmlib.steps import ddim

KINDS = ("two of a kind", "three of a kind", "relation", "binding")


def wrong_pictures(each: int = 3) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The first pictures of each kind that the judge called wrong.

    Args:
        each: how many of a kind, at most 4.

    Returns:
        Pictures (32, 32, 3), and their captions, broken into lines.
    """
    pictures, texts = [], []
    with np.load(ASSETS / "words_run.npz", allow_pickle=False) as run:
        for kind in KINDS:
            pictures += list(run[f"wrong, {kind}, images"][:each].transpose(0, 2, 3, 1))
            texts += [textwrap.fill(str(t), 18) for t in run[f"wrong, {kind}, texts"][:each]]
    return pictures, texts


RECORDED = (
    "a small red circle",
    "a large blue triangle on the right",
    "a red square left of a blue circle",
    "a small white cross above a large yellow square",
    "three small purple circles",
)
SCALES = (1, 2, 4)
STEPS, MOMENTS = 20, (0, 4, 9, 20)  # of the walk; those that are shown
BLOCK = "middle.reading"  # whose word maps are shown: it looks for colours and for shapes
COLOURS = 16  # of a recorded moment


@dataclass(frozen=True, eq=False)
class Walk:
    """Four pictures of one caption on their way, and where their pixels look.

    Args:
        t: (M,) the moments' steps, falling to 0.
        x0_hat: (M, 4, 3, 32, 32) uint8, the network's guesses; the pictures at t = 0.
        maps: (M, 4, N, 8, 8) uint8 0..15, of the caption's N words, each on its own scale.
    """

    t: tuple[int, ...]
    x0_hat: NDArray[np.uint8]
    maps: NDArray[np.uint8]


@torch.no_grad()
def walk_of(
    net: NetDenoiser, text: str, *, scale: float = 2.0, negative: str = "", seed: int = 1
) -> Walk:
    """Walk four noises to pictures of a caption, by 20 steps of DDIM.

    Args:
        net: as `load_words` gives it.
        text: a caption of known words.
        scale: of the guidance.
        negative: a caption to go away from; none where "".
        seed: of the noise.

    Raises:
        ValueError: a word is unknown.
    """
    tokens = tokenize([text] * 4)
    against = tokenize([negative]) if negative.strip() else None
    heard = clipped(guided(net, tokens, guidance_scale=scale, against=against))
    xT = torch.randn(4, *net.config.shape, generator=torch.Generator().manual_seed(seed))
    walk = list(sample(heard, xT, step=ddim(), times=STEPS))
    t, guesses, maps = [], [], []
    for moment in MOMENTS:
        seen, looking = walk[moment], walk[min(moment, STEPS - 1)]
        found = word_maps(net.net, looking.xt, looking.t, tokens)[BLOCK]
        maps.append(_own_scale(found[:, 1 : 1 + len(words_of(text))]))
        guesses.append(seen.x0_hat if seen.t else seen.xt)
        t.append(seen.t)
    levels = ((torch.stack(guesses).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Walk(tuple(t), levels.numpy(), torch.stack(maps).numpy())


def _own_scale(maps: Tensor) -> Tensor:
    """(B, N, h, w) as 0..15, from the smallest to the largest value of each map."""
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return ((maps - low) / (high - low).clamp(min=1e-12) * 15).round().to(torch.uint8)


def record(net: NetDenoiser) -> dict[str, NDArray[np.uint8]]:
    """The walks of RECORDED at SCALES, packed small: 16 colours a moment, two values a byte."""
    packed: dict[str, NDArray[np.uint8]] = {}
    for i, text in enumerate(RECORDED):
        for scale in SCALES:
            walk = walk_of(net, text, scale=scale)
            sheets = [_few_colours(guess) for guess in walk.x0_hat]
            palette, pixels = (np.concatenate(part) for part in zip(*sheets, strict=True))
            packed[f"walk {i} {scale}, palette"] = palette
            packed[f"walk {i} {scale}, pixels"] = _halved(pixels)
            packed[f"walk {i} {scale}, maps"] = _halved(walk.maps)
    return packed


def _few_colours(guess: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures (4, 3, 32, 32) as a palette (48,) and an index in it for each pixel."""
    sheet = Image.fromarray(guess.transpose(0, 2, 3, 1).reshape(-1, 32, 3))
    sheet = sheet.quantize(COLOURS, dither=Image.Dither.NONE, kmeans=2)
    palette = np.array(sheet.getpalette()[: 3 * COLOURS], np.uint8)
    return np.pad(palette, (0, 3 * COLOURS - len(palette))), np.asarray(sheet)


def _halved(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    flat = values.reshape(-1, 2)
    return (flat[:, 0] << 4) | flat[:, 1]


def recorded(i: int, scale: int) -> tuple[NDArray[np.uint8], ...]:
    """Palettes (4 x 48,), pixels and maps of a recorded walk, as `record` packed them."""
    with np.load(ASSETS / "words_run.npz", allow_pickle=False) as run:
        return tuple(run[f"walk {i} {scale}, {part}"] for part in ("palette", "pixels", "maps"))
