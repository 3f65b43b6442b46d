"""Laws of the judge of scenes: right on what is known, and it sees every kind of fault."""

from __future__ import annotations

import pytest
import torch

from dmlib.data import captions_of, draw_scenes
from dmlib.data.scenes import NOTHING
from dmlib.metrics.scenes import ATTRIBUTES, find_objects, judge_captions


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(500, generator=seeded(), counts=(1, 1, 1))


def test_it_finds_what_was_drawn(scenes):
    found = find_objects(scenes.images)
    assert torch.equal((found.shape != NOTHING).sum(1), scenes.count)
    off = torch.cdist(scenes.centre, found.centre)
    off = off.masked_fill((found.shape == NOTHING)[:, None], torch.inf)
    nearest = off.argmin(2)  # (N, K): which piece each object is
    there = scenes.shape != NOTHING
    assert float(off.amin(2)[there].max()) < 0.6
    for name in ATTRIBUTES:
        read = getattr(found, name).gather(1, nearest)
        right = (read == getattr(scenes, name))[there].double().mean()
        assert float(right) >= 0.99, name


def test_true_captions_are_judged_right_and_wrong_ones_wrong(scenes):
    texts = captions_of(scenes, generator=seeded(1))
    verdicts = judge_captions(scenes.images, texts)
    assert sum(v.all_right for v in verdicts) >= 0.99 * len(verdicts)
    others = judge_captions(scenes.images.roll(1, 0), texts)
    assert sum(v.all_right for v in others) <= 0.05 * len(others)


@pytest.mark.parametrize(
    ("text", "wrong", "what"),
    [
        ("red", "blue", "colour"),
        ("circle", "triangle", "shape"),
        ("small", "large", "size"),
        ("at the top left", "on the right", "place"),
    ],
)
def test_one_wrong_value_is_counted_as_one(scenes, text, wrong, what):
    texts = captions_of(scenes, generator=seeded(2))
    some = [i for i, t in enumerate(texts) if t.count(text) == 1 and "s " not in f"{t} "][:30]
    assert len(some) >= 3
    images = scenes.images[torch.tensor(some)]
    right = judge_captions(images, [texts[i] for i in some])
    verdicts = judge_captions(images, [texts[i].replace(text, wrong) for i in some])
    at = ATTRIBUTES.index(what)
    assert all(v.all_right for v in right)
    for before, after in zip(right, verdicts, strict=True):
        assert not after.all_right
        assert sum(after.asked) - sum(after.right) >= 1
        assert after.right[at] <= before.right[at]


def red_circle_left_of_blue_square() -> torch.Tensor:
    """The picture of such a scene."""
    for seed in range(40):
        drawn = draw_scenes(2000, generator=seeded(seed), counts=(0, 1, 0), alike=0.0)
        fits = (drawn.shape[:, :2] == torch.tensor([0, 1])).all(1)
        fits &= (drawn.colour[:, :2] == torch.tensor([0, 2])).all(1)
        fits &= (drawn.centre[:, 1, 0] - drawn.centre[:, 0, 0]) > 12
        if fits.any():
            return drawn[fits.nonzero()[:1, 0]].images
    raise AssertionError("no such scene")


def test_relation_number_and_exchanged_colours_are_seen():
    image = red_circle_left_of_blue_square()
    said = {
        "a red circle left of a blue square": (True, True, False),
        "a blue square right of a red circle": (True, True, False),
        "a red circle right of a blue square": (False, False, False),
        "a blue circle left of a red square": (False, True, True),
    }
    for text, (good, relation, exchanged) in said.items():
        (verdict,) = judge_captions(image, [text])
        assert verdict.all_right == good, text
        assert verdict.exchanged == exchanged, text
        if not exchanged:
            assert verdict.relation == relation, text
    (verdict,) = judge_captions(image, ["a red circle"])
    assert (verdict.count, verdict.all_right, verdict.right) == (False, False, verdict.asked)
    (verdict,) = judge_captions(image, ["a red circle and a blue square and a green cross"])
    assert not verdict.count
    assert sum(verdict.asked) - sum(verdict.right) == 2


def test_smeared_objects_are_not_clean_and_an_empty_ground_has_none(scenes):
    blurred = torch.nn.functional.avg_pool2d(scenes.images, 7, stride=1, padding=3)
    texts = captions_of(scenes, generator=seeded(3))
    assert sum(v.all_right for v in judge_captions(blurred, texts)) < 0.1 * len(texts)
    empty = find_objects(torch.full((2, 3, 32, 32), -0.6))
    assert not (empty.shape != NOTHING).any()


def test_noise_that_one_hardly_sees_changes_nothing(scenes):
    texts = captions_of(scenes, generator=seeded(4))
    noisy = scenes.images + 0.04 * torch.randn(scenes.images.shape, generator=seeded(5))
    assert sum(v.all_right for v in judge_captions(noisy, texts)) >= 0.98 * len(texts)


def test_bad_arguments_are_refused_by_name(scenes):
    with pytest.raises(ValueError, match=r"^images must have shape"):
        find_objects(torch.zeros(2, 1, 28, 28))
    with pytest.raises(ValueError, match=r"^texts must be 2 captions, got 1"):
        judge_captions(scenes.images[:2], ["a circle"])
