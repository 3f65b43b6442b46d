"""Scenes in words: a small grammar that says them in varied English, and reads itself again.

The words are a closed list; a caption is a row of their numbers (tokens), padded to one length.
`captions_of` writes what is true of a scene, and leaves out some of it; `read_caption` gives what a
caption asks for, so that a picture can be judged by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dmlib.data.scenes import COLOURS, NOTHING, SHAPES, TEXTURES, Scenes, on_cpu

LENGTH = 24  # tokens of a caption, with the start and the padding
PAD, START = 0, 1
PLURALS = ("circles", "squares", "triangles", "crosses")
SIZE_WORDS = (("small", "little"), ("large", "big"))
NUMBERS = ("one", "two", "three")
RELATIONS = ("left of", "right of", "above", "below")
PLACES = (
    "at the top left",
    "at the top",
    "at the top right",
    "on the left",
    "in the middle",
    "on the right",
    "at the bottom left",
    "at the bottom",
    "at the bottom right",
)
WORDS = (
    *("<pad>", "<start>", "a", "and", *NUMBERS, "small", "little", "large", "big"),
    *(*COLOURS, *SHAPES, *PLURALS),
    *("left", "right", "to", "the", "of", "above", "over", "below", "under"),
    *("at", "on", "in", "top", "bottom", "middle", "corner", *TEXTURES, "ground"),
)
CLEAR = 3.0  # pixels by which one direction must win before a caption speaks of it


@dataclass(frozen=True)
class AskedObject:
    """What a caption says of one object: indices as in `Scenes`; None where it says nothing."""

    shape: int
    colour: int | None = None
    size: int | None = None
    place: int | None = None


@dataclass(frozen=True)
class Asked:
    """What a caption asks for.

    Args:
        objects: one entry for each object that there shall be; there shall be no others.
        relation: index in RELATIONS, of the first object to the second, or None.
        texture: of the ground, index in TEXTURES, or None.
    """

    objects: tuple[AskedObject, ...]
    relation: int | None = None
    texture: int | None = None


def captions_of(scenes: Scenes, *, generator: Generator) -> list[str]:
    """A caption for each scene: true, and in words that change from draw to draw.

    Args:
        scenes: N of them.
        generator: chooses the words, on any device.

    Returns:
        N captions of at most LENGTH - 1 words.
    """
    rows = zip(
        scenes.shape.tolist(),
        scenes.colour.tolist(),
        scenes.size.tolist(),
        scenes.place.tolist(),
        scenes.texture.tolist(),
        clear_relation(scenes.centre[:, 0], scenes.centre[:, 1]).tolist(),
        torch.rand(len(scenes), 16, generator=on_cpu(generator)).tolist(),
        strict=True,
    )
    return [_caption(*row) for row in rows]


def relation_holds(first: Tensor, second: Tensor) -> Tensor:
    """Which of RELATIONS holds between centres (..., 2): the direction in which they lie apart.

    Returns:
        (...) int64 in 0..3.
    """
    dx, dy = (second - first).unbind(-1)
    across = torch.where(dx >= 0, 0, 1)
    return torch.where(dx.abs() >= dy.abs(), across, torch.where(dy >= 0, 2, 3))


def clear_relation(first: Tensor, second: Tensor) -> Tensor:
    """`relation_holds` where it is clear, NOTHING where they lie nearly on a diagonal."""
    dx, dy = (second - first).abs().unbind(-1)
    return torch.where((dx - dy).abs() >= CLEAR, relation_holds(first, second), NOTHING)


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters; commas and full stops are left out."""
    return re.sub(r"[,.!]", " ", text.lower()).split()


def unknown_words(text: str) -> list[str]:
    """The words of a text that the grammar has not."""
    return [word for word in words_of(text) if word not in _NUMBER or word.startswith("<")]


def tokenize(texts: Sequence[str]) -> Tensor:
    """Captions as numbers: START, the words, then PAD up to LENGTH. The empty caption is START.

    Args:
        texts: N captions.

    Returns:
        (N, LENGTH) int64, indices in WORDS.

    Raises:
        ValueError: a word is unknown, or a caption too long.
    """
    tokens = torch.full((len(texts), LENGTH), PAD, dtype=torch.int64)
    for row, text in zip(tokens, texts, strict=True):
        if strange := unknown_words(text):
            raise ValueError(f"texts must be made of the words in WORDS, got {strange[0]!r}")
        numbers = [START, *(_NUMBER[word] for word in words_of(text))]
        if len(numbers) > LENGTH:
            raise ValueError(f"texts must have at most {LENGTH - 1} words, got {len(numbers) - 1}")
        row[: len(numbers)] = torch.tensor(numbers)
    return tokens


def read_caption(text: str) -> Asked:
    """What a caption asks for.

    Args:
        text: of the grammar, such as "a small red circle left of a blue square".

    Raises:
        ValueError: it is not of the grammar; the message quotes the place.
    """
    text = " ".join(words_of(text))
    objects: list[AskedObject] = []
    relation, at = None, 0
    while True:
        found = _OBJECT.match(text, at)
        if not found:
            raise ValueError(f"text must name an object, such as 'a red circle', at {text[at:]!r}")
        objects += _objects(found)
        link = _LINK.match(text, found.end())
        if not link:
            break
        if relation is not None or (not link["and"] and len(objects) > 1):
            raise ValueError(f"text must relate one object to one other, got {text!r}")
        if not link["and"]:
            relation = _RELATION[link["side"] or link["height"]]
        at = link.end()
    if relation is not None and len(objects) != 2:
        raise ValueError(f"text must relate one object to one other, got {text!r}")
    ground = _GROUND.fullmatch(text, found.end())
    if not ground:
        raise ValueError(f"text must be of the grammar, got {text[found.end() :].strip()!r}")
    texture = ground["texture"]
    return Asked(tuple(objects), relation, None if texture is None else TEXTURES.index(texture))


_NUMBER = {word: number for number, word in enumerate(WORDS)}
_SIZE = {word: i for i, words in enumerate(SIZE_WORDS) for word in words}
_SHAPE = {word: i for words in (SHAPES, PLURALS) for i, word in enumerate(words)}
_COUNT = {None: 1, "a": 1, **{word: i + 1 for i, word in enumerate(NUMBERS)}}
_RELATION = {"left": 0, "right": 1, "above": 2, "over": 2, "below": 3, "under": 3}
_OBJECT = re.compile(
    r"(?:(?P<count>a|one|two|three) )?"
    rf"(?:(?P<size>{'|'.join(_SIZE)}) )?(?:(?P<colour>{'|'.join(COLOURS)}) )?"
    rf"(?P<shape>{'|'.join(sorted(_SHAPE, key=len, reverse=True))})\b"
    r"(?: (?P<place>(?:at the (?:top|bottom)(?: left| right)?"
    r"|in the (?:top|bottom) (?:left|right) corner|on the left|on the right|in the middle)\b))?"
)
_LINK = re.compile(
    r" (?:(?P<and>and)|(?:to the )?(?P<side>left|right) of|(?P<height>above|over|below|under)) "
)
_GROUND = re.compile(rf"(?: on a (?P<texture>{'|'.join(TEXTURES)}) ground)?")


def _objects(found: re.Match[str]) -> list[AskedObject]:
    place = found["place"]
    if place is not None:
        place = PLACES.index(re.sub(r"^in the (.*) corner$", r"at the \1", place))
    colour, size = found["colour"], found["size"]
    asked = AskedObject(
        _SHAPE[found["shape"]],
        None if colour is None else COLOURS.index(colour),
        None if size is None else _SIZE[size],
        place,
    )
    return [asked] * _COUNT[found["count"]]


def _caption(
    shape: list[int],
    colour: list[int],
    size: list[int],
    place: list[int],
    texture: int,
    relation: int,
    u: list[float],
) -> str:
    """One caption; `u` are 16 uniform numbers that choose its words."""
    n = sum(s != NOTHING for s in shape)
    ground = f" on a {TEXTURES[texture]} ground" if u[0] < 0.3 else ""
    pairs = set(zip(shape[:n], colour[:n], strict=True))
    if n > 1 and len(pairs) == 1 and u[1] < 0.7:
        same_size = len(set(size[:n])) == 1 and u[2] < 0.5
        words = _kind(size[0] if same_size else None, colour[0], PLURALS[shape[0]], u[3])
        return f"{NUMBERS[n - 1]} {words}{ground}"
    things = []
    for k in range(n):
        of_size, of_colour, choice, where = u[4 + 3 * k], u[5 + 3 * k], u[6 + 3 * k], u[13 + k]
        words = _kind(
            size[k] if of_size < 0.6 else None,
            colour[k] if of_colour < 0.92 else None,
            SHAPES[shape[k]],
            choice,
        )
        things.append((f"{'one' if choice > 0.95 else 'a'} {words}", place[k], where))
    if n == 2 and relation != NOTHING and u[1] < 0.65:
        return f"{things[0][0]} {_relation(relation, u[2])} {things[1][0]}{ground}"
    often = (0.6, 0.25, 0.0)[n - 1]
    return (
        " and ".join(w + (_place(p, x / often) if x < often else "") for w, p, x in things) + ground
    )


def _kind(size: int | None, colour: int | None, shape: str, u: float) -> str:
    words = [] if size is None else [SIZE_WORDS[size][u % 0.5 > 0.35]]
    return " ".join([*words, *([] if colour is None else [COLOURS[colour]]), shape])


def _relation(relation: int, u: float) -> str:
    if relation < 2:
        return ("to the " if u < 0.4 else "") + RELATIONS[relation]
    return (("above", "below"), ("over", "under"))[u < 0.3][relation - 2]


def _place(place: int, u: float) -> str:
    words = PLACES[place]
    if u < 0.3 and words.startswith("at the ") and len(words.split()) == 4:
        return f" in {words[3:]} corner"
    return f" {words}"
