"""Laws of the scenes: what is said of a picture is true of it, and it is drawn as it is said."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from dmlib.data import captions_of, draw_scenes, read_caption, seen_pairs, tokenize
from dmlib.data.captions import (
    LENGTH,
    PAD,
    PLACES,
    RELATIONS,
    START,
    WORDS,
    AskedObject,
    relation_holds,
    unknown_words,
)
from dmlib.data.scenes import (
    COLOURS,
    HELD_OUT,
    NOTHING,
    PALETTE,
    RADIUS,
    SHAPES,
    place_of,
    shape_masks,
)

N = 600


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(N, generator=seeded(), counts=(1, 1, 1))


def test_pictures_are_ground_and_objects_that_never_touch(scenes):
    assert scenes.images.shape == (N, 3, 32, 32)
    assert float(scenes.images.abs().max()) <= 1
    covered = (scenes.masks > 0).sum(1)
    assert int(covered.max()) == 1
    edge = scenes.masks.sum(1)
    assert float(edge[:, [0, -1]].max()) < 0.5  # nothing is cut off
    assert float(edge[:, :, [0, -1]].max()) < 0.5


def test_pixels_of_an_object_have_its_colour_and_the_ground_is_dark(scenes):
    picture = (scenes.images + 1) / 2
    for k in range(3):
        inside = scenes.masks[:, k] == 1
        which = inside.nonzero()[:, 0]
        colour = picture.permute(0, 2, 3, 1)[inside]
        expected = torch.tensor(PALETTE)[scenes.colour[:, k]][which]
        assert float((colour - expected).abs().max()) < 0.051
    ground = picture.permute(0, 2, 3, 1)[scenes.masks.sum(1) == 0]
    assert float(ground.max()) < 0.4


def test_places_sizes_and_counts_are_those_of_the_masks(scenes):
    pixel = torch.arange(32) + 0.5
    mass = scenes.masks.sum((2, 3))
    there = scenes.shape != NOTHING
    assert torch.equal(mass > 0, there)
    assert torch.equal(scenes.count, there.sum(1))
    x = (scenes.masks.sum(2) * pixel).sum(-1)[there] / mass[there]
    y = (scenes.masks.sum(3) * pixel).sum(-1)[there] / mass[there]
    assert_close(torch.stack((x, y), -1), scenes.centre[there], rtol=0, atol=0.15)
    assert torch.equal(place_of(scenes.centre)[there], scenes.place[there])
    middle = math.pi * (RADIUS[0][1] + RADIUS[1][0]) ** 2 / 4
    assert torch.equal((mass > middle)[there].long(), scenes.size[there])
    assert int((scenes.size[scenes.count == 3] == 1).sum(1).max()) == 1


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_shape_has_the_area_of_its_disc_and_is_where_it_should_be(shape):
    """The masks' first-order edges against counting, on a grid 40 times as fine."""
    centre, tilt = torch.tensor([15.3, 16.9]).double(), torch.tensor(0.07).double()
    mask = shape_masks(torch.tensor(shape), centre, torch.tensor(5.0).double(), tilt)
    assert_close(float(mask.sum()), math.pi * 25, rtol=0.01, atol=0)
    fine = (torch.arange(32 * 40).double() + 0.5) / 40
    dx, dy = fine[None, :] - centre[0], fine[:, None] - centre[1]
    x, y = tilt.cos() * dx + tilt.sin() * dy, tilt.cos() * dy - tilt.sin() * dx
    side = math.sqrt(math.pi) * 5  # of the square; the triangle's and the arm's follow from areas
    edge = side / math.sqrt(math.sqrt(3) / 4)
    arm = side / math.sqrt(5)
    inside = (
        x**2 + y**2 < 25,
        (x.abs() < side / 2) & (y.abs() < side / 2),
        (y < edge / math.sqrt(12)) & (math.sqrt(3) * x.abs() < y + edge / math.sqrt(3)),
        ((x.abs() < 1.5 * arm) & (y.abs() < arm / 2))
        | ((y.abs() < 1.5 * arm) & (x.abs() < arm / 2)),
    )[shape]
    counted = inside.double().view(32, 40, 32, 40).mean((1, 3))
    assert float((counted - mask).abs().max()) < 0.25
    assert float((counted - mask).abs().mean()) < 0.004


def test_every_attribute_and_place_occurs_evenly():
    scenes = draw_scenes(6000, generator=seeded(1), counts=(1, 0, 0))
    for values, n in ((scenes.shape, 4), (scenes.colour, 6), (scenes.size, 2), (scenes.place, 9)):
        share = torch.bincount(values[:, 0], minlength=n) / 6000
        error = math.sqrt((1 - 1 / n) / n / 6000)
        assert float((share - 1 / n).abs().max()) < 5 * error


def test_held_out_pairs_are_never_drawn_and_their_parts_are():
    scenes = draw_scenes(2000, generator=seeded(2), pairs=seen_pairs())
    pair = set(zip(scenes.shape.flatten().tolist(), scenes.colour.flatten().tolist(), strict=True))
    assert not pair & set(HELD_OUT)
    assert len(pair - {(NOTHING, NOTHING)}) == len(SHAPES) * len(COLOURS) - len(HELD_OUT)


def test_the_generator_alone_decides():
    first, torch_state = draw_scenes(5, generator=seeded(3)), torch.manual_seed(1)
    again = draw_scenes(5, generator=seeded(3))
    assert torch_state is not None
    assert torch.equal(first.images, again.images)
    assert captions_of(first, generator=seeded(4)) == captions_of(again, generator=seeded(4))
    assert not torch.equal(first.images, draw_scenes(5, generator=seeded(4)).images)
    other = captions_of(first, generator=seeded(5))
    assert other != captions_of(first, generator=seeded(4))


def test_captions_say_what_is_true_and_are_read_as_they_were_meant(scenes):
    said = set()
    for i, text in enumerate(captions_of(scenes, generator=seeded(6))):
        asked = read_caption(text)
        assert len(asked.objects) == int(scenes.count[i])
        for k, thing in enumerate(asked.objects):
            for name in ("shape", "colour", "size", "place"):
                value = getattr(thing, name)
                said |= {name} if value is not None else set()
                assert value in (None, int(getattr(scenes, name)[i, k])), text
        assert asked.texture in (None, int(scenes.texture[i]))
        if asked.relation is not None:
            said |= {"relation"}
            a, b = scenes.centre[i, :2]
            assert int(relation_holds(a, b)) == asked.relation, text
            dx, dy = (b - a).tolist()
            assert {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[
                RELATIONS[asked.relation]
            ] > 2
    assert said == {"shape", "colour", "size", "place", "relation"}


def test_captions_vary_and_use_every_word():
    scenes = draw_scenes(3000, generator=seeded(7))
    texts = captions_of(scenes, generator=seeded(7))
    assert len(set(texts)) > 2000
    assert set(WORDS[2:]) == {word for text in texts for word in text.split()}


def test_tokens_are_the_words_between_start_and_padding():
    texts = ["", "a red circle", "Two blue squares, on a plain ground."]
    tokens = tokenize(texts)
    assert tokens.shape == (3, LENGTH)
    assert tokens[0].tolist() == [START] + [PAD] * (LENGTH - 1)
    for row, text in zip(tokens.tolist(), texts, strict=True):
        words = [WORDS[number] for number in row if number > START]
        assert words == text.lower().replace(",", "").replace(".", "").split()


def test_unknown_words_are_named():
    assert unknown_words("a red dog left of <pad>") == ["dog", "<pad>"]
    with pytest.raises(ValueError, match=r"^texts must .*'dog'"):
        tokenize(["a red dog"])
    with pytest.raises(ValueError, match=r"^texts must have at most 23 words, got 24"):
        tokenize(["a " * 24])


@pytest.mark.parametrize(
    "text", ["", "red", "a red", "circle red", "a circle left of", "a circle and", "a circle on a",
             "two circles left of a square", "a circle above a cross and a square"]
)  # fmt: skip
def test_what_is_no_caption_is_refused(text):
    with pytest.raises(ValueError, match=r"^text must"):
        read_caption(text)


def test_a_caption_is_read_as_english_means_it():
    asked = read_caption("two little white crosses and a circle in the top left corner")
    cross = AskedObject(SHAPES.index("cross"), COLOURS.index("white"), 0)
    assert asked.objects == (cross, cross, AskedObject(0, place=PLACES.index("at the top left")))
    under = read_caption("a circle under a big square on a striped ground")
    assert (RELATIONS[under.relation], under.texture) == ("below", 1)


@pytest.mark.parametrize("n", [0, -1, 1.5, True])
def test_a_wrong_n_is_refused(n):
    with pytest.raises(ValueError, match=r"^n must"):
        draw_scenes(n, generator=seeded())


def test_other_bad_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match=r"^generator must"):
        draw_scenes(1, generator=0)
    with pytest.raises(ValueError, match=r"^counts must"):
        draw_scenes(1, generator=seeded(), counts=(0, 0, 0))
    with pytest.raises(ValueError, match=r"^pairs must"):
        draw_scenes(1, generator=seeded(), pairs=torch.zeros(4, 6))
