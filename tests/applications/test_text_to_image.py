"""Laws of pictures from words: the shipped network does what it is told, and is told all of it."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from dmlib.applications.text_to_image import say, word_maps
from dmlib.assets import ASSETS
from dmlib.book.said import wrong_pictures
from dmlib.checkpoint import CheckpointError, load_shipped, load_words
from dmlib.data import captions_of, draw_scenes, seen_pairs, tokenize
from dmlib.data.scenes import COLOURS, HELD_OUT, SHAPES
from dmlib.metrics.scenes import judge_captions


@pytest.fixture(scope="module")
def shipped():
    return load_words()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_card_says_how_it_was_made_and_what_it_can(shipped):
    net, card = shipped
    assert card["parameters"] == sum(p.numel() for p in net.parameters()) < 1_000_000
    assert [tuple(pair) for pair in card["held_out"]] == [
        (SHAPES[s], COLOURS[c]) for s, c in HELD_OUT
    ]
    assert {"command", "device", "licence", "revision", "date", "measured"} <= card.keys()
    assert card["share"] >= 0.5
    assert card["measured"]["judge"]["shape"][0] >= 0.99
    for scale in ("1.0", "2.0", "4.0"):
        share, low, high = card["measured"]["fresh"][scale]["all"]
        assert 0 <= low <= share <= high <= 1


def test_it_follows_words_as_often_as_its_card_says(shipped):
    """40 fresh captions: within four standard errors below the share on the card."""
    net, card = shipped
    scenes = draw_scenes(40, generator=seeded(5), pairs=seen_pairs())
    texts = captions_of(scenes, generator=seeded(6))
    pictures = say(net, texts, generator=seeded(7), times=12)
    verdicts = judge_captions(pictures, texts)
    right, asked = (sum(sum(getattr(v, w)) for v in verdicts) for w in ("right", "asked"))
    share = card["measured"]["fresh"]["2.0"]["attributes"][0]
    assert right / asked >= share - 4 * (max(share * (1 - share), 0.02) / asked) ** 0.5
    told_wrong = judge_captions(pictures, texts[1:] + texts[:1])
    assert sum(v.all_right for v in told_wrong) <= 5


def test_a_seed_is_a_picture_and_words_change_it(shipped):
    net, _ = shipped
    one = say(net, ["a red circle"], generator=seeded(3), times=4)
    assert torch.equal(one, say(net, ["a red circle"], generator=seeded(3), times=4))
    assert not torch.equal(one, say(net, ["a red circle"], generator=seeded(4), times=4))
    other = say(net, ["a blue circle"], generator=seeded(3), times=4)
    assert float((one - other).abs().mean()) > 0.01
    against = say(net, ["a red circle"], generator=seeded(3), times=4, negative="a blue circle")
    assert not torch.equal(one, against)


def test_unknown_words_are_named_and_other_files_refused(shipped):
    with pytest.raises(ValueError, match=r"'dog'"):
        say(shipped[0], ["a red dog"], generator=seeded())
    with pytest.raises(ValueError, match=r"'dog'"):
        say(shipped[0], ["a circle"], generator=seeded(), negative="a dog")
    with pytest.raises(CheckpointError, match=r"describes no TextUNet"):
        load_words(ASSETS / "fashion_unet.safetensors")
    with pytest.raises(CheckpointError, match=r"describes no U-Net"):
        load_shipped("words_unet")


def test_maps_leave_the_network_as_it_was(shipped):
    net, y = shipped[0].net, tokenize(["a red circle"])
    xt = torch.randn(1, 3, 32, 32, generator=seeded())
    before = net(xt, 300, y)
    maps = word_maps(net, xt, 300, y)
    assert len(maps) == 4
    assert torch.equal(before, net(xt, 300, y))
    assert not any(module._forward_hooks for module in net.modules())


def test_the_recordings_are_those_of_their_card_and_of_the_shipped_weights(shipped):
    run = json.loads((ASSETS / "words_run.json").read_text("utf-8"))
    data = (ASSETS / "words_run.npz").read_bytes()
    assert run["sha256"] == hashlib.sha256(data).hexdigest()
    assert run["weights_sha256"] == shipped[1]["sha256"]


def test_recorded_failures_are_failures():
    with np.load(ASSETS / "words_run.npz", allow_pickle=False) as run:
        for name in run.files:
            if name.endswith("images") and len(run[name]):
                texts = [str(text) for text in run[name.replace("images", "texts")]]
                images = torch.from_numpy(run[name]).float() / 127.5 - 1
                assert not any(v.all_right for v in judge_captions(images, texts))
    pictures, texts = wrong_pictures()
    assert len(pictures) == len(texts)
