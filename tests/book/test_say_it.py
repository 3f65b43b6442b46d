"""The Python side of Say it: forms, recordings, and the kernel's answers."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import torch
import traitlets

from dmlib.applications.text_to_image import say
from dmlib.book.said import MOMENTS, RECORDED, SCALES, walk_of
from dmlib.book.widgets import SayIt
from dmlib.checkpoint import load_words


@pytest.fixture(scope="module")
def net():
    return load_words()[0]


@pytest.fixture(scope="module")
def widget():
    return SayIt()


def test_forms_are_there_and_say_one_sentence(widget):
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert len(json.dumps(widget._data)) < 300_000
    other = SayIt(text="a red dog")
    assert "does not know dog" in repr(other)


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others():
    source = str(SayIt._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


def test_a_walk_ends_where_say_does(net):
    """The same noise, the same words: the library's own pictures."""
    walk = walk_of(net, RECORDED[0], scale=2.0, seed=5)
    noise = torch.Generator().manual_seed(5)
    pictures = say(net, [RECORDED[0]] * 4, generator=noise, guidance_scale=2.0, times=20)
    levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    assert np.abs(walk.x0_hat[-1].astype(int) - levels.astype(int)).max() <= 1
    assert walk.t == (1000, 800, 550, 0)
    assert walk.maps.shape == (len(MOMENTS), 4, 4, 8, 8)
    assert (walk.maps.max((3, 4)) == 15).all()
    assert (walk.maps.min((3, 4)) == 0).all()


def test_recordings_are_what_the_shipped_network_draws(net, widget):
    """Up to the 16 colours that a recording has, and the arithmetic of another machine."""
    walk = walk_of(net, RECORDED[2], scale=2)
    off = np.abs(widget.pictures().astype(int) - walk.x0_hat.transpose(0, 1, 3, 4, 2).astype(int))
    assert off.mean() < 6
    assert np.quantile(off, 0.99) < 30
    maps = np.abs(widget.maps().astype(int) - walk.maps.astype(int))
    assert maps.mean() < 0.5


def test_the_kernel_draws_any_caption_and_says_what_it_does_not_know(net):
    widget, sent = SayIt(net=net), []
    widget.send = lambda content, buffers=None: sent.append((content, buffers))
    question = {"kind": "say", "id": "x", "scale": 1, "negative": "a red circle", "seed": 2}
    widget._answer(None, {**question, "text": "a circle"}, [])
    walk = walk_of(net, "a circle", scale=1.0, negative="a red circle", seed=2)
    assert sent[0][0] == {"kind": "walk", "id": "x", "t": list(walk.t)}
    assert sent[0][1] == [walk.x0_hat.tobytes(), walk.maps.tobytes()]
    widget._answer(None, {**question, "text": "a dog"}, [])
    assert sent[1][0]["kind"] == "error"
    assert "'dog'" in sent[1][0]["text"]
    widget._answer(None, {"kind": "other"}, [])
    assert len(sent) == 2


def test_values_out_of_range_are_refused(widget):
    for name, value in (("guidance_scale", 3), ("moment", 4), ("word", -2), ("seed", 0)):
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)
    with pytest.raises(ValueError, match=r"^text must be one of RECORDED"):
        SayIt(text="a circle").pictures()
    assert SCALES == (1, 2, 4)
